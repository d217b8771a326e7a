"""Pixelwise prediction intervals from samples, and how often an ideal sampler's would cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.uncertainty.errors import InvalidLevelError, MismatchedImagesError
from invbench.uncertainty.quantiles import Rule, pixel_quantiles, position

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Interval:
    """A lower and an upper image for each target.

    Attributes:
        lower: float32 ``[..., C, H, W]``.
        upper: float32 ``[..., C, H, W]``.
        level: the nominal coverage, such as 0.9.
        rule: the quantile rule that made it, see `interval`.
        n_samples: K, how many samples of each image it was made from.
    """

    lower: Tensor
    upper: Tensor
    level: float
    rule: Rule
    n_samples: int

    def covers(self, target: Tensor) -> Tensor:
        """Tell for each entry whether the target lies within; both ends count as within.

        Raises:
            MismatchedImagesError: if the target's shape is another.
        """
        check_same_shape(self.lower, target)
        return (self.lower <= target) & (target <= self.upper)

    def width(self) -> Tensor:
        """Return upper - lower for each entry, ``[..., C, H, W]``."""
        return self.upper - self.lower


def interval(samples: Tensor, *, level: float = 0.9, rule: Rule = "linear") -> Interval:
    """Take the central interval of ``level`` from the samples of each pixel and channel.

    Args:
        samples: ``[..., K, C, H, W]``, float in [0, 1] or uint8.
        level: nominal coverage within (0, 1).
        rule: ``linear`` interpolates at 1 + (K-1) q as the paper does, and covers less than
            ``level``; ``weibull`` interpolates at (K+1) q and covers ``level``; ``order`` takes
            the next samples outside of ``weibull``'s ends and covers at least ``level``. See
            `ideal_coverage`.

    Raises:
        InvalidSamplesError: if the samples break the convention.
        TooFewSamplesError: if K is too small for the rule (below 19 at level 0.9).

    Example:
        >>> import torch
        >>> samples = torch.linspace(0, 1, 21).reshape(21, 1, 1, 1)
        >>> float(interval(samples, level=0.9, rule="linear").width())  # doctest: +ELLIPSIS
        0.89999...
    """
    lower, upper = pixel_quantiles(samples, tails(level), rule=rule).unbind(0)
    return Interval(lower, upper, level, rule, samples.shape[-4])


def ideal_coverage(n_samples: int, level: float = 0.9, rule: Rule = "linear") -> float:
    """Return how often the interval of an ideal sampler covers the target.

    (h_upper - h_lower) / (K+1) with h the positions of `position`, for samples and target that
    are exchangeable: exact for uniform values, and for any values where no interpolation happens.

    Example:
        >>> [round(ideal_coverage(50, 0.9, rule), 3) for rule in ("linear", "weibull", "order")]
        [0.865, 0.9, 0.922]
    """
    low, high = (position(n_samples, tail, rule) for tail in tails(level))
    return (high - low) / (n_samples + 1)


def check_same_shape(images: Tensor, target: Tensor) -> None:
    """Refuse images and target whose entries do not correspond one to one.

    Raises:
        MismatchedImagesError: if the shapes differ; broadcasting would compare the wrong images.
    """
    if images.shape != target.shape:
        raise MismatchedImagesError(
            f"target {tuple(target.shape)} where {tuple(images.shape)} is expected"
        )


def tails(level: float) -> tuple[float, float]:
    """Return the probabilities of the two ends of the central interval of ``level``.

    Raises:
        InvalidLevelError: if the level lies outside (0, 1).
    """
    if not 0 < level < 1:
        raise InvalidLevelError(f"level {level}; expected a number within (0, 1), such as 0.9")
    return (1 - level) / 2, (1 + level) / 2
