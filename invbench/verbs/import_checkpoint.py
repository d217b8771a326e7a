"""``invbench import-checkpoint``: weights that a method's authors published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "import-checkpoint", run)
    parser.add_argument("file", type=Path, help="the published file")
    parser.add_argument("--model", required=True, help="model id, see `invbench list`")
    parser.add_argument("--task", required=True, help="task id; files do not tell theirs")
    parser.add_argument(
        "--configuration",
        default="official",
        help="whose sizes it has: official, small or tiny; for ddrm also faces",
    )
    parser.add_argument(
        "--entry",
        metavar="NAME",
        help="the state dict in a file that holds several (default: averaged weights, if any)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("checkpoints"), metavar="DIR", help="for the weights"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Import weights that a method's authors published; no code from the file is run."""
    from invbench.models import get_method
    from invbench.models.imports import import_official
    from invbench.training import write_card

    path, card = import_official(
        arguments.file,
        arguments.output,
        method=get_method(arguments.model),
        task=arguments.task,
        configuration=arguments.configuration,
        entry=arguments.entry,
    )
    write_card(path.with_suffix(".md"), path.stem, card)
    imported = card["imported"]
    say(f"{path}: {imported['tensors']} tensors of {imported['entry']}")
    return ExitCode.OK
