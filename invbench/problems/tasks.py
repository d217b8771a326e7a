"""Tasks: families of inverse problems, one for each size of image. The study's three are here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from invbench.errors import InvalidOptionError, UnknownNameError
from invbench.operators import LinearBicubic, LinearGray, PillowBicubic, PillowGray, PillowJpeg
from invbench.problems.noise import Noise
from invbench.problems.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from invbench.operators import Linear, Operator


@dataclass(frozen=True, kw_only=True)
class Task:
    """An inverse problem for images of any size: find images that have the given observation.

    Attributes:
        name: id used in case ids and file names.
        version: changes whenever results stop being comparable.
        operator: the exact forward process; if it differs from image to image, an
            `operators.Varied`.
        linear: gives the operator's differentiable linear twin for a height and a width; None if
            there is none.
        noise: on the observation.
        size: side of the square targets, where the profile says nothing of the task.
        source: where a task of the user's own is imported from.
        source_sha256: digest of its code.
    """

    name: str
    version: str
    operator: Operator
    linear: Callable[[int, int], Linear] | None = None
    noise: Noise = Noise.none()
    size: int | None = None
    source: str | None = None
    source_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.noise and hasattr(self.operator, "at"):
            raise InvalidOptionError(
                f"{self.name}: a forward process that differs from image to image takes no noise; "
                "leave the noise out"
            )

    def problem(self, size: tuple[int, int]) -> Problem:
        """Return the problem for images of a height and width.

        Raises:
            InvalidImagesError: if the operator cannot observe images of that size.
        """
        return Problem(
            name=self.name,
            size=size,
            operator=self.operator,
            linear=None if self.linear is None else self.linear(*size),
            noise=self.noise,
            observation_shape=self.operator.observation_shape(*size),
        )

    def identity(self) -> dict[str, Any]:
        """Return what the task's numbers depend on, for the record."""
        known = {"name": self.name, "version": self.version, "operator": self.operator.identity()}
        optional = {
            "noise": self.noise.identity() if self.noise else None,
            "source": self.source,
            "source_sha256": self.source_sha256,
        }
        return known | {name: value for name, value in optional.items() if value is not None}


TASKS = {
    task.name: task
    for task in (
        Task(
            name="sr16",
            version="1",
            operator=PillowBicubic(factor=16),
            linear=partial(LinearBicubic, factor=16),
        ),
        Task(name="colorization", version="1", operator=PillowGray(), linear=LinearGray),
        Task(name="decompression", version="1", operator=PillowJpeg(quality=1)),
    )
}
"""The study's three, which a run has by default."""


def get_task(name: str) -> Task:
    """Return one of the study's tasks by name.

    Raises:
        UnknownNameError: listing the nearest names.
    """
    if name not in TASKS:
        raise UnknownNameError.among("task", name, TASKS)
    return TASKS[name]
