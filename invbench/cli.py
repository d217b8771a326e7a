"""The command line: `verbs` parse and call, errors that have a name become an exit status."""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import TYPE_CHECKING

from invbench.errors import MISSING_OR_DAMAGED, InvbenchError
from invbench.exit_codes import ExitCode
from invbench.verbs import (  # `list` is named after its verb
    baseline,
    check,
    compare,
    env,
    import_checkpoint,
    limits,
    list,  # noqa: A004
    merge,
    observe,
    paper,
    rank,
    report,
    run,
    score,
    sheet,
    time,
    train,
    uncertainty,
    validate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = (
    list,
    check,
    run,
    train,
    import_checkpoint,
    observe,
    score,
    time,
    merge,
    report,
    validate,
    limits,
    compare,
    baseline,
    paper,
    rank,
    sheet,
    uncertainty,
    env,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status; `run` alone passes on what it does not know."""
    arguments, others = _parser().parse_known_args(argv)
    if others and "others" not in arguments:
        _parser().parse_args(argv)  # refuses them
    arguments.others = others
    try:
        code: int = arguments.execute(arguments)
    except InvbenchError as error:
        sys.stderr.write(f"invbench: {type(error).__name__}: {error}\n")
        return ExitCode.MISSING if isinstance(error, MISSING_OR_DAMAGED) else ExitCode.USAGE
    except KeyboardInterrupt:
        sys.stderr.write("invbench: interrupted; what was stored is intact\n")
        return 130
    except Exception:  # noqa: BLE001  its status must not be that of a check that failed
        traceback.print_exc()
        return ExitCode.FAULT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="invbench", description="Judge generative models for inverse problems."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(verbs.add_parser)
    return parser
