"""The 8x8 block coder of JPEG: transform, quantize and restore planes, as libjpeg does.

The transform is libjpeg's default, "islow": 13-bit fixed point with one rounding for each pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.errors import UnknownNameError
from invbench.operators.exact import weighted_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Quantization tables of ITU-T T.81, annex K.1: luma, chroma
_BASE_TABLES = (
    (
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        *(17, 18, 24, 47, 99, 99, 99, 99),
        *(18, 21, 26, 66, 99, 99, 99, 99),
        *(24, 26, 56, 99, 99, 99, 99, 99),
        *(47, 66, 99, 99, 99, 99, 99, 99),
        *(99,) * 32,
    ),
)

# sqrt(8) times the orthonormal 8-point DCT, in units of 1/8192: frequencies down, samples across.
# The last digits follow from the rounded constants of Loeffler, Ligtenberg and Moschytz' flow graph
# (ICASSP 1989) in libjpeg; its inverse transform is exactly the transpose.
_DCT = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)


def quantization_tables(quality: int) -> Tensor:
    """Return libjpeg's luma and chroma quantization tables of a quality, int32 ``[2, 8, 8]``.

    They are those of annex K, times ``5000 // quality`` percent below 50, else ``200 - 2 quality``
    percent, within 1..255.

    Raises:
        UnknownNameError: if the quality is not a whole number from 1 to 100.

    Example:
        >>> quantization_tables(1).unique()
        tensor([255], dtype=torch.int32)
    """
    if not (isinstance(quality, int) and 1 <= quality <= 100):
        raise UnknownNameError(f"JPEG quality {quality!r}; choose a whole number from 1 to 100")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = torch.tensor(_BASE_TABLES, dtype=torch.int32, device="cpu")
    return ((base * percent + 50) // 100).clamp_(1, 255).reshape(2, 8, 8)


def code_planes(planes: Sequence[Tensor], tables: Tensor) -> list[Tensor]:
    """Transform, quantize and restore int32 planes ``[C, N, H, W]``, each with its own table."""
    padded = [extend(plane, *(-(-size // 8) * 8 for size in plane.shape[-2:])) for plane in planes]
    counts = [plane.numel() // 64 for plane in padded]

    # Gather all blocks as [column, row, block], so that every step runs along long rows
    blocks = torch.empty((8, 8, sum(counts)), dtype=torch.int32, device=tables.device)
    parts = blocks.split(counts, dim=2)
    for plane, part in zip(padded, parts, strict=True):
        _as_image(part, plane.shape).copy_(plane.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)))

    # Transform rows, keeping two fractional bits, then columns: 8 times the orthonormal DCT
    _forward_dct(blocks, axis=0, bits=11, level=128)
    _forward_dct(blocks, axis=1, bits=15)

    # Quantize and restore
    for part, table in zip(parts, tables, strict=False):
        _quantize(part, table.T[..., None])

    # Transform columns, keeping two fractional bits, then rows
    _inverse_dct(blocks, axis=1, bits=11)
    _inverse_dct(blocks, axis=0, bits=18, level=128)
    blocks.clamp_(0, 255)

    return [
        _as_image(part, plane.shape).reshape(plane.shape)[..., : size[-2], : size[-1]]
        for part, plane, size in zip(parts, padded, (p.shape for p in planes), strict=True)
    ]


def _as_image(blocks: Tensor, shape: torch.Size) -> Tensor:
    """View blocks [column, row, block] of planes ``[C, N, H, W]`` as ``[C, N, H/8, 8, W/8, 8]``."""
    *leading, height, width = shape
    grid: Tensor = blocks.unflatten(2, (*leading, height // 8, width // 8))
    return grid.permute(2, 3, 4, 1, 5, 0)


def _forward_dct(blocks: Tensor, *, axis: int, bits: int, level: int = 0) -> None:
    """Replace eight samples less ``level`` by their DCT, in place, dropping ``bits`` bits."""
    samples = blocks.unbind(axis)
    sums = [samples[k] + samples[7 - k] for k in range(4)]
    differences = [samples[k] - samples[7 - k] for k in range(4)]
    for frequency, (out, weights) in enumerate(zip(samples, _DCT, strict=True)):
        # Even basis vectors are symmetric, odd ones antisymmetric; only the mean sees the level
        folded = differences if frequency % 2 else sums
        shift = 0 if frequency else level * sum(weights)
        weighted_sum(folded, weights[:4], (1 << bits >> 1) - shift, out=out)
    blocks.bitwise_right_shift_(bits)


def _inverse_dct(blocks: Tensor, *, axis: int, bits: int, level: int = 0) -> None:
    """Replace eight DCT values by their samples plus ``level``, in place, dropping ``bits``."""
    values = blocks.unbind(axis)
    offset = (1 << bits >> 1) + (level << bits)
    halves = []
    for weights in list(zip(*_DCT, strict=True))[:4]:
        even, odd = torch.empty_like(values[0]), torch.empty_like(values[0])
        weighted_sum(values[0::2], weights[0::2], offset, out=even)
        weighted_sum(values[1::2], weights[1::2], 0, out=odd)
        halves.append((even, odd))
    for sample, (even, odd) in enumerate(halves):
        torch.add(even, odd, out=values[sample])
        torch.sub(even, odd, out=values[7 - sample])
    blocks.bitwise_right_shift_(bits)


def _quantize(coefficients: Tensor, table: Tensor) -> None:
    """Round 8 times the DCT to multiples of the table, in place, halves away from zero.

    One multiplication does it in float32: the factor ``1 + 2**-16`` moves exact halves outward and
    is too small to move anything else across one (true for all 16-bit values and tables).
    """
    scale = (1 + 2**-16) / (8 * table).to(torch.float32)
    coefficients.copy_((coefficients * scale).round_().mul_(table))


def extend(planes: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column up to ``height x width``."""
    for axis, size in ((-2, height), (-1, width)):
        missing = size - planes.shape[axis]
        if missing:
            last = planes.narrow(axis, -1, 1).repeat_interleave(missing, axis)
            planes = torch.cat([planes, last], axis)
    return planes
