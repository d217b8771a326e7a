"""``invbench list``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    verb(add_parser, "list", run)


def _numbers(numbers: Sequence[int]) -> str:
    """Say which N there are, if there is one."""
    if not numbers:
        return ""
    few = len(numbers) < 6
    return f"; N = {', '.join(map(str, numbers)) if few else f'{numbers[0]}-{numbers[-1]}'}"


def run(_: argparse.Namespace) -> ExitCode:
    """List models, tasks, profiles and cases."""
    from invbench.models import CASES, MODELS, REFERENCES
    from invbench.problems import FAMILIES, PROFILES, TASKS
    from invbench.suite.names import installed
    from invbench.suite.own_samplers import GROUP as SAMPLERS
    from invbench.suite.own_tasks import GROUP

    say(f"models: {', '.join((*MODELS, *installed(SAMPLERS)))}")
    say(f"tasks: {', '.join(TASKS)}")
    say("more tasks for --task; +nS adds noise of std S levels of 255 to linear ones:")
    for family in FAMILIES:
        say(f"  {family.name}: {family.asks}{_numbers(family.numbers)}")
    for name, source in installed(GROUP).items():
        say(f"  {name}: {source}")
    say(f"profiles: {', '.join(PROFILES)}")
    say(f"cases: {', '.join(case.id for case in CASES + REFERENCES)}")
    return ExitCode.OK
