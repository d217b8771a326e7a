"""The verbs of the command line, one file each: options in ``add``, one call in ``run``.

Verbs import what they need when they run, so that those without numerics start at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from invbench.exit_codes import ExitCode

    AddParser: TypeAlias = Callable[..., argparse.ArgumentParser]

LPIPS_OPTIONS = ("device", "lpips_net", "lpips_weights", "offline")


def verb(
    add_parser: AddParser, name: str, run: Callable[[argparse.Namespace], ExitCode]
) -> argparse.ArgumentParser:
    """Add a verb whose help is the first line of its function's docstring."""
    text = (run.__doc__ or "").partition("\n")[0]
    parser = add_parser(name, help=text, description=text)
    parser.set_defaults(execute=run)
    return parser


def say(line: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(f"{line}\n")
