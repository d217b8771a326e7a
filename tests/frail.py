"""Samplers whose workers die. Marks are files of the folder that the run was started in."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from samplers import blurry


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(problem, device):  # noqa: ARG001
    """Kill every worker."""
    die()


def once(problem, device):
    """Kill the first worker, and be a sampler of the next."""
    mark = Path("died")
    if not mark.exists():
        mark.touch()
        die()
    return blurry(problem, device)


def foreign(problem, device):  # noqa: ARG001
    """Raise what has no name in the package."""
    raise ZeroDivisionError("no such thing")


def patient(problem, device):
    """Say on which node this is, and wait while there is a file that says so."""
    import ray

    Path(f"on-{ray.get_runtime_context().get_node_id()}-{problem.name}").touch()
    while Path("hold").exists():
        time.sleep(0.05)
    return blurry(problem, device)
