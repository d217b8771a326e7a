"""What does a sampler get to see? The forward processes, from images to observations.

The exact operators are bit-exact with Pillow on 8-bit images, whatever the device and the batch;
the linear ones are their unrounded cousins, for methods that need adjoints and singular values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from invbench.operators.blur import CircularBlur, LinearBlur
from invbench.operators.color import PillowGray, grayscale
from invbench.operators.diagonal_svd import HartleySVD, PermutedSVD
from invbench.operators.function import LinearFunction, Unrounded
from invbench.operators.jpeg import PillowJpeg, jpeg_roundtrip, quantization_tables
from invbench.operators.linear import LinearBicubic, LinearGray, mirrored_bicubic_matrix
from invbench.operators.masks import LinearMasking, Masking
from invbench.operators.resize import PillowBicubic, bicubic_matrix, resize_bicubic
from invbench.operators.svd import SVD, Factors, PixelSVD, SeparableSVD
from invbench.operators.varied_masks import VariedMasking

if TYPE_CHECKING:
    from torch import Tensor


class Operator(Protocol):
    """A forward process; a frozen dataclass, so that its ``repr`` names every parameter."""

    @property
    def name(self) -> str:
        """Id for records."""

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, ready for JSON: name, version and params.

        The version changes whenever results stop being comparable.
        """

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` in [0, 1] to observations ``[..., c, h, w]`` in [0, 1]."""


class Linear(Operator, Protocol):
    """A linear forward process for images of one size, which autograd can differentiate."""

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations ``[..., c, h, w]`` to images ``[..., 3, H, W]`` by the transpose."""

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them, by the pseudo-inverse."""

    def svd(self) -> SVD | None:
        """Decompose into singular values; None where no fast decomposition is known."""


class Varied(Operator, Protocol):
    """A forward process that differs from image to image.

    Its observations say in what, so that a sampler can know it, too, as by a mask for a last
    channel.
    """

    def observe(self, image: Tensor, image_id: str) -> Tensor:
        """Return the observation of the image ``[3, H, W]`` that has an id."""

    def at(self, observations: Tensor) -> tuple[Operator, Linear | None]:
        """Return the forward process of observations, row by row, and its linear twin.

        What it makes of images are the observations' first channels.
        """


__all__ = [
    "SVD",
    "CircularBlur",
    "Factors",
    "HartleySVD",
    "Linear",
    "LinearBicubic",
    "LinearBlur",
    "LinearFunction",
    "LinearGray",
    "LinearMasking",
    "Masking",
    "Operator",
    "PermutedSVD",
    "PillowBicubic",
    "PillowGray",
    "PillowJpeg",
    "PixelSVD",
    "SeparableSVD",
    "Unrounded",
    "Varied",
    "VariedMasking",
    "bicubic_matrix",
    "grayscale",
    "jpeg_roundtrip",
    "mirrored_bicubic_matrix",
    "quantization_tables",
    "resize_bicubic",
]
