"""Noise that is added to an observation, the same one for an image whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import InvalidOptionError
from invbench.seeding import generator, text_seed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Independent normal noise on every value of an observation.

    Noisy observations are float32: they are neither rounded nor clamped, so that the noise keeps
    its law. A few values lie outside [0, 1].

    Attributes:
        std: standard deviation, in units of the stored image, [0, 1]; 0 for none.
    """

    std: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.std < float("inf"):
            raise InvalidOptionError(f"noise of std {self.std}; give a number from 0 up")

    def __bool__(self) -> bool:
        return self.std > 0

    @classmethod
    def none(cls) -> Noise:
        """Return what the study's observations have.

        >>> bool(Noise.none()), bool(Noise(5 / 255))
        (False, True)
        """
        return cls()

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        return {"name": "gaussian", "version": "1", "params": {"std": self.std}}

    def add(self, observation: Tensor, *, task: str, image_id: str) -> Tensor:
        """Return an observation ``[c, h, w]`` with noise, or itself if there is none.

        The noise hangs on the task's name and the image's id and on nothing else: not on the run's
        seed, the device, the batch or the shard. It is drawn on the CPU.
        """
        if not self:
            return observation
        source = generator(text_seed(f"noise/{task}/{image_id}"))
        normal = torch.randn(observation.shape, generator=source, dtype=torch.float32, device="cpu")
        return observation + self.std * normal.to(observation)
