"""``invbench train``: weights from photographs, of one pair or of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import LPIPS_OPTIONS, say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from invbench.errors import InvbenchError
    from invbench.training import Budget, PlannedRun, Recipe, Trained
    from invbench.verbs import AddParser

HEADINGS = ("run", "serves", "steps", "minutes", "psnr", "ssim", "width", "state")


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "train", run)
    parser.add_argument("model", nargs="?", help="model id, see `invbench list`")
    parser.add_argument("task", nargs="?", help="task id")
    parser.add_argument(
        "--all", action="store_true", help="every pair of the profile, each with the budget"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument(
        "--validation", type=Path, metavar="DIR", help="photographs to validate on (default: 5 %%)"
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--minutes", "--minutes-per-pair", type=float, help="minutes of computing, for each pair"
    )
    budget.add_argument("--steps", type=int, help="optimizer steps, for each pair")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--output", type=Path, default=Path("checkpoints"), metavar="DIR", help="for the weights"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="for state, log and curves"
    )
    parser.add_argument("--note", default="", help="a sentence for the model card")
    add_options(parser.add_argument, only=("profile", "seed", *LPIPS_OPTIONS))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Train a model, or all, on a folder of photographs; a killed run continues where it was."""
    import torch

    from invbench.errors import UnknownNameError
    from invbench.training import Budget, run_recipe

    named = (arguments.model is not None, arguments.task is not None)
    if named != ((False, False) if arguments.all else (True, True)):
        raise UnknownNameError("name one model and one task, or neither and --all")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe, budget = _recipes(arguments), Budget(steps=arguments.steps, minutes=arguments.minutes)
    if arguments.all:
        return _train_all(arguments.profile, budget, recipe)
    path = run_recipe(recipe(arguments.model, arguments.task, budget)).path
    say(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return ExitCode.OK


def _recipes(arguments: argparse.Namespace) -> Callable[[str, str, Budget], Recipe]:
    """Return what makes the recipe of a pair and a budget from the options."""
    from invbench.machine import resolve_device
    from invbench.metrics import load_lpips
    from invbench.training import Recipe

    device = resolve_device(arguments.device)
    lpips = None
    if arguments.lpips_weights:
        lpips = load_lpips(
            net=arguments.lpips_net, weights=arguments.lpips_weights, offline=True, device=device
        )

    def recipe(model: str, task: str, budget: Budget) -> Recipe:
        return Recipe(
            model=model,
            task=task,
            images=arguments.images,
            validation=arguments.validation,
            profile=arguments.profile,
            budget=budget,
            seed=arguments.seed,
            device=device,
            output=arguments.output,
            runs=arguments.runs,
            lpips=lpips,
            note=arguments.note,
        )

    return recipe


def _train_all(
    profile: str, budget: Budget, recipe: Callable[[str, str, Budget], Recipe]
) -> ExitCode:
    """Train every pair and print a line a run; those that fail are named at the end."""
    from invbench.report import align
    from invbench.training import plan_runs, run_plan

    results = list(
        run_plan(
            plan_runs(profile, budget),
            lambda run: recipe(run.cases[0].model, run.cases[0].task, run.budget),
        )
    )
    for line in align([HEADINGS, *(_row(*result) for result in results)]):
        say(line)
    failures = [result for _, result in results if isinstance(result, Exception)]
    return ExitCode.FAILED if failures else ExitCode.OK


def _row(run: PlannedRun, result: Trained | InvbenchError) -> tuple[str, ...]:
    """Lay out one run: how far it went and how it validated, or why it failed."""
    serves = " ".join(case.task for case in run.cases)
    if isinstance(result, Exception):
        return (run.stem, serves, *"-----", f"{type(result).__name__}: {result}")
    card = result.card
    scores = [str(card["validation"].get(name, "-")) for name in HEADINGS[4:7]]
    state = "kept" if result.kept else "trained"
    return (run.stem, serves, str(card["steps"]), str(card["minutes"]), *scores, state)
