"""Order statistics and quantiles over the samples of each pixel, exact and in bounded memory.

Samples ``[..., K, C, H, W]`` are read block by block; a block is at most `BLOCK_PIXELS` pixels of
one or several images, so that the registers of a selection network stay in the CPU's cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

import torch

from invbench.errors import InvalidSamplesError, UnknownNameError
from invbench.images import check_images
from invbench.uncertainty.errors import InvalidLevelError, TooFewSamplesError
from invbench.uncertainty.selection import selection_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

Rule = Literal["linear", "weibull", "order"]

BLOCK_PIXELS = 1 << 17  # fastest of 2^12 to 2^18 on a core with 1 MB of level-2 cache
_REGISTER_BYTES = 48 << 20
_ELSEWHERE_PIXELS, _ELSEWHERE_BYTES = 1 << 22, 1 << 30  # a GPU has no use for small blocks


def check_samples(samples: Tensor) -> Tensor:
    """Return samples ``[..., K, C, H, W]`` unchanged: uint8, or float and finite in [0, 1].

    Raises:
        InvalidSamplesError: if they are neither.
    """
    if samples.ndim < 4 or 0 in samples.shape:
        raise InvalidSamplesError(
            f"samples: shape {tuple(samples.shape)}; expected non-empty [..., K, C, H, W]"
        )
    if samples.dtype == torch.uint8:
        return samples
    return check_images(samples, name="samples", error=InvalidSamplesError)


def position(n_samples: int, probability: float, rule: Rule) -> float:
    """Return where a quantile lies among sorted samples, counted from 1 (Hyndman & Fan 1996).

    linear: 1 + (K-1) q, type 7. weibull: (K+1) q, type 6. order: the Weibull position moved
    outward, away from the median, to the next sample.

    Raises:
        TooFewSamplesError: if the position lies beyond the smallest or the largest sample.

    Example:
        >>> position(50, 0.05, "linear"), position(50, 0.05, "weibull"), position(50, 0.95, "order")
        (3.45, 2.55, 49.0)
    """
    if rule not in get_args(Rule):
        raise UnknownNameError.among("quantile rule", rule, get_args(Rule))
    if not 0 < probability < 1:
        raise InvalidLevelError(f"probability {probability}; expected a number within (0, 1)")
    if rule == "linear":
        return _snap(1 + (n_samples - 1) * probability)
    place = _snap((n_samples + 1) * probability)
    if not 1 <= place <= n_samples:
        needed = math.ceil(_snap(1 / min(probability, 1 - probability))) - 1
        raise TooFewSamplesError(
            f"rule {rule!r}: quantile {probability:.4g} of {n_samples} samples does not exist; "
            f"draw K>={needed} samples, use rule 'linear', or ask for a narrower level"
        )
    if rule == "order":
        return float(math.floor(place) if probability < 0.5 else math.ceil(place))
    return place


def pixel_quantiles(
    samples: Tensor, probabilities: Sequence[float], *, rule: Rule = "linear"
) -> Tensor:
    """Compute quantiles over the K samples of every pixel.

    Equal to ``numpy.quantile`` with the method of the same name, computed in float64 and rounded
    once to float32. 8-bit samples may be given as uint8, which is two to three times faster; the
    result is in [0, 1] all the same.

    Args:
        samples: ``[..., K, C, H, W]``, float in [0, 1] or uint8.
        probabilities: Q numbers within (0, 1).
        rule: see `position`.

    Returns:
        float32 ``[Q, ..., C, H, W]``.

    Raises:
        InvalidSamplesError: if the samples break the convention.
        TooFewSamplesError: if the rule needs more samples.

    Example:
        >>> samples = torch.linspace(0, 1, 21).reshape(21, 1, 1, 1)
        >>> pixel_quantiles(samples, [0.05, 0.5], rule="linear").flatten()
        tensor([0.0500, 0.5000])
    """
    check_samples(samples)
    n_samples = samples.shape[-4]
    positions = [position(n_samples, probability, rule) for probability in probabilities]
    below = [math.floor(place) - 1 for place in positions]
    weights = [place - math.floor(place) for place in positions]
    ranks = sorted({*below, *(rank + 1 for rank, w in zip(below, weights, strict=True) if w)})
    scale = 1 / 255 if samples.dtype == torch.uint8 else 1

    shape = (*samples.shape[:-4], *samples.shape[-3:])
    result = torch.empty(len(positions), *shape, dtype=torch.float32, device=samples.device)
    flat = result.view(len(positions), -1, shape[-3] * shape[-2] * shape[-1])
    for images, pixels, rows in order_statistics(samples, ranks):
        values = {rank: row.double() for rank, row in zip(ranks, rows, strict=True)}
        for index, (rank, weight) in enumerate(zip(below, weights, strict=True)):
            value = torch.lerp(values[rank], values[rank + 1], weight) if weight else values[rank]
            flat[index, images, pixels] = value * scale
    return result


def order_statistics(
    samples: Tensor, ranks: Sequence[int]
) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Yield the samples of given 0-based ranks, block by block.

    Args:
        samples: ``[..., K, C, H, W]``; leading dimensions count as N images, the last three as
            P pixels. Contiguous samples are not copied.
        ranks: ranks among the K sorted samples.

    Yields:
        Slices into N and P, and for each rank the values there, ``[block of N, block of P]``.
        They are valid until the next block is asked for.
    """
    n_samples = samples.shape[-4]
    flat = samples.reshape(-1, n_samples, samples.shape[-3:].numel())
    network = selection_network(n_samples, tuple(ranks))
    n_pixels = block_pixels(network.n_registers * samples.element_size(), samples.device.type)
    width = min(n_pixels, flat.shape[-1])
    height = min(max(1, n_pixels // width), flat.shape[0])
    registers = flat.new_empty(network.n_registers, height, width)
    for top in range(0, flat.shape[0], height):
        for left in range(0, flat.shape[-1], width):
            block = flat[top : top + height, :, left : left + width]
            rows = block.unbind(1)
            scratch = registers[:, : block.shape[0], : block.shape[2]].unbind(0)
            images, pixels = (
                slice(start, start + size)
                for start, size in ((top, block.shape[0]), (left, block.shape[2]))
            )
            yield images, pixels, network.run(rows, scratch)


def block_pixels(bytes_per_pixel: int, device_type: str = "cpu") -> int:
    """Return how many pixels to treat at once so that scratch stays below 48 MiB, 1 GiB on a GPU.

    On a GPU each block costs the same launches, whatever its size.
    """
    on_cpu = device_type == "cpu"
    pixels, scratch = (
        (BLOCK_PIXELS, _REGISTER_BYTES) if on_cpu else (_ELSEWHERE_PIXELS, _ELSEWHERE_BYTES)
    )
    return max(1, min(pixels, scratch // max(1, bytes_per_pixel)))


def _snap(place: float) -> float:
    """Round off the last digits, so that 20 x 0.05 is 1 and not a little less."""
    return round(place, 9)
