"""The command line: `verbs` parse and call, errors that have a name become an exit status."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
import warnings
from typing import TYPE_CHECKING

from invbench import __version__
from invbench.errors import MISSING_OR_DAMAGED, InvbenchError
from invbench.escaping import error_text, terminal, terminal_lines
from invbench.exit_codes import ExitCode
from invbench.verbs import (  # `list` is named after its verb
    baseline,
    board,
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
    board,
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
    warnings.formatwarning = _warning_line
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console may lack most letters
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 128 + signal.SIGPIPE
    except InvbenchError as error:
        sys.stderr.write(f"invbench: {error_text(error)}\n")
        return ExitCode.MISSING if isinstance(error, MISSING_OR_DAMAGED) else ExitCode.USAGE
    except OSError as error:  # a full disk, a file that cannot be read: nothing of ours is broken
        advice = "see what is wrong with that file or disk, and repeat; what was stored is intact"
        sys.stderr.write(f"invbench: {error_text(error)}; {advice}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # it may be what is full
        return ExitCode.MISSING
    except KeyboardInterrupt:
        sys.stderr.write("invbench: interrupted; what was stored is intact\n")
        return 130
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001  its status must not be that of a check that failed
        sys.stderr.write(terminal_lines(traceback.format_exc()))
        return ExitCode.FAULT
    return code


def _warning_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return what we warn of as a line of its own; what others do with the place in their code."""
    del line
    ours = category.__module__ == InvbenchError.__module__
    where = "invbench" if ours else f"{filename}:{lineno}: {category.__name__}"
    return f"{where}: {terminal(str(message))}\n"


def _run(argv: Sequence[str] | None) -> int:
    arguments, others = _parser().parse_known_args(argv)
    if others and "others" not in arguments:
        _parser().parse_args(argv)  # refuses them
    arguments.others = others
    code: int = arguments.execute(arguments)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="invbench", description="Judge generative models for inverse problems."
    )
    parser.add_argument("--version", action="version", version=f"invbench {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(verbs.add_parser)
    return parser
