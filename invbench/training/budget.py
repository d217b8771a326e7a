"""When a training run ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invbench.errors import InvalidOptionError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a run ends: after so many steps, or so many minutes of computing.

    A CPU run counts processor time over threads, so that a busy machine does not shorten it; a GPU
    run counts wall time. One of the two is given.

    Raises:
        InvalidOptionError: if it is not above 0 and finite.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        for option, number in (("--steps", self.steps), ("--minutes", self.minutes)):
            if number is not None and not 0 < number < math.inf:
                raise InvalidOptionError(f"{option} {number}: give a number above 0")

    def progress(self, step: int, minutes: float) -> float:
        """Return the part of the budget that is spent, at most 1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, minutes / self.minutes) if self.minutes else 1.0

    def divided(self, parts: int) -> Budget:
        """Return a part of the budget, at least one step."""
        return Budget(
            steps=None if self.steps is None else max(1, self.steps // parts),
            minutes=None if self.minutes is None else self.minutes / parts,
        )
