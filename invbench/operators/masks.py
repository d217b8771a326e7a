"""Masks: pixels that an observation shows; the others are 0."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.operators.diagonal_svd import PermutedSVD
from invbench.seeding import generator, text_seed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Box:
    """Hides a centred box.

    Attributes:
        side: of the box, as a share of the image's; rounded down to whole pixels.
    """

    side: float = 0.5

    name: ClassVar[str] = "box"

    def __post_init__(self) -> None:
        _check_share(self.side)

    def shown(self, height: int, width: int) -> Tensor:
        """Return which pixels are shown, bool ``[H, W]``."""
        shown = torch.ones(height, width, dtype=torch.bool, device="cpu")
        tall, wide = int(self.side * height), int(self.side * width)
        top, left = (height - tall) // 2, (width - wide) // 2
        shown[top : top + tall, left : left + wide] = False
        return shown


@dataclass(frozen=True)
class Scattered:
    """Hides pixels here and there, all colours of a pixel together.

    Attributes:
        share: of the pixels that are hidden; their number is rounded down.
        seed: which pixels.
    """

    share: float = 0.5
    seed: int = 0

    name: ClassVar[str] = "scattered"

    def __post_init__(self) -> None:
        _check_share(self.share)

    def shown(self, height: int, width: int) -> Tensor:
        """Return which pixels are shown, bool ``[H, W]``."""
        source = generator(text_seed(f"mask/{self.seed}/{height}x{width}"))
        order = torch.randperm(height * width, generator=source, device="cpu")
        shown = torch.ones(height * width, dtype=torch.bool, device="cpu")
        shown[order[: int(self.share * height * width)]] = False
        return shown.reshape(height, width)


@dataclass(frozen=True)
class Everything:
    """Hides nothing."""

    name: ClassVar[str] = "everything"

    def shown(self, height: int, width: int) -> Tensor:
        """Return which pixels are shown, bool ``[H, W]``."""
        return torch.ones(height, width, dtype=torch.bool, device="cpu")


@dataclass(frozen=True, eq=False)
class Given:
    """Hides what a mask hides that was read from observations.

    Attributes:
        pixels: those shown, bool ``[..., 1, H, W]``; one mask a row.
    """

    pixels: Tensor

    name: ClassVar[str] = "given"

    def shown(self, height: int, width: int) -> Tensor:
        """Return which pixels are shown, bool ``[..., 1, H, W]``."""
        return self.pixels.expand(*self.pixels.shape[:-2], height, width)


Mask = Box | Scattered | Everything | Given


@dataclass(frozen=True)
class Masking:
    """Hide pixels as a forward process: round to 8 bits, and set the hidden pixels to 0.

    Attributes:
        mask: which pixels are hidden.
    """

    mask: Mask

    name: ClassVar[str] = "mask"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {"mask": self.mask.name, **asdict(self.mask), "quantization": "8 bits"}
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 3, height, width

    def measured(self, height: int, width: int) -> Tensor:
        """Return which values of an observation were measured, bool ``[3, H, W]``."""
        return _in_colours(self.mask.shown(height, width))

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` in [0, 1] to observations of the same shape.

        Raises:
            InvalidImagesError: if the images break the convention.
        """
        check_images(images, channels=3)
        return from_uint8(to_uint8(images)) * _weights(self.mask, images)


@dataclass(frozen=True)
class LinearMasking:
    """Hide pixels, without rounding; projection, adjoint and pseudo-inverse are one and the same.

    Attributes:
        height: of the images.
        width: of the images.
        mask: which pixels are hidden.
    """

    height: int
    width: int
    mask: Mask

    name: ClassVar[str] = "mask-linear"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {"height": self.height, "width": self.width, "mask": self.mask.name}
        params |= asdict(self.mask)
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 3, height, width

    def measured(self, height: int, width: int) -> Tensor:
        """Return which values of an observation were measured, bool ``[3, H, W]``."""
        return _in_colours(self.mask.shown(height, width))

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` to observations of the same shape.

        Raises:
            InvalidImagesError: for images of another size.
        """
        if images.shape[-2:] != (self.height, self.width):
            raise InvalidImagesError(
                f"shape {tuple(images.shape)} where the operator was made for "
                f"[..., {self.height}, {self.width}]"
            )
        return images * _weights(self.mask, images)

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations to images by the transpose: the mask itself."""
        return self(observations)

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them: hidden pixels are 0."""
        return self(observations)

    def svd(self) -> PermutedSVD | None:
        """Decompose into singular values, all 1; None if every row has a mask of its own."""
        measured = self.measured(self.height, self.width)
        return PermutedSVD(measured) if measured.ndim == 3 else None


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise UnknownNameError(f"a share of {share}; choose a number between 0 and 1")


def _in_colours(shown: Tensor) -> Tensor:
    """Let the channels of an image share a mask, ``[H, W]`` or ``[..., 1, H, W]``."""
    return shown.expand(*shown.shape[:-3], 3, *shown.shape[-2:])


def _weights(mask: Mask, like: Tensor) -> Tensor:
    return _cached(mask, *like.shape[-2:], like.dtype, like.device)


@lru_cache(maxsize=16)
def _cached(
    mask: Mask, height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    with torch.inference_mode(mode=False):  # kept, so also for callers that need gradients
        return mask.shown(height, width).to(device, dtype)
