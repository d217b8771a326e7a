"""``invbench list``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    verb(add_parser, "list", run)


def run(_: argparse.Namespace) -> ExitCode:
    """List models, tasks, profiles and cases."""
    from invbench.models import CASES, MODELS, REFERENCES
    from invbench.problems import PROFILES, TASKS

    say(f"models: {', '.join(MODELS)}")
    say(f"tasks: {', '.join(TASKS)}")
    say(f"profiles: {', '.join(PROFILES)}")
    say(f"cases: {', '.join(case.id for case in CASES + REFERENCES)}")
    return ExitCode.OK
