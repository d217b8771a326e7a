"""``invbench baseline``: what later runs are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb
from invbench.verbs.score import PROFILE

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb, its one action and its options."""
    actions = verb(add_parser, "baseline", run).add_subparsers(required=True, metavar="ACTION")
    parser = actions.add_parser("promote", help="make a run the baseline of its device")
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--name", help="of the file (default: the run's profile)")
    parser.add_argument(
        "--release", metavar="NAME", help="pin the run as a release, compared with as well"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("fixtures", "baselines"),
        metavar="DIR",
        help="of baselines (default: %(default)s, where the gate looks)",
    )
    parser.add_argument(
        "--allow-incomplete",
        action="store_true",
        help="accept failed, skipped and missing cases; what was not measured is left out",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Promote a run to the baseline, as one file to be reviewed and committed."""
    from invbench.gate import BASELINES, promote

    promotion = promote(
        arguments.run,
        arguments.folder,
        name=arguments.name,
        release=arguments.release,
        allow_incomplete=arguments.allow_incomplete,
    )
    kept = f", {counted(len(promotion.kept), 'other')} kept" if promotion.kept else ""
    say(f"{promotion.file.resolve()}: baseline of {counted(len(promotion.cases), 'case')}{kept}")
    if promotion.file.stem == PROFILE:
        say(f"compare other scored samples with it by `invbench compare {promotion.file} RUN`")
    elif arguments.folder == BASELINES and arguments.name is None:
        say("`invbench run` compares with it when it is started from this folder")
    else:
        say(f"compare with it by `invbench run --baseline {promotion.file}`")
    return ExitCode.OK
