"""The three inverse problems, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import UnknownNameError
from invbench.operators import PillowBicubic, PillowGray, PillowJpeg

if TYPE_CHECKING:
    from invbench.operators import Operator


@dataclass(frozen=True, kw_only=True)
class Task:
    """An inverse problem: find images whose observation is the given one.

    Attributes:
        name: id used in case ids and file names.
        version: changes whenever results stop being comparable.
        operator: the forward process, bit-exact with Pillow.
    """

    name: str
    version: str
    operator: Operator

    def identity(self) -> dict[str, Any]:
        """Return what the task's numbers depend on, for the record."""
        return {"name": self.name, "version": self.version, "operator": self.operator.identity()}


TASKS = {
    task.name: task
    for task in (
        Task(name="sr16", version="1", operator=PillowBicubic(factor=16)),
        Task(name="colorization", version="1", operator=PillowGray()),
        Task(name="decompression", version="1", operator=PillowJpeg(quality=1)),
    )
}


def get_task(name: str) -> Task:
    """Return a task by name.

    Raises:
        UnknownNameError: listing the nearest names.
    """
    if name not in TASKS:
        raise UnknownNameError.among("task", name, TASKS)
    return TASKS[name]
