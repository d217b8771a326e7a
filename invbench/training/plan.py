"""Which runs train all pairs of a profile: one each, and one for all that share weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.models import CASES, get_method
from invbench.problems import get_profile
from invbench.training.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.models import Case


@dataclass(frozen=True)
class PlannedRun:
    """One training run and the cases that its weights serve.

    Attributes:
        stem: name of the checkpoint, see `models.Method.stem`.
        cases: what it serves; the run trains on the photographs of the first.
        budget: that of one case, times their number.
    """

    stem: str
    cases: tuple[Case, ...]
    budget: Budget


def plan_runs(profile: str, budget: Budget, cases: Sequence[Case] = CASES) -> list[PlannedRun]:
    """Return the runs that train all cases, in the order of the cases.

    Args:
        profile: whose configuration is trained.
        budget: of one case.
        cases: what to train.

    Raises:
        UnknownNameError: for an unknown profile.

    Example:
        >>> runs = plan_runs("tiny", Budget(minutes=8))
        >>> len(runs), [(run.stem, run.budget.minutes) for run in runs if "ddrm" in run.stem]
        (23, [('ddrm-128', 8), ('ddrm-64', 16)])
    """
    configuration = get_profile(profile).configuration
    shared: dict[str, list[Case]] = {}
    for case in cases:
        stem = get_method(case.model).stem(case.task, configuration)
        shared.setdefault(stem, []).append(case)
    return [
        PlannedRun(stem, tuple(served), _times(budget, len(served)))
        for stem, served in shared.items()
    ]


def _times(budget: Budget, count: int) -> Budget:
    return Budget(
        steps=None if budget.steps is None else budget.steps * count,
        minutes=None if budget.minutes is None else budget.minutes * count,
    )
