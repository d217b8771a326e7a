"""What can be typed? One file a verb, with ``add`` for its options and ``run`` for its work.

Verbs import what they need when they run, so that those without numerics start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from invbench.escaping import terminal
from invbench.suite import add_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    AddParser: TypeAlias = Callable[..., argparse.ArgumentParser]

__all__ = ["LPIPS_OPTIONS", "TASK_HELP", "add_picture_options", "say", "verb"]

PICTURE_OPTIONS = (
    *("profile", "device", "dtype", "seed", "checkpoints", "data", "groups", "sampler"),
)
TASK_HELP = "a built-in task, or NAME=PACKAGE.MODULE:FACTORY; see `invbench list`"
LPIPS_OPTIONS = ("device", "lpips_net", "lpips_weights", "offline")


def verb(
    add_parser: AddParser, name: str, run: Callable[[argparse.Namespace], int], **how: Any
) -> argparse.ArgumentParser:
    """Add a verb; its help is the first line of its function's docstring, ``how`` is argparse's."""
    text = (run.__doc__ or "").partition("\n")[0]
    parser = add_parser(name, help=text, description=text, **how)
    parser.set_defaults(execute=run)
    return parser


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add what verbs that draw samples of several methods have in common."""
    parser.add_argument(
        "--task",
        action="append",
        default=[],
        help=f"{TASK_HELP}; repeatable (default: the study's)",
    )
    parser.add_argument(
        "--model", action="append", help="model id or name of a sampler; repeatable (default: all)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="for the pictures (default: %(default)s)",
    )
    add_options(parser.add_argument, only=PICTURE_OPTIONS)


def say(line: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(f"{terminal(line)}\n")
