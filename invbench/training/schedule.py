"""All runs of a plan, one after the other or side by side, in rounds."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal

import torch

from invbench.errors import InvbenchError
from invbench.files import is_there
from invbench.models import read_card
from invbench.training.recipes import Recipe, Trained, run_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from invbench.training.plan import PlannedRun

Order = Literal["cases", "skill"]
Result = tuple["PlannedRun", Trained | InvbenchError]

_PARENT_CHECK_SECONDS = 2.0


def run_plan(
    runs: Sequence[PlannedRun],
    recipe_of: Callable[[PlannedRun], Recipe],
    *,
    jobs: int = 1,
    rounds: int = 1,
    order: Order = "cases",
) -> Iterator[Result]:
    """Train all runs, keeping what is there; one that fails does not stop the others.

    In rounds each run is trained a little before any is trained more: every round doubles the
    budgets up to the whole ones, so that those of any two runs are within a factor of two at any
    moment. A run that was killed continues where its state was saved.

    Args:
        runs: see `training.plan.plan_runs`.
        recipe_of: how a run is trained.
        jobs: processes side by side, each with this process's number of threads.
        rounds: how often every run is trained.
        order: of the runs in a round: as given, or the least skilled first, by the cards of the
            weights that are there; those without a card come before them.

    Yields:
        Each run of each round with what became of it.
    """
    for number in reversed(range(rounds)):
        part = [replace(run, budget=run.budget.divided(2**number)) for run in runs]
        if order == "skill":
            part.sort(key=lambda run: _skill(run, recipe_of(run)))
        if jobs == 1:
            yield from ((run, _attempt(recipe_of(run))) for run in part)
        else:
            yield from _side_by_side(part, recipe_of, jobs)


def _side_by_side(
    runs: Sequence[PlannedRun], recipe_of: Callable[[PlannedRun], Recipe], jobs: int
) -> Iterator[Result]:
    # A fresh interpreter each: threads and CUDA do not survive a fork
    pool = ProcessPoolExecutor(
        jobs, get_context("spawn"), _start, (torch.get_num_threads(), os.getpid())
    )
    with pool:
        started = {pool.submit(_attempt, recipe_of(run)): run for run in runs}
        for done in as_completed(started):
            yield started[done], done.result()


def _start(threads: int, parent: int) -> None:
    """Prepare a process: its threads, and its end if the one that started it is killed."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def _attempt(recipe: Recipe) -> Trained | InvbenchError:
    try:
        return run_recipe(recipe, keep=True)
    except InvbenchError as error:
        return error


def _skill(run: PlannedRun, recipe: Recipe) -> float:
    path = recipe.output / f"{run.stem}.safetensors"
    if not is_there(path):
        return float("-inf")
    return float(read_card(path).get("validation", {}).get("skill", float("-inf")))
