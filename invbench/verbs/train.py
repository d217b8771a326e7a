"""``invbench train``: weights from photographs, of one pair or of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import add_options, at_least_one
from invbench.verbs import LPIPS_OPTIONS, say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from invbench.errors import InvbenchError
    from invbench.training import Budget, PlannedRun, Recipe, Trained
    from invbench.verbs import AddParser

HEADINGS = ("run", "serves", "steps", "minutes", "psnr", "width", "skill", "state")


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
    budget.add_argument("--steps", type=at_least_one, help="optimizer steps, for each pair")
    parser.add_argument(
        "--jobs",
        type=at_least_one,
        default=1,
        metavar="N",
        help="with --all: processes side by side",
    )
    parser.add_argument(
        "--rounds",
        type=at_least_one,
        default=1,
        metavar="N",
        help="with --all: train every pair N times, each time up to twice the budget before",
    )
    parser.add_argument(
        "--order",
        choices=("cases", "skill"),
        default="cases",
        help="with --all: of the pairs in a round; skill takes the worst first",
    )
    parser.add_argument(
        "--threads", type=at_least_one, help="CPU threads of a process (default: torch's)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("checkpoints"), metavar="DIR", help="for the weights"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="for state, log and curves"
    )
    parser.add_argument(
        "--trunk", type=Path, metavar="FILE", help="AlexNet's weights, by which MoNCE learns"
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="begin with the weights of the checkpoints there; their minutes count",
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
        return _train_all(arguments, budget, recipe)
    made = run_recipe(recipe(arguments.model, arguments.task, budget))
    validated = counted(made.card["validation"]["images"], "image")
    say(f"{made.path}: {made.path.stat().st_size / 1e6:.2f} MB, validated on {validated}")
    return ExitCode.OK


def _recipes(arguments: argparse.Namespace) -> Callable[[str, str, Budget], Recipe]:
    """Return what makes the recipe of a pair and a budget from the options."""
    from invbench.machine import resolve_device
    from invbench.training import Recipe

    device = resolve_device(arguments.device)

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
            lpips_net=arguments.lpips_net,
            lpips_weights=arguments.lpips_weights,
            trunk=arguments.trunk,
            note=arguments.note,
            start=arguments.start,
        )

    return recipe


def _train_all(
    arguments: argparse.Namespace, budget: Budget, recipe: Callable[[str, str, Budget], Recipe]
) -> ExitCode:
    """Train every pair and print a line a run; those that fail are named at the end."""
    from invbench.report import align
    from invbench.training import plan_runs, run_plan

    results = run_plan(
        plan_runs(arguments.profile, budget),
        lambda run: recipe(run.cases[0].model, run.cases[0].task, run.budget),
        jobs=arguments.jobs,
        rounds=arguments.rounds,
        order=arguments.order,
    )
    last = {run.stem: (run, result) for run, result in results}
    for line in align([HEADINGS, *(_row(*each) for each in last.values())]):
        say(line)
    failures = [result for _, result in last.values() if isinstance(result, Exception)]
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
