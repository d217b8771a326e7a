"""``invbench env``: the facts about a machine that records keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    add_options(verb(add_parser, "env", run).add_argument, only=("device",))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the facts about this machine that records keep."""
    from invbench.machine import describe_environment, resolve_device

    facts = describe_environment(resolve_device(arguments.device))
    for line in json.dumps(facts, indent=1).splitlines():
        say(line)
    return ExitCode.OK
