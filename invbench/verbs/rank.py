"""``invbench rank``: which models of a run can be told apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from invbench.gate import Ranking
    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "rank", run)
    parser.add_argument("run", type=Path, help="folder of a run, or file of a baseline")
    parser.add_argument(
        "--score", action="append", default=[], help="as in the output; repeatable (default: all)"
    )
    add_options(parser.add_argument, only=("alpha",))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Order a run's models in tiers, and say what would tell apart those that are tied."""
    from invbench.errors import UnknownNameError
    from invbench.gate import check_alpha, rank_run, read_snapshot, score_names

    check_alpha(arguments.alpha)
    cases = read_snapshot(arguments.run).cases
    known = score_names(cases)
    for score in arguments.score:
        if known and score not in known:
            raise UnknownNameError.among("score", score, known)
    rankings = rank_run(cases, alpha=arguments.alpha, scores=arguments.score)
    for ranking in rankings:
        for line in lines(ranking):
            say(line)
    if not rankings:
        say("nothing to rank: no score of two models on one task" + _asked(arguments.score))
    return ExitCode.OK if rankings else ExitCode.INCOMPARABLE


def _asked(scores: Sequence[str]) -> str:
    return f" among {', '.join(scores)}" if scores else ""


def lines(ranking: Ranking) -> Iterator[str]:
    """Lay out a ranking: a line a tier, and a line for each two neighbours that are tied."""
    yield f"{ranking.task} {ranking.score}, {counted(ranking.n_photographs, 'photograph')}"
    for number, tier in enumerate(ranking.tiers, start=1):
        yield f"  {number}. " + ", ".join(f"{m} {ranking.means[m]:.4g}" for m in tier)
    order = list(ranking.means)
    neighbours = set(pairwise(order))
    for pair in ranking.pairs:
        if (pair.better, pair.worse) in neighbours and pair.photographs_missing != 0:
            missing = pair.photographs_missing
            remedy = (
                f"{counted(missing, 'more photograph')} would separate them"
                if missing
                else "no difference"
            )
            yield f"     {pair.better}, {pair.worse}: tied; {remedy}"
