"""Where did it run, and how fast? Facts on the machine, and clocks that wait for the device."""

from __future__ import annotations

from invbench.machine.environment import (
    describe_environment,
    device_key,
    forbid_tf32,
    gpu_clocks,
    lasting_facts,
    resolve_device,
)
from invbench.machine.memory import (
    bytes_in_use,
    freed_memory_is_kept,
    keep_freed_memory,
    release_memory,
    return_freed_memory,
)
from invbench.machine.timing import (
    compare_speed,
    measure,
    peak_allocated_bytes,
    saved_by_repeating,
    synchronized_clock,
)

__all__ = [
    "bytes_in_use",
    "compare_speed",
    "describe_environment",
    "device_key",
    "forbid_tf32",
    "freed_memory_is_kept",
    "gpu_clocks",
    "keep_freed_memory",
    "lasting_facts",
    "measure",
    "peak_allocated_bytes",
    "release_memory",
    "resolve_device",
    "return_freed_memory",
    "saved_by_repeating",
    "synchronized_clock",
]
