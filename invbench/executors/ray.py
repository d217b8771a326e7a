"""Ray: each item is a task of the cluster that ``RAY_ADDRESS`` names, or of this machine.

Settings are options of a task, as ``num_cpus=4`` or ``memory=16e9``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from invbench.errors import ExecutionWarning, InvalidOptionError, LostWorkerError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class RayTicket:
    """A task."""

    reference: Any

    def result(self) -> Any:
        """Wait for the task; see `executors.Ticket`."""
        try:
            return ray.get(self.reference)
        except RayTaskError as error:
            raise RemoteError(str(error)) from error
        except RayError as error:
            said = str(error).strip().splitlines()[0]
            raise LostWorkerError(f"{type(error).__name__}: {said}") from error


class RayExecutor:
    """Starts tasks; see `executors.Executor`."""

    name = "ray"

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._began = not ray.is_initialized()
        if self._began:
            ray.init(log_to_driver=False)

    def submit(self, work: Callable[[Any], Any], argument: Any, *, gpu: bool | None) -> RayTicket:
        """Start a task. Ray would retry it in silence, so it is told not to."""
        if gpu is None:
            gpu = ray.cluster_resources().get("GPU", 0) > 0
        asked = {"num_cpus": 1, "num_gpus": int(gpu), "max_retries": 0} | self._settings
        _warn_if_too_much({"CPU": asked["num_cpus"], "GPU": asked["num_gpus"]})
        try:
            task = ray.remote(**asked)(work)
        except (TypeError, ValueError) as error:
            raise InvalidOptionError(f"--executor ray: {error}") from error
        return RayTicket(task.remote(argument))

    def close(self) -> None:
        """Leave the cluster, which ends the tasks that are still going on."""
        if self._began:
            ray.shutdown()


def _warn_if_too_much(asked: dict[str, float]) -> None:
    """Say so if no node has what a task asks for; a cluster may get such a node later."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(what, 0) >= asked[what] for what in asked) for node in nodes):
        wanted = " and ".join(f"{count:g} {what}" for what, count in asked.items() if count)
        waits = f"no node of the Ray cluster has {wanted}; the work waits until one has"
        warnings.warn(waits, ExecutionWarning, stacklevel=3)


def start(_: Path, settings: dict[str, Any]) -> RayExecutor:
    """Connect to the cluster; see `executors.start_executor`."""
    return RayExecutor(settings)
