"""Scores of intervals against targets, one number for each image. The caller averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.images import check_images
from invbench.uncertainty.errors import MismatchedImagesError
from invbench.uncertainty.intervals import Interval, check_same_shape, interval

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.uncertainty.quantiles import Rule

_ENTRIES = (-3, -2, -1)


def coverage(intervals: Interval, target: Tensor) -> Tensor:
    """Return the share of each image's entries that lie within, float64 ``[...]``.

    Compare it with `ideal_coverage`, not with the level. Higher is not better: coverage
    above the ideal is as wrong as coverage below it.

    Raises:
        InvalidImagesError: if the target breaks the convention.
        MismatchedImagesError: if its shape differs from the interval's.

    Example:
        >>> image = torch.full((1, 2, 2), 0.5)
        >>> float(coverage(Interval(image, image + 0.1, 0.9, "linear", 50), image))
        1.0
    """
    check_images(target, name="target")
    return intervals.covers(target).mean(_ENTRIES, dtype=torch.float64)


def channel_coverage(intervals: Interval, target: Tensor) -> Tensor:
    """Return the share of covered entries of each channel, float64 ``[..., C]``."""
    check_images(target, name="target")
    return intervals.covers(target).mean((-2, -1), dtype=torch.float64)


def miscoverage_map(intervals: Interval, target: Tensor) -> Tensor:
    """Return how often each pixel is missed, over images and channels, float64 ``[H, W]``."""
    check_images(target, name="target")
    missed = ~intervals.covers(target)
    return missed.flatten(0, -3).mean(0, dtype=torch.float64)


def mean_length(intervals: Interval) -> Tensor:
    """Return each image's mean interval length, in units of the [0, 1] range, ``[...]``.

    Lower is better among intervals of equal coverage.
    """
    return intervals.width().mean(_ENTRIES, dtype=torch.float64)


def null_space_width(
    reobservations: Tensor, *, level: float = 0.9, rule: Rule = "linear"
) -> Tensor:
    """Return the mean length of the intervals of reobserved samples, ``[...]``.

    Valid samples have the same observation, so the operator must map them to the same image: the
    width is 0 for samples that differ in the operator's null space only.

    Args:
        reobservations: operator(samples), ``[..., K, c, h, w]``; bicubic weights that nothing
            rounds or clips lead a little beyond [0, 1], even from images within.
        level: level of the interval.
        rule: its quantile rule.
    """
    low = min(0.0, float(reobservations.min()))
    size = max(1.0, float(reobservations.max())) - low
    if not reobservations.is_floating_point() or (low, size) == (0, 1):
        return mean_length(interval(reobservations, level=level, rule=rule))
    # An interval moves and stretches with the values.
    return size * mean_length(interval((reobservations - low) / size, level=level, rule=rule))


def interval_score(intervals: Interval, target: Tensor) -> Tensor:
    r"""Return each image's mean interval (Winkler) score; lower is better.

    For an entry with target y, interval from l to u and alpha = 1 - level (Gneiting & Raftery
    2007, 6.2):

    .. math::
        \mathrm{IS}_\alpha(l, u; y) = (u - l) + \frac{2}{\alpha} (l - y)_+
        + \frac{2}{\alpha} (y - u)_+

    The score is proper for the central quantiles: short intervals lower it, misses raise it.

    Returns:
        float64 ``[...]``, in units of the [0, 1] range.

    Raises:
        InvalidImagesError: if the target breaks the convention.
        MismatchedImagesError: if its shape differs from the interval's.

    Example:
        >>> image = torch.full((1, 2, 2), 0.5)
        >>> missed_by_a_tenth = Interval(image - 0.3, image - 0.1, 0.9, "linear", 50)
        >>> round(float(interval_score(missed_by_a_tenth, image)), 3)
        2.2
    """
    check_images(target, name="target")
    check_same_shape(intervals.lower, target)
    lower, upper, y, alpha = intervals.lower, intervals.upper, target, 1 - intervals.level
    outside = (lower - y).relu_() + (y - upper).relu_()
    scores = intervals.width() + outside * (2 / alpha)
    return scores.mean(_ENTRIES, dtype=torch.float64)


def stratified_risk(
    intervals: Interval,
    target: Tensor,
    feature: Tensor,
    *,
    strata: int = 4,
    generator: torch.Generator,
) -> Tensor:
    """Return each image's share of missed entries within quantile bins of a feature.

    Args:
        intervals: ``[..., C, H, W]``.
        target: same shape.
        feature: the values that define the bins, same shape, such as `gradient_magnitude` of the
            target. An image's entries are ranked by them and cut into equal parts; equal
            values are ranked in random order.
        strata: number of bins.
        generator: ranks equal values.

    Returns:
        float64 ``[..., strata]``, lowest feature first. `worst_stratum` sums it up.
    """
    check_images(target, name="target")
    check_same_shape(target, feature)
    missed = (~intervals.covers(target)).flatten(_ENTRIES[0])
    values = feature.flatten(_ENTRIES[0])
    n_entries = values.shape[-1]
    if n_entries < strata:
        raise MismatchedImagesError(f"{n_entries} entries per image for {strata} strata")
    # A random order first, then a stable sort: ties stay as shuffled
    shuffled = torch.randperm(n_entries, generator=generator, device=generator.device)
    shuffled = shuffled.to(values.device)
    order = shuffled[values[..., shuffled].argsort(dim=-1, stable=True)]
    parts = missed.gather(-1, order).tensor_split(strata, dim=-1)
    return torch.stack([part.mean(-1, dtype=torch.float64) for part in parts], dim=-1)


def size_stratified_risk(
    intervals: Interval, target: Tensor, *, strata: int = 4, generator: torch.Generator
) -> Tensor:
    """Return each image's risk in the quartiles of its entries' own interval lengths.

    Equal risk in every quartile means that lengths adapt to the difficulty. See `stratified_risk`.
    """
    return stratified_risk(intervals, target, intervals.width(), strata=strata, generator=generator)


def worst_stratum(risks: Tensor, alpha: float) -> Tensor:
    """Return the largest difference of a stratum's risk from alpha, ``[..., strata] -> [...]``.

    Average risks over images first.
    """
    return (risks - alpha).abs().amax(-1)


def gradient_magnitude(images: Tensor) -> Tensor:
    """Return the length of each entry's forward-difference gradient, 0 beyond the border."""
    check_images(images)
    right = functional.pad(images.diff(dim=-1), (0, 1))
    down = functional.pad(images.diff(dim=-2), (0, 0, 0, 1))
    return torch.hypot(right, down)


@dataclass(frozen=True)
class ConffusionMetrics:
    """What Conffusion reports: one number for all images, and the risk of four size bins."""

    risk: float
    size_mean: float
    size_median: float
    stratified_risk: tuple[float, float, float, float]


def conffusion_metrics(intervals: Interval, target: Tensor, jitter: Tensor) -> ConffusionMetrics:
    """Compute risk, size and size-stratified risk by Conffusion's definition.

    The unit is a channel of an image: its risk and its size are means over its pixels; bins are
    cut at the quartiles of these sizes, and a size on an edge belongs to the lower bin. An empty
    bin has risk 0.

    Args:
        intervals: ``[N, C, H, W]``.
        target: same shape.
        jitter: uniform draws from [0, 1), ``[N, C]``; a millionth of them breaks ties of size.
    """
    check_images(target, name="target")
    risks = (~intervals.covers(target)).mean((-2, -1), dtype=torch.float64)
    sizes = intervals.width().mean((-2, -1))
    check_same_shape(sizes, jitter)
    sizes = sizes + jitter * 1e-6
    quartiles = torch.quantile(sizes.flatten(), sizes.new_tensor([0.25, 0.5, 0.75]))
    edges = torch.cat([sizes.new_zeros(1), quartiles])
    bins = torch.bucketize(sizes, edges) - 1
    chosen = [risks[bins == index] for index in range(4)]
    first, second, third, fourth = (float(risk.mean()) if len(risk) else 0.0 for risk in chosen)
    return ConffusionMetrics(
        float(risks.mean()),
        float(sizes.mean()),
        float(sizes.median()),
        (first, second, third, fourth),
    )
