"""Calibration methods: find the factor at which intervals miss no more than is allowed. No torch.

| method | guarantee for a new image, at lambda_hat |
|---|---|
| rcps_hb, rcps_wsr | mean loss <= alpha, with probability 1 - delta over the calibration images |
| crc | mean loss <= alpha, on average over the calibration images |
| split_conformal_image | loss of the image <= alpha, with probability 1 - delta over all images |
| split_conformal_entry | a random entry of the image is missed with probability <= alpha |
| uncertified | none |

All ask for independent (the last three: exchangeable) images. Factors are scanned downward from
infinity and the scan ends at the first one that fails; where the criterion only depends on a
monotone risk, that factor has a closed form. There is no grid whose edge could be returned.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, get_args

import numpy as np

from invbench.errors import UnknownNameError
from invbench.uncertainty.bounds import (
    check_level,
    hoeffding_bentkus,
    largest_acceptable_risk,
    wsr,
    wsr_accepts,
)
from invbench.uncertainty.calibration import Calibration, Method, Reason, RiskCurve
from invbench.uncertainty.errors import MissingGeneratorError
from invbench.uncertainty.published import conffusion_published, im2im_published

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Additive half-widths are at least 1e-6, and 8-bit samples that differ have wider ones than 1e-3:
# factors beyond this one only serve entries for which all samples are equal.
LARGEST_MEANINGFUL_FACTOR = 1000.0


def calibrate(
    curve: RiskCurve,
    *,
    method: Method = "rcps_hb",
    alpha: float = 0.1,
    delta: float = 0.1,
    generator: np.random.Generator | None = None,
) -> Calibration:
    """Calibrate by the name of a method; ``generator`` is for those that draw at random.

    Raises:
        UnknownNameError: if there is no such method.
        MissingGeneratorError: if the method needs a generator and none is given.
        InvalidLevelError: if alpha or delta is outside (0, 1).

    Example:
        >>> from invbench.uncertainty.calibration import risk_curve
        >>> curve = risk_curve(np.linspace(0, 2, 40 * 100).reshape(100, 40).T, scaling="additive")
        >>> result = calibrate(curve, method="crc", alpha=0.1)
        >>> result.certified, round(result.lambda_hat, 2)
        (True, 1.84)
    """
    if method in _DETERMINISTIC:
        return _DETERMINISTIC[method](curve, alpha=alpha, delta=delta)
    if method not in _RANDOM:
        raise UnknownNameError.among("calibration method", method, get_args(Method))
    if generator is None:
        raise MissingGeneratorError(
            f"{method} draws at random; pass generator=np.random.default_rng(seed)"
        )
    return _RANDOM[method](curve, alpha=alpha, delta=delta, generator=generator)


def rcps_hb(curve: RiskCurve, *, alpha: float = 0.1, delta: float = 0.1) -> Calibration:
    r"""Control the risk by the Hoeffding-Bentkus bound (Bates et al. 2021), corrected.

    With R(lambda) the mean loss of n images at a factor, and U the bound of `hoeffding_bentkus`,

    .. math::
        \hat\lambda = \inf\{\lambda : U(\hat R(\lambda'), n, \delta) \le \alpha
        \text{ for all } \lambda' \ge \lambda\}

    The bound grows with the empirical risk, which falls as the factor grows. So the factor is the
    smallest one at which the risk is at most `largest_acceptable_risk`.
    """
    n = len(curve)
    acceptable = largest_acceptable_risk(n, alpha, delta)
    factor = curve.smallest_factor(acceptable) if acceptable >= 0 else math.inf
    bound = hoeffding_bentkus(_mean_loss(curve, factor), n, delta)
    needed = math.ceil(_snap(math.log(delta) / math.log1p(-alpha)))
    return _result(_Guarantee("rcps_hb", alpha, delta, needed), curve, factor, bound)


def rcps_wsr(
    curve: RiskCurve,
    *,
    alpha: float = 0.1,
    delta: float = 0.1,
    generator: np.random.Generator,
) -> Calibration:
    r"""Control the risk by the betting bound (Waudby-Smith & Ramdas 2023; Bates et al. 2021).

    With the factors lambda_1 > lambda_2 > ... of a fixed sequence, L(lambda) the losses of the
    images at a factor, and U the bound of `wsr`, the result is the last factor before the first
    failure:

    .. math::
        \hat\lambda = \min\{\lambda_k : U(L(\lambda_j), \delta) \le \alpha
        \text{ for all } j \le k\}

    It is less conservative than `rcps_hb`. The bound need not fall as the factor grows, so factors
    are tested in an order that does not depend on the data (fixed-sequence testing): from 1000
    downward in steps of 0.2 %, and last 0. Images are shuffled once, as bets depend on the order.
    """
    order = generator.permutation(len(curve))
    needed = wsr_images_needed(alpha, delta)
    factor = math.inf
    if len(curve) >= needed:
        for candidates in _downward():
            losses = curve.losses_at(candidates)[:, order]
            accepted = wsr_accepts(losses, alpha, delta)
            n_passed = len(accepted) if accepted.all() else int(accepted.argmin())
            if n_passed:
                factor = float(candidates[n_passed - 1])
            if n_passed < len(accepted):
                break
    bound = wsr(curve.losses(factor)[order], delta)
    return _result(_Guarantee("rcps_wsr", alpha, delta, needed), curve, factor, bound)


def crc(curve: RiskCurve, *, alpha: float = 0.1, delta: float = 0.1) -> Calibration:
    r"""Control the expected risk (Angelopoulos et al., Conformal risk control, 2022).

    With R(lambda) the mean loss of n images at a factor, and losses of at most B = 1,

    .. math::
        \hat\lambda = \inf\left\{\lambda :
        \frac{n}{n + 1} \hat R(\lambda) + \frac{B}{n + 1} \le \alpha \right\}

    ``delta`` plays no part; it is only recorded.
    """
    _check_levels(alpha, delta)
    n = len(curve)
    acceptable = _snap((alpha * (n + 1) - 1) / n)
    factor = curve.smallest_factor(acceptable) if acceptable >= 0 else math.inf
    bound = (n * _mean_loss(curve, factor) + 1) / (n + 1)
    needed = _conformal_images_needed(alpha)
    return _result(_Guarantee("crc", alpha, delta, needed), curve, factor, bound)


def split_conformal_image(
    curve: RiskCurve, *, alpha: float = 0.1, delta: float = 0.1
) -> Calibration:
    r"""Bound the loss of the next image: P(loss <= alpha) >= 1 - delta.

    The score of an image is the smallest factor at which its loss L_i is at most alpha, and the
    factor is a quantile of the scores:

    .. math::
        s_i = \inf\{\lambda : L_i(\lambda) \le \alpha\} , \qquad
        \hat\lambda = s_{(k)} , \quad k = \lceil (n + 1)(1 - \delta) \rceil
    """
    _check_levels(alpha, delta)
    units = map(curve.needed_factors, range(len(curve)))
    scores = [float(unit[unit.size - math.floor(_snap(alpha * unit.size)) - 1]) for unit in units]
    needed = _conformal_images_needed(delta)
    guarantee = _Guarantee("split_conformal_image", alpha, delta, needed)
    return _result(guarantee, curve, *_conformal_quantile(scores, delta))


def split_conformal_entry(
    curve: RiskCurve,
    *,
    alpha: float = 0.1,
    delta: float = 0.1,
    generator: np.random.Generator,
) -> Calibration:
    r"""Make the probability that a random entry of the next image is missed at most alpha.

    The score s_i of an image is the needed factor of one of its entries, drawn at random:

    .. math::
        \hat\lambda = s_{(k)} , \qquad k = \lceil (n + 1)(1 - \alpha) \rceil

    ``delta`` plays no part; it is only recorded.
    """
    _check_levels(alpha, delta)
    units = map(curve.needed_factors, range(len(curve)))
    scores = [float(generator.choice(unit)) for unit in units]
    needed = _conformal_images_needed(alpha)
    guarantee = _Guarantee("split_conformal_entry", alpha, delta, needed)
    return _result(guarantee, curve, *_conformal_quantile(scores, alpha))


def uncertified(curve: RiskCurve, *, alpha: float = 0.1, delta: float = 0.1) -> Calibration:
    """Take the smallest factor whose empirical risk is at most alpha, without any guarantee.

    It serves where there are too few images for a guarantee. The risk of new images is above alpha
    about half of the time. ``delta`` plays no part and is only recorded; ``bound`` is the empirical
    risk itself.
    """
    _check_levels(alpha, delta)
    factor = curve.smallest_factor(alpha)
    risk = _mean_loss(curve, factor)
    result = _result(_Guarantee("uncertified", alpha, delta, 1), curve, factor, risk)
    return replace(result, certified=False, reason=result.reason or "no guarantee asked for")


@lru_cache(maxsize=64)
def wsr_images_needed(alpha: float, delta: float) -> int:
    """Return the fewest images without any loss whose `wsr` bound is at most alpha."""
    _check_levels(alpha, delta)
    return next(n for n in itertools.count(1) if wsr_accepts(np.zeros(n), alpha, delta))


@dataclass(frozen=True)
class _Guarantee:
    """The guarantee that is asked for, and the fewest images that can give it."""

    method: Method
    alpha: float
    delta: float
    images_needed: int


def _result(guarantee: _Guarantee, curve: RiskCurve, factor: float, bound: float) -> Calibration:
    reason: Reason = ""
    if len(curve) < guarantee.images_needed:
        reason = "n too small"
    elif factor > LARGEST_MEANINGFUL_FACTOR:
        reason = "degenerate interval"
    return Calibration(
        method=guarantee.method,
        scaling=curve.scaling,
        lambda_hat=factor,
        certified=not reason,
        reason=reason,
        bound=float(bound),
        empirical_risk=_mean_loss(curve, factor),
        n=len(curve),
        alpha=guarantee.alpha,
        delta=guarantee.delta,
        images_needed=guarantee.images_needed,
    )


def _downward() -> list[NDArray[np.float64]]:
    """Return the fixed sequence of factors of `rcps_wsr`, in portions."""
    n_factors = math.ceil(math.log(LARGEST_MEANINGFUL_FACTOR / 1e-3) / math.log(1.002))
    sequence = np.append(np.geomspace(LARGEST_MEANINGFUL_FACTOR, 1e-3, n_factors), 0.0)
    return np.array_split(sequence, range(512, len(sequence), 512))


def _conformal_quantile(scores: list[float], error: float) -> tuple[float, float]:
    """Return the ceil((n+1)(1-error))-th smallest score and the error that it guarantees."""
    n = len(scores)
    rank = max(1, math.ceil(_snap((n + 1) * (1 - error))))
    return (sorted(scores)[rank - 1] if rank <= n else math.inf), max(0.0, 1 - rank / (n + 1))


def _conformal_images_needed(error: float) -> int:
    return math.ceil(_snap(1 / error)) - 1


def _mean_loss(curve: RiskCurve, factor: float) -> float:
    return float(curve.losses(factor).mean())


def _check_levels(alpha: float, delta: float) -> None:
    check_level("alpha", alpha)
    check_level("delta", delta)


def _snap(value: float) -> float:
    """Round off the last digits, so that 10 x 0.9 counts as 9."""
    return round(value, 9)


_DETERMINISTIC: dict[str, Callable[..., Calibration]] = {
    "rcps_hb": rcps_hb,
    "crc": crc,
    "split_conformal_image": split_conformal_image,
    "uncertified": uncertified,
    "im2im_published": im2im_published,
    "conffusion_published": conffusion_published,
}
_RANDOM: dict[str, Callable[..., Calibration]] = {
    "rcps_wsr": rcps_wsr,
    "split_conformal_entry": split_conformal_entry,
}
