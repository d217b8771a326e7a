"""What a call leaves behind in the process: generators that advanced, settings of torch."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from invbench.evaluation.contract import global_states, touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CUDNN: Any = torch.backends.cudnn  # its attributes are not in torch's stubs


def _set_tf32(precisions: tuple[str, str]) -> None:
    torch.backends.cuda.matmul.fp32_precision, _CUDNN.conv.fp32_precision = precisions


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


# Name -> how to read it, how to set it back
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "gradients enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, _set_default_device),
    "precision of matmul and cuDNN": (
        lambda: (torch.backends.cuda.matmul.fp32_precision, _CUDNN.conv.fp32_precision),
        _set_tf32,
    ),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "threads": (torch.get_num_threads, torch.set_num_threads),
}


@dataclass
class Effects:
    """What a block did to the process; known when it has ended.

    Attributes:
        touched: the global generators that it left in another state.
        changed: the settings that it changed, each with both values.
    """

    touched: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[Effects]:
    """Note what the block does to the process, and set the settings back."""
    effects = Effects()
    states = global_states()
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    try:
        yield effects
    finally:
        effects.touched = touched(states)
        for name, (read, write) in SETTINGS.items():
            if (value := read()) != before[name]:
                effects.changed.append(f"{name}: {before[name]} became {value}")
                write(before[name])


def seed_everything(seed: int) -> None:
    """Seed all global generators."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  a sampler may use it
    random.seed(seed)
