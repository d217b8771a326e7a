"""Facts about machine and packages that results depend on."""

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


_CUDNN: Any = torch.backends.cudnn  # its attributes are not in torch's stubs


class DeviceError(InvbenchError, ValueError):
    """The device asked for is not there."""


def resolve_device(name: str) -> torch.device:
    """Turn "cpu", "cuda", "cuda:N" or "auto" into a device that exists.

    Raises:
        DeviceError: if it does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"{name}: torch sees {torch.cuda.device_count()} CUDA devices; use auto")
    return device


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a record has to know about where it was made; JSON-able."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": {"name": _cpu_name(), "count": os.cpu_count(), "threads": torch.get_num_threads()},
        "packages": {name: _version(name) for name in PACKAGES},
        "libjpeg": {
            "version": features.version("jpg"),
            "turbo": bool(features.check("libjpeg_turbo")),
        },
        "gpu": _gpu(device),
        "determinism": {
            "matmul_fp32_precision": torch.backends.cuda.matmul.fp32_precision,
            "conv_fp32_precision": _CUDNN.conv.fp32_precision,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        },
        "git": _git(),
    }


def device_key(device: torch.device, dtype: str) -> str:
    """Return the key within which timings compare: hardware, CUDA, torch, precision."""
    gpu = _gpu(device)
    if gpu is None:
        return f"{_cpu_name()}/{torch.get_num_threads()} threads/torch{torch.__version__}/{dtype}"
    precision = _CUDNN.conv.fp32_precision
    return f"{gpu['name']}/cu{gpu['cuda']}/torch{torch.__version__}/{dtype}/{precision}"


def forbid_tf32() -> None:
    """Compute float32 as float32 on GPUs, so that scores agree between them."""
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    _CUDNN.conv.fp32_precision = "ieee"


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


@cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
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
    done = subprocess.run(  # noqa: S603 fixed arguments
        ["git", *arguments],  # noqa: S607 the user's git
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
