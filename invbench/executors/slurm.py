"""SLURM, by submitit: each item is a job of its own.

Settings are submitit's parameters of a job, as ``slurm_partition=gpu`` or ``timeout_min=120``; and
``cluster=local``, which has jobs run as processes of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from invbench.errors import InvalidOptionError, LostWorkerError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# An item takes one task; submitit's own limit of five minutes would end most of them.
USUAL: dict[str, Any] = {"name": "invbench", "tasks_per_node": 1, "timeout_min": 24 * 60}


@dataclass(frozen=True)
class SlurmTicket:
    """A job."""

    job: submitit.Job[Any]

    def result(self) -> Any:
        """Wait for the job; see `executors.Ticket`."""
        try:
            return self.job.result()
        except FailedJobError as error:
            raise RemoteError(str(error)) from error
        except UncompletedJobError as error:
            said = str(error).splitlines()[0]
            raise LostWorkerError(f"job {self.job.job_id}: {said}") from error


class SlurmExecutor:
    """Starts jobs; see `executors.Executor`."""

    name = "slurm"

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._jobs: list[submitit.Job[Any]] = []
        cluster = settings.pop("cluster", "slurm")
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self._executor.update_parameters(**USUAL | settings)
        except (NameError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidOptionError(f"--executor slurm: {error}") from error

    def submit(self, work: Callable[[Any], Any], argument: Any, *, gpu: bool | None) -> SlurmTicket:
        """Submit a job; nothing tells before it runs whether there are GPUs, so None is none."""
        self._executor.update_parameters(gpus_per_node=int(bool(gpu)))
        job = self._executor.submit(work, argument)
        self._jobs.append(job)
        return SlurmTicket(job)

    def close(self) -> None:
        """Cancel the jobs that are not done."""
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


def start(folder: Path, settings: dict[str, Any]) -> SlurmExecutor:
    """Look for SLURM; see `executors.start_executor`."""
    return SlurmExecutor(folder, settings)
