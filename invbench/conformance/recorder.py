"""A sampler around another one, which notes what each call does besides sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.conformance.effects import Effects, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Call:
    """One call of a sampler.

    Attributes:
        effects: on the process.
        inputs: which of its arguments it changed.
        returned: type, dtype and shape of what it returned.
        device: of the samples; NumPy's arrays are on the CPU.
    """

    effects: Effects
    inputs: Sequence[str]
    returned: str
    device: torch.device


class Recorder:
    """Hands on what a sampler returns or raises.

    Attributes:
        calls: that did not raise, so far.
    """

    def __init__(self, sampler: Callable[..., Tensor]) -> None:
        self.calls: list[Call] = []
        self._sampler = sampler

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row."""
        observed, listed = observation.clone(), list(generators)
        with watched() as effects:
            returned = self._sampler(observation, generators)
        inputs = [] if torch.equal(observation, observed) else ["the observation"]
        if list(map(id, generators)) != list(map(id, listed)):
            inputs.append("the list of generators")
        device = getattr(returned, "device", None)
        device = device if isinstance(device, torch.device) else torch.device("cpu")
        self.calls.append(Call(effects, inputs, _describe(returned), device))
        return returned


def _describe(returned: object) -> str:
    """Say of what type, dtype and shape something is.

    >>> _describe(torch.zeros(2, 3))
    'Tensor float32 (2, 3)'
    """
    name = type(returned).__name__
    if not (hasattr(returned, "shape") and hasattr(returned, "dtype")):
        return name
    return f"{name} {str(returned.dtype).removeprefix('torch.')} {tuple(returned.shape)}"
