"""Facts about the machine and its packages that results depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import features

from invbench.errors import InvbenchError
from invbench.machine.memory import freed_memory_is_kept

PACKAGES = (
    "torch",
    "torchvision",
    "lpips",
    "numpy",
    "pillow",
    "scikit-image",
    "scipy",
    "pytest",
    "pytest-benchmark",
)


# What is asked of nvidia-smi. Newer drivers still take the last one's old name.
CLOCKS = {
    "sm_mhz": "clocks.sm",
    "max_sm_mhz": "clocks.max.sm",
    "memory_mhz": "clocks.mem",
    "throttle_reasons": "clocks_throttle_reasons.active",
}

_CUDNN: Any = torch.backends.cudnn  # its attributes are not in torch's stubs


class DeviceError(InvbenchError, ValueError):
    """The device asked for is not there."""


def resolve_device(name: str, *, worker: int = 0) -> torch.device:
    """Return the device that is named, and make it the current one.

    Args:
        name: "cpu", "cuda", "cuda:N", or "auto" for a GPU if there is one.
        worker: number of this process among parallel ones; "auto" and "cuda" give worker i the GPU
            i modulo the number of GPUs.

    Raises:
        DeviceError: if it does not exist, or is of a kind that clocks do not wait for.
    """
    device = _find_device(name, worker)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)  # clocks and memory are read of the current device
    return device


def _find_device(name: str, worker: int) -> torch.device:
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", worker % torch.cuda.device_count())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name}: clocks do not wait for such a device; use cpu, cuda or cuda:N")
    if str(device) == "cuda" and torch.cuda.is_available():
        return torch.device("cuda", worker % torch.cuda.device_count())
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"{name}: torch sees {torch.cuda.device_count()} CUDA devices; use auto")
    return device


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the facts about this machine that a record keeps, as values for JSON."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": {
            "name": _cpu_name(),
            "count": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "freed_memory": _freed_memory(),
        },
        "packages": {name: _version(name) for name in PACKAGES},
        "libjpeg": {
            # "jpg" has the version of the interface, which is 6.2 in every libjpeg-turbo
            "version": features.version("libjpeg_turbo") or features.version("jpg"),
            "turbo": bool(features.check("libjpeg_turbo")),
        },
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gpu": (gpu := _gpu(device)) and gpu | {"driver": _ask_driver("driver_version", device)},
        "determinism": {
            "matmul_fp32_precision": torch.backends.cuda.matmul.fp32_precision,
            "conv_fp32_precision": _CUDNN.conv.fp32_precision,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        },
        "git": _git(),
    }


def lasting_facts(device: torch.device) -> dict[str, Any]:
    """Return the part of the environment that stays the same from run to run on one machine."""
    facts = describe_environment(device)
    del facts["git"]
    return facts


def device_key(device: torch.device, dtype: str) -> str:
    """Return the key within which timings compare: hardware, CUDA, torch, precision.

    Ask for it once samples were drawn: a sampler may have changed the precision.
    """
    gpu = _gpu(device)
    if gpu is None:
        threads, memory = f"{torch.get_num_threads()} threads", f"memory {_freed_memory()}"
        return f"{_cpu_name()}/{threads}/{memory}/torch{torch.__version__}/{dtype}"
    software = f"cu{gpu['cuda']}/torch{torch.__version__}"
    return f"{gpu['name']}/{software}/{dtype}/{_float32_precision()}"


def forbid_tf32() -> None:
    """Compute in float32 rather than TF32 or bfloat16, so that scores agree between machines.

    Torch has old and new switches for it, and refuses to read the old ones where they differ.
    """
    torch.set_float32_matmul_precision("highest")  # CPUs' products too
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    _CUDNN.conv.fp32_precision = _CUDNN.rnn.fp32_precision = "ieee"


def _float32_precision() -> str:
    """Say what float32 is computed in now, which a sampler may have changed."""
    conv, matmul = (
        "tf32" if switch.fp32_precision == "tf32" else "ieee"
        for switch in (_CUDNN.conv, torch.backends.cuda.matmul)
    )
    return conv if conv == matmul else f"conv {conv}, matmul {matmul}"


def _freed_memory() -> str:
    return "kept" if freed_memory_is_kept() else "returned"


def _gpu(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def gpu_clocks(device: torch.device) -> dict[str, int | str | None]:
    """Ask the driver for a GPU's clocks, next to what is timed: an idle card's say nothing.

    Returns:
        ``sm_mhz``, ``max_sm_mhz``, ``memory_mhz`` and ``throttle_reasons``, the driver's bit mask
        in hexadecimal (0x1 is idle); null where ``nvidia-smi`` is missing.
    """
    answers = {name: _ask_driver(query, device) for name, query in CLOCKS.items()}
    return {
        name: int(answer) if answer and name.endswith("mhz") else answer
        for name, answer in answers.items()
    }


def _ask_driver(query: str, device: torch.device) -> str | None:
    """Return one answer of ``nvidia-smi``, or None if it has none."""
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", f"--id={uuid}", f"--query-gpu={query}"]
    try:
        answer = _output([*command, "--format=csv,noheader,nounits"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if answer.startswith("[") else answer  # [N/A], [Not Supported]


@cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _git() -> dict[str, Any] | None:
    """Return commit and state of the checkout that the suite runs in, if it is one."""
    try:
        commit = _run_git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run_git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _run_git(*arguments: str) -> str:
    return _output(["git", *arguments])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 ours
    return done.stdout.strip()
