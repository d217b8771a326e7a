"""JPEG compression and decompression, bit-exact with Pillow (libjpeg-turbo) and batched.

Entropy coding loses nothing, so it is left out. All other steps are libjpeg's: chroma averaged to
half size, the integer block transform, the quantizer, and "fancy" upsampling. They are int32
arithmetic, which no precision setting and no autocast can change. For large images on a CPU Pillow
itself is several times faster, and is taken where its libjpeg gives the same bits.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from PIL import Image

from invbench.errors import UnknownNameError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.operators.blocks import code_planes, extend, quantization_tables
from invbench.operators.color import LUMA_WEIGHTS
from invbench.operators.exact import check_bytes, in_chunks, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PillowJpeg", "Subsampling", "jpeg_roundtrip", "quantization_tables"]

Subsampling = Literal["4:2:0", "4:4:4"]

# Weights of red, green, blue in Cb and Cr, and of Cb, Cr in red, green, blue, in units of 1/65536
_CHROMA_WEIGHTS = ((-11059, -21709, 32768), (32768, -27439, -5329))
_COLOR_WEIGHTS = ((0, 91881), (-22554, -46802), (116130, 0))
_HALF = 1 << 15

PILLOW_PIXELS = 2**14
"""From this size of an image on Pillow is faster on a CPU; its calls take time of their own."""

# Channels, quality and subsampling of what is compared with Pillow
_COMPARED: tuple[tuple[int, int, Subsampling], ...] = (
    *((3, 1, "4:2:0"), (3, 90, "4:2:0"), (3, 30, "4:4:4"), (1, 50, "4:2:0")),
)


def jpeg_roundtrip(images: Tensor, *, quality: int, subsampling: Subsampling = "4:2:0") -> Tensor:
    """Compress 8-bit images as JPEG and decompress them, exactly as Pillow does.

    Args:
        images: uint8 ``[..., C, H, W]`` on any device, C = 3 (RGB) or 1 (gray), of any size.
        quality: 1 to 100, as in ``Image.save(..., quality=quality)``.
        subsampling: "4:2:0" halves the chroma planes (Pillow's default), "4:4:4" keeps them. Gray
            images have none.

    Returns:
        uint8, of the shape of ``images``.

    Raises:
        InvalidImagesError: for another dtype or number of channels.
        UnknownNameError: for another quality or subsampling.

    Example:
        >>> image = torch.full((3, 16, 16), 100, dtype=torch.uint8)
        >>> jpeg_roundtrip(image, quality=1).unique()
        tensor([96], dtype=torch.uint8)
    """
    check_bytes(images, channels=(1, 3))
    _check_subsampling(subsampling)
    quantization_tables(quality)  # or name what is wrong
    large = images.device.type == "cpu" and prod(images.shape[-2:]) >= PILLOW_PIXELS

    def roundtrip(part: Tensor) -> Tensor:
        if large and pillow_agrees():
            return _by_pillow(part, quality, subsampling)
        return by_arithmetic(part, quality, subsampling)

    return in_chunks(roundtrip, images, tuple(images.shape[-3:]))


def by_arithmetic(images: Tensor, quality: int, subsampling: Subsampling) -> Tensor:
    """Code 8-bit images ``[N, C, H, W]`` by integer arithmetic on any device, int32."""
    tables = quantization_tables(quality).to(images.device)
    if images.shape[1] == 1:
        return code_planes([images.to(torch.int32)], tables)[0]
    return _code_colors(images, tables, halved=subsampling == "4:2:0")


@cache
def pillow_agrees() -> bool:
    """Tell whether the libjpeg inside Pillow gives the bits of `by_arithmetic`.

    Other builds of libjpeg round otherwise. Noise of an odd size visits every step of either.
    """
    noise = torch.Generator(device="cpu").manual_seed(0)
    for channels, quality, subsampling in _COMPARED:
        shape = (1, channels, 77, 101)
        images = torch.randint(0, 256, shape, generator=noise, dtype=torch.uint8, device="cpu")
        expected = by_arithmetic(images, quality, subsampling).to(torch.uint8)
        if not torch.equal(_by_pillow(images, quality, subsampling), expected):
            return False
    return True


def _by_pillow(images: Tensor, quality: int, subsampling: Subsampling) -> Tensor:
    result = np.empty(images.shape, np.uint8)
    for planes, out in zip(images.contiguous().numpy(), result, strict=True):
        bands = [Image.fromarray(plane) for plane in planes]  # merging them beats moving channels
        file = io.BytesIO()
        if len(bands) == 1:
            bands[0].save(file, "JPEG", quality=quality)
        else:
            Image.merge("RGB", bands).save(file, "JPEG", quality=quality, subsampling=subsampling)
        with Image.open(file, formats=("JPEG",)) as image:
            for plane, band in zip(out, image.split(), strict=True):
                plane[:] = band
    return torch.from_numpy(result)


def _check_subsampling(subsampling: str) -> None:
    if subsampling not in get_args(Subsampling):
        raise UnknownNameError.among("subsampling", subsampling, get_args(Subsampling))


def _code_colors(images: Tensor, tables: Tensor, *, halved: bool) -> Tensor:
    # RGB to luma and chroma; chroma is offset by 128 and, unlike luma, rounds halves down
    colors = images.transpose(0, 1).to(torch.int32, memory_format=torch.contiguous_format)
    planes = torch.empty_like(colors)
    weighted_sum(colors, LUMA_WEIGHTS, _HALF, out=planes[0])
    for weights, plane in zip(_CHROMA_WEIGHTS, planes[1:], strict=True):
        weighted_sum(colors, weights, (128 << 16) + _HALF - 1, out=plane)
    luma, chroma = planes.bitwise_right_shift_(16).tensor_split([1])

    # Through the quantizer, chroma at half size
    luma, chroma = code_planes([luma, _halve(chroma) if halved else chroma], tables)
    if halved:
        chroma = _double(chroma, *images.shape[-2:])

    # Back to RGB: luma plus the rounded share of (chroma - 128)
    result = torch.empty(images.shape, dtype=torch.int32, device=images.device)
    for shares, plane in zip(_COLOR_WEIGHTS, result.unbind(1), strict=True):
        weighted_sum(chroma, shares, _HALF - 128 * sum(shares), out=plane)
    return result.bitwise_right_shift_(16).add_(luma.transpose(0, 1)).clamp_(0, 255)


def _halve(planes: Tensor) -> Tensor:
    """Average 2x2 pixels, rounding up and down in alternate columns, as libjpeg does.

    Columns are repeated before averaging, up to whole blocks of the result; rows only up to an even
    number, as whole blocks are filled with the last averaged row.
    """
    height, width = planes.shape[-2:]
    planes = extend(planes, height + height % 2, -(-width // 16) * 16)
    rows = planes[..., 0::2, :] + planes[..., 1::2, :]
    sums = rows[..., 0::2] + rows[..., 1::2]
    bias = torch.tensor([1, 2], dtype=torch.int32, device=planes.device)
    return sums.add_(bias.repeat(sums.shape[-1] // 2)).bitwise_right_shift_(2)


def _double(planes: Tensor, height: int, width: int) -> Tensor:
    """Enlarge chroma to ``height x width`` with weights 3/4 and 1/4, as libjpeg's fancy upsampling.

    Rounds up and down in alternate columns. Images up to four pixels wide get plain copies.
    """
    planes = planes[..., : -(-height // 2), : -(-width // 2)]
    if planes.shape[-1] <= 2:
        wide = planes.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return wide[..., :height, :width]
    planes = planes.to(torch.int16)  # no sum exceeds 16 * 255 + 8
    wide = _interleave(planes, 3 * planes, -1)
    bias = torch.tensor([8, 7], dtype=torch.int16, device=planes.device).repeat(planes.shape[-1])
    tall = _interleave(wide, (3 * wide).add_(bias), -2).bitwise_right_shift_(4)
    return tall[..., :height, :width].to(torch.int32)


def _interleave(far: Tensor, near: Tensor, axis: int) -> Tensor:
    """Return ``near`` plus its lower, then its upper neighbor in ``far``, for every entry."""
    shape, inner = list(far.shape), far.shape[axis] - 1
    shape.insert(len(shape) + 1 + axis, 2)
    result = far.new_empty(shape)
    lower, upper = result.unbind(axis)
    first, last = (0, 1), (inner, 1)
    for out, here, there in (
        (lower, (1, inner), (0, inner)),
        (lower, first, first),
        (upper, (0, inner), (1, inner)),
        (upper, last, last),
    ):
        torch.add(near.narrow(axis, *here), far.narrow(axis, *there), out=out.narrow(axis, *here))
    return result.flatten(axis - 1, axis)


@dataclass(frozen=True)
class PillowJpeg:
    """A JPEG round trip as a forward process: round to 8 bits, code as Pillow, scale to [0, 1].

    Attributes:
        quality: 1 to 100.
        subsampling: "4:2:0" or "4:4:4".
    """

    quality: int = 1
    subsampling: Subsampling = "4:2:0"

    name: ClassVar[str] = "jpeg-pillow"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        _check_subsampling(self.subsampling)
        quantization_tables(self.quality)

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        return {"name": self.name, "version": self.version, "params": asdict(self)}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 3, height, width

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images ``[..., 3, H, W]`` to their decompressed versions, both in [0, 1].

        Raises:
            InvalidImagesError: if the images break the convention.
        """
        check_images(images, channels=3)
        return in_chunks(
            lambda part: from_uint8(
                jpeg_roundtrip(to_uint8(part), quality=self.quality, subsampling=self.subsampling)
            ),
            images,
            self.observation_shape(*images.shape[-2:]),
            torch.float32,
        )
