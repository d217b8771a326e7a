"""A JPEG codec in real arithmetic, as a projection that a sampler can use inside its loop.

Not the benchmark's JPEG (`operators.jpeg` is, bit-exactly): nothing is rounded or clipped but the
coefficients, and chroma is doubled by repetition. That makes ``encode(decode(c)) == c``, so that
decoding what was encoded is a projection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from invbench.errors import InvalidImagesError
from invbench.operators import quantization_tables

if TYPE_CHECKING:
    from torch import Tensor

_Matrix = tuple[tuple[float, float, float], ...]

# Weights of red, green, blue in luma and chroma; and of luma and chroma in red, green, blue
_JFIF: tuple[_Matrix, _Matrix] = (
    (
        (0.299, 0.587, 0.114),
        (-0.299 / 1.772, -0.587 / 1.772, 0.5),
        (0.5, -0.587 / 1.402, -0.114 / 1.402),
    ),
    (
        (1, 0, 1.402),
        (1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587),
        (1, 1.772, 0),
    ),
)
_ROUNDED: tuple[_Matrix, _Matrix] = (
    ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813)),
    (
        (1, -3.68e-5, 1.40198758),
        (1, -0.344113281, -0.714103821),
        (1, 1.77197812, -1.34583413e-4),
    ),
)

# The 8-point orthonormal DCT-II: frequencies down, samples across
_DCT = torch.tensor(
    [
        [
            math.sqrt((2 if k else 1) / 8) * math.cos(math.pi * k * (2 * n + 1) / 16)
            for n in range(8)
        ]
        for k in range(8)
    ],
    dtype=torch.float64,
    device="cpu",
)


@dataclass(frozen=True, kw_only=True)
class JpegCodec:
    """Encode images to whole JPEG coefficients and back.

    Attributes:
        quality: 1 to 100, scaling the tables as libjpeg does.
        kind: "official" is the codec of the published DDRM-JPEG code, which keeps every second
            chroma sample and rounds its color matrices to four digits. "aligned" averages 2x2
            chroma samples, as libjpeg does, and so lies closer to real files.
    """

    quality: int = 1
    kind: Literal["official", "aligned"] = "aligned"

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return whole coefficients of luma ``[N, 1, H, W]`` and chroma ``[N, 2, H/2, W/2]``.

        Args:
            images: ``[N, 3, H, W]`` in [-1, 1] or beyond, H and W multiples of 16.

        Raises:
            InvalidImagesError: for other sizes.
        """
        height, width = images.shape[-2:]
        if height % 16 or width % 16:
            raise InvalidImagesError(f"{height}x{width} images: JPEG needs multiples of 16 here")
        luma, chroma = self.transform((images + 1) / 2 * 255, black=128)
        luma_table, chroma_table = self.tables(height, width, like=images)
        return (luma / luma_table).round(), (chroma / chroma_table).round()

    def transform(self, images: Tensor, *, black: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the coefficients of luma and chroma, before they are divided by the tables.

        Args:
            images: ``[N, 3, H, W]``, in any unit.
            black: subtracted from luma; at 0 the map is linear.
        """
        planes = _mix(images, self._matrices[0])
        chroma = planes[:, 1:]
        aligned = self.kind == "aligned"
        chroma = functional.avg_pool2d(chroma, 2) if aligned else chroma[..., ::2, ::2]
        return to_cosines(planes[:, :1] - black), to_cosines(chroma)

    def inverse(self, luma: Tensor, chroma: Tensor, *, black: float = 0.0) -> Tensor:
        """Return images ``[N, 3, H, W]`` of these coefficients, of which `transform` gives them."""
        luma, chroma = to_pixels(luma), to_pixels(chroma)
        doubled = chroma.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        return self.colors(torch.cat([luma + black, doubled], dim=1))

    def colors(self, planes: Tensor) -> Tensor:
        """Mix luma and chroma ``[N, 3, H, W]`` to red, green and blue."""
        return _mix(planes, self._matrices[1])

    def tables(self, height: int, width: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the steps of all coefficients: ``[H, W]`` of luma, ``[H/2, W/2]`` of chroma."""
        luma, chroma = _tables(self.quality, like.dtype, like.device)
        return _tiled(luma, height, width), _tiled(chroma, height // 2, width // 2)

    def decode(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """Return the images ``[N, 3, H, W]`` of coefficients; they may leave [-1, 1]."""
        luma_table, chroma_table = self.tables(*luma.shape[-2:], like=luma)
        images = self.inverse(luma * luma_table, chroma * chroma_table, black=128)
        return images / 255 * 2 - 1

    def project(self, images: Tensor) -> Tensor:
        """Return ``decode(encode(images))``."""
        return self.decode(*self.encode(images))

    @property
    def luma_and_chroma(self) -> Tensor:
        """Return the weights of red, green and blue in luma and chroma, ``[3, 3]`` float64."""
        return torch.tensor(self._matrices[0], dtype=torch.float64, device="cpu")

    @property
    def _matrices(self) -> tuple[_Matrix, _Matrix]:
        return _ROUNDED if self.kind == "official" else _JFIF


def to_cosines(planes: Tensor) -> Tensor:
    """Apply the orthonormal cosine transform to each 8x8 block of ``[N, C, H, W]``."""
    return _blockwise(planes, _cosines(planes.dtype, planes.device))


def to_pixels(planes: Tensor) -> Tensor:
    """Undo `to_cosines`."""
    return _blockwise(planes, _cosines(planes.dtype, planes.device).T)


def _mix(planes: Tensor, matrix: _Matrix) -> Tensor:
    weights = _weights(matrix, planes.dtype, planes.device)
    return torch.einsum("oc,nchw->nohw", weights, planes)


# Copied to a device once, since copying makes the host wait; also for callers that need gradients


@cache
@torch.inference_mode(mode=False)
def _weights(matrix: _Matrix, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(matrix, dtype=dtype, device=device)


@cache
@torch.inference_mode(mode=False)
def _tables(quality: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return quantization_tables(quality).to(device, dtype)


@cache
@torch.inference_mode(mode=False)
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    return _DCT.to(device, dtype)


def _tiled(table: Tensor, height: int, width: int) -> Tensor:
    return table.repeat(height // 8, width // 8)


def _blockwise(planes: Tensor, matrix: Tensor) -> Tensor:
    """Apply ``matrix`` to the rows and columns of every 8x8 block, in place of the block."""
    blocks = planes.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8))
    return torch.einsum("ki,nchiwj,lj->nchkwl", matrix, blocks, matrix).reshape_as(planes)
