"""Masks that differ from image to image; the observation says which pixels it shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from invbench.errors import InvalidImagesError
from invbench.operators.masks import Given, LinearMasking, Masking, Scattered
from invbench.seeding import text_seed

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.operators import Linear, Operator


@dataclass(frozen=True)
class VariedMasking:
    """Hide other pixels of every image, and show which as a fourth channel.

    Observations are ``[4, H, W]``: the image, 0 where it is hidden, and 1 where it is shown. `at`
    gives the forward process of an observation.

    Attributes:
        share: of the pixels that are hidden.
    """

    share: float = 0.5

    name: ClassVar[str] = "mask-varied"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {"mask": Scattered.name, **asdict(self), "quantization": "8 bits"}
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 4, height, width

    def __call__(self, images: Tensor) -> Tensor:
        """Refuse: which pixels are hidden is not known without the image's id or observation.

        Raises:
            InvalidImagesError: always.
        """
        raise InvalidImagesError(
            f"images {tuple(images.shape)}: {self.name} hides other pixels of every image; take "
            "problem.at(observations).operator"
        )

    def observe(self, image: Tensor, image_id: str) -> Tensor:
        """Return the observation ``[4, H, W]`` of an image ``[3, H, W]``; its id picks the mask."""
        height, width = image.shape[-2:]
        mask = Scattered(self.share, seed=text_seed(f"mask/{image_id}"))
        shown = mask.shown(height, width)[None].to(image)
        return torch.cat([Masking(mask)(image), shown])

    def at(self, observations: Tensor) -> tuple[Operator, Linear]:
        """Return the forward process of observations ``[..., 4, H, W]``, and its linear twin.

        Both take the images of these observations, row by row, or several images of one.
        """
        mask = Given(observations[..., 3:, :, :] > 0)
        height, width = observations.shape[-2:]
        return Masking(mask), LinearMasking(height, width, mask)
