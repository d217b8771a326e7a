"""Who carries out the work? This process, or workers that SLURM or Ray starts on other machines.

An `Executor` starts one piece of work on one worker and tells whether that worker died; `Item` has
another worker take over. What the work is, is nothing that this room knows.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from invbench.errors import InvalidOptionError, LostWorkerError, MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["EXECUTORS", "LOCAL", "Executor", "Item", "Ticket", "check_executor", "start_executor"]

LOCAL = "local"  # no executor: the test of a case measures it
PACKAGES = {"slurm": "submitit", "ray": "ray"}
EXECUTORS = (LOCAL, *PACKAGES)
ATTEMPTS = 3  # workers that an item may have, one after the other


class Ticket(Protocol):
    """Stands for a piece of work that one worker does."""

    def result(self) -> Any:
        """Wait for the work to be done, and return what it returned.

        Raises:
            LostWorkerError: if the worker died before.
            RemoteError: if the work raised an error, as where a package is missing there.
        """


class Executor(Protocol):
    """Starts work on other machines.

    Attributes:
        name: as in `EXECUTORS`.
    """

    name: str

    def submit(self, work: Callable[[Any], Any], argument: Any, *, gpu: bool | None) -> Ticket:
        """Start ``work(argument)`` on a worker, once one is free.

        Args:
            work: a function of a module that the workers can import.
            argument: picklable, as must be what the function returns.
            gpu: whether the worker must have a GPU to itself; None for one where there are any.
        """

    def close(self) -> None:
        """End the work that is still going on."""


class Item:
    """A piece of work that another worker takes over where one dies.

    Attributes:
        lost: what was said of each worker that died.
    """

    def __init__(self, start: Callable[[], Ticket]) -> None:
        self.lost: list[str] = []
        self._start = start
        self._ticket = start()

    def result(self) -> Any:
        """Wait for the work to be done.

        Raises:
            LostWorkerError: if as many workers died as an item may have.
            RemoteError: if the work raised an error.
        """
        while True:
            try:
                return self._ticket.result()
            except LostWorkerError as error:
                self.lost.append(str(error))
                if len(self.lost) == ATTEMPTS:
                    raise LostWorkerError(
                        f"{ATTEMPTS} workers died one after the other, the last so: {error}"
                    ) from error
            self._ticket = self._start()


def check_executor(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an executor that cannot be used.

    Raises:
        MissingPackageError: if its package is not installed.
        InvalidOptionError: if there are settings and no executor to take them.
    """
    package = PACKAGES.get(name)
    if package is None and settings:
        raise InvalidOptionError("--executor-setting is one of slurm or ray; give --executor")
    if package is not None and find_spec(package) is None:
        raise MissingPackageError(
            f"--executor {name} needs {package}: pip install 'invbench[{name}]'"
        )


def start_executor(name: str, folder: Path, settings: Mapping[str, Any]) -> Executor:
    """Connect to SLURM or Ray.

    Args:
        name: "slurm" or "ray".
        folder: for files of the executor's own; workers must see it, too.
        settings: what it asks for on behalf of each item, see the executor's module.
    """
    module = import_module(f"invbench.executors.{name}")
    executor: Executor = module.start(folder, dict(settings))
    return executor
