"""``invbench train``: weights from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.options import add_options
from invbench.verbs import LPIPS_OPTIONS, say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "train", run)
    parser.add_argument("model", help="model id, see `invbench list`")
    parser.add_argument("task", help="task id")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument(
        "--validation", type=Path, metavar="DIR", help="photographs to validate on (default: 5 %%)"
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="minutes of computing")
    budget.add_argument("--steps", type=int, help="optimizer steps")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--output", type=Path, default=Path("checkpoints"), metavar="DIR", help="for the weights"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="for state and log"
    )
    parser.add_argument("--note", default="", help="a sentence for the model card")
    add_options(parser.add_argument, only=("profile", "seed", *LPIPS_OPTIONS))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Train a model on a folder of photographs; a killed run continues where it was."""
    import torch

    from invbench.environment import resolve_device
    from invbench.metrics import load_lpips
    from invbench.recipes import Recipe, run_recipe
    from invbench.training.loop import Budget

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    lpips = None
    if arguments.lpips_weights:
        lpips = load_lpips(
            net=arguments.lpips_net, weights=arguments.lpips_weights, offline=True, device=device
        )
    path = run_recipe(
        Recipe(
            model=arguments.model,
            task=arguments.task,
            images=arguments.images,
            validation=arguments.validation,
            profile=arguments.profile,
            budget=Budget(steps=arguments.steps, minutes=arguments.minutes),
            seed=arguments.seed,
            device=device,
            output=arguments.output,
            runs=arguments.runs,
            lpips=lpips,
            note=arguments.note,
        )
    )
    say(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return ExitCode.OK
