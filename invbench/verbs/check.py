"""``invbench check``: does a sampler or a task of one's own keep what it promises?"""

from __future__ import annotations

from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options, read_options
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from invbench.conformance import Finding
    from invbench.suite import Options
    from invbench.verbs import AddParser

WIDTHS = (10, 17, 30, 37)  # of the columns; 100 with two spaces between them


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "check", run)
    parser.add_argument(
        "factory",
        nargs="?",
        help="of a sampler, PACKAGE.MODULE:FACTORY, or an installed one's name",
    )
    parser.add_argument(
        "--task-factory",
        action="append",
        default=[],
        metavar="PACKAGE.MODULE:FACTORY",
        help="check a task of your own, or a built-in one, by its name; repeatable",
    )
    add_options(parser.add_argument, only=("task", "profile", "device", "data"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check a sampler's or a task's promises one by one; the exit status says whether all hold."""
    from invbench.errors import InvalidOptionError, UnknownNameError
    from invbench.suite import own_samplers
    from invbench.suite.names import installed

    if not (arguments.factory or arguments.task_factory):
        raise InvalidOptionError("give a sampler's factory, or --task-factory")
    factory = arguments.factory
    if factory and ":" not in factory and factory not in installed(own_samplers.GROUP):
        raise UnknownNameError(
            f"{factory}: give the module and the function in it, as my_sampler:load for load in "
            "my_sampler.py"
        )
    options = read_options(arguments)
    found: list[Finding] = []
    for text in arguments.task_factory:
        found += _check_task(_named(text), options)
    if factory:
        found += _check_sampler(_named(factory), options)
    return ExitCode.FAILED if any(one.verdict == "FAILED" for one in found) else ExitCode.OK


def _named(text: str) -> str:
    """Give a factory a name, where the text has none; installed and built-in ones have theirs."""
    return f"own={text}" if ":" in text and "=" not in text else text


def _check_sampler(text: str, options: Options) -> Iterator[Finding]:
    """Check a sampler on every task, and print what was found."""
    from invbench.conformance import check_sampler
    from invbench.conformance.sampled import PHOTOS
    from invbench.errors import UnsupportedProblemError
    from invbench.suite.own_samplers import OwnSampler
    from invbench.suite.resolve import Suite

    suite = Suite(replace(options, images=PHOTOS))
    for name in suite.tasks:
        problem, photos = suite.problem(name), suite.data_set(name).photos
        title = f"{text.removeprefix('own=')} on {name}"
        try:
            findings = check_sampler(
                lambda *given: OwnSampler.parse(text).subject(*given), problem, photos, suite.device
            )
        except UnsupportedProblemError as error:
            say(f"{title}: declined: {error}")
            continue
        _print(title, findings)
        yield from findings


def _check_task(text: str, options: Options) -> Sequence[Finding]:
    """Check a task, and print what was found."""
    from invbench.conformance import check_task
    from invbench.conformance.sampled import PHOTOS
    from invbench.suite.resolve import Suite

    suite, name = Suite(replace(options, images=PHOTOS, task=[text])), text.partition("=")[0]
    findings = check_task(
        lambda: suite.problem(name), lambda: suite.data_set(name).photos, suite.device
    )
    _print(text.removeprefix("own="), findings)
    return findings


def _print(title: str, findings: Sequence[Finding]) -> None:
    """Print a line a property, and one that counts those that are broken."""
    say(f"{title}:")
    for line in lines(findings):
        say(line)
    broken = ", ".join(one.name for one in findings if one.verdict == "FAILED")
    say(f"{title}: {f'FAILED ({broken})' if broken else 'keeps what it promises'}")


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Lay out properties, verdict first, in 100 columns; what is longer goes on below."""
    rows = [("", "property", "expected", "seen")]
    rows += [(one.verdict, one.name, one.expected, one.seen) for one in findings]
    for row in rows:
        columns = [wrap(cell, width) for cell, width in zip(row, WIDTHS, strict=True)]
        for number in range(max(map(len, columns))):
            cells = [column[number] if number < len(column) else "" for column in columns]
            padded = (cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
            yield "  ".join(padded).rstrip()
