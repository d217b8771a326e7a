"""Upper confidence bounds on a mean of losses in [0, 1], one loss for each independent image.

numpy and scipy only. The functions named `..._published` repeat what two published codes compute,
faults included, so that their numbers can be reproduced; use the others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, xlogy

from invbench.uncertainty.errors import InvalidLevelError, InvalidLossesError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-9  # a risk of k/n times n may come out just above k


def hoeffding_bentkus(risk: float, n: int, delta: float) -> float:
    r"""Bound the true risk from above with probability 1 - delta (Bates et al. 2021, 3.1.2).

    With empirical risk R of n images, the bound is the largest mu with P(mu) >= delta, for the
    smaller of Hoeffding's and Bentkus' bounds on the tail:

    .. math::
        P(\mu) = \min\left( e^{-n h(\hat R, \mu)} ,\;
        e \, \mathrm{BinCDF}(\lceil n \hat R \rceil; n, \mu) \right) , \qquad
        h(a, b) = a \ln\frac{a}{b} + (1 - a) \ln\frac{1 - a}{1 - b}

    where 0 ln 0 = 0.

    Args:
        risk: the empirical risk, in [0, 1].
        n: the number of independent losses it is the mean of: images, never pixels.
        delta: probability that the bound may fail, within (0, 1).

    Raises:
        InvalidLossesError: if the risk is outside [0, 1] or n < 1.
        InvalidLevelError: if delta is outside (0, 1).

    Example:
        >>> round(hoeffding_bentkus(0.0, 22, 0.1), 4), round(hoeffding_bentkus(0.02, 50, 0.1), 4)
        (0.0994, 0.0941)
    """
    _check_risk(risk, n, delta)
    if risk >= 1:
        return 1.0

    def log_tail_excess(mu: float) -> float:
        return _log_tail(risk, n, mu) - math.log(delta)

    return _root(log_tail_excess, risk)


def largest_acceptable_risk(n: int, alpha: float, delta: float) -> float:
    """Return the largest empirical risk whose Hoeffding-Bentkus bound is at most alpha.

    Negative if not even a risk of 0 is acceptable, because n is too small.

    Example:
        >>> round(largest_acceptable_risk(50, 0.1, 0.1), 4)
        0.0232
    """
    _check_risk(0, n, delta)
    check_level("alpha", alpha)
    log_delta = math.log(delta)
    if _log_tail(0, n, alpha) > log_delta:
        return -1.0
    hoeffding = -1.0
    if -n * _divergence(0, alpha) <= log_delta:
        hoeffding = brentq(lambda risk: -n * _divergence(risk, alpha) - log_delta, 0, alpha)
        hoeffding = max(0.0, hoeffding - _ROUNDING)  # the root finder may err to either side
    # Bentkus: the largest count k whose tail is small enough
    accepted = math.e * bdtr(np.arange(math.ceil(n * alpha)), n, alpha) <= delta
    return float(max(hoeffding, (np.count_nonzero(accepted) - 1) / n))


def wsr(losses: ArrayLike, delta: float) -> float:
    r"""Bound the true risk by betting, in the order given (Waudby-Smith & Ramdas 2023).

    A gambler bets nu_j against the claim that the mean of the losses x_j is mu or more:

    .. math::
        K_t(\mu) = \prod_{j=1}^t \left( 1 - \nu_j (x_j - \mu) \right) , \qquad
        \nu_j = \min\left( 1, \sqrt{\frac{2 \ln (1 / \delta)}{n \, \hat\sigma_{j-1}^2}} \right)

        \hat\mu_j = \frac{1/2 + \sum_{i \le j} x_i}{1 + j} , \qquad
        \hat\sigma_j^2 = \frac{1/4 + \sum_{i \le j} (x_i - \hat\mu_i)^2}{1 + j}

    If the claim is true, the capital K_t exceeds 1/delta at any time with probability at most
    delta. The bound is the smallest mu for which it did. Bets depend on earlier losses only, so
    the order of the losses matters: shuffle them with a fixed seed.

    Args:
        losses: one number in [0, 1] for each independent image, ``[n]``.
        delta: probability that the bound may fail, within (0, 1).

    Raises:
        InvalidLossesError: if losses are not such numbers.
        InvalidLevelError: if delta is outside (0, 1).
    """
    values = check_losses(losses)
    check_level("delta", delta)
    log_capital = _log_capital(values, _bets(values, delta))

    def excess(mu: float) -> float:
        return float(log_capital(mu)) + math.log(delta)

    if excess(1.0) < 0:
        return 1.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-12))


def wsr_accepts(losses: ArrayLike, alpha: float, delta: float) -> NDArray[np.bool_]:
    """Tell whether the `wsr` bound of each row of losses ``[..., n]`` is at most alpha.

    The capital grows with mu, so its value at alpha decides, and no root is sought.
    """
    values = check_losses(losses)
    check_level("alpha", alpha)
    check_level("delta", delta)
    capital = _log_capital(values, _bets(values, delta))(alpha)
    return np.asarray(capital >= -math.log(delta))


def hoeffding_bentkus_im2im_published(risk: float, n: int, delta: float) -> float:
    """Repeat the bound as im2im-uq computes it.

    It rounds n risk down where the theorem rounds up, which makes it too small for some risks;
    a risk of 0 makes its root finder fail, and it returns 1. Its tail is floored at 1e-10.
    """

    def log_tail_excess(mu: float) -> float:
        hoeffding = -n * _divergence(min(risk, mu), mu)
        return min(hoeffding, _published_bentkus(risk, n, mu)) - math.log(delta)

    return 1.0 if risk <= 0 else _published_root(log_tail_excess, risk)


def hoeffding_bentkus_conffusion_published(risk: float, n: int, delta: float) -> float:
    """Repeat the bound as Conffusion computes it.

    As `hoeffding_bentkus_im2im_published`, with max(mu, risk) for min(mu, risk): the Hoeffding
    term is then 0 wherever it could matter, and Bentkus alone acts.
    """

    def log_tail_excess(mu: float) -> float:
        hoeffding = -n * _divergence(max(risk, mu), mu)
        return min(hoeffding, _published_bentkus(risk, n, mu)) - math.log(delta)

    return 1.0 if risk <= 0 else _published_root(log_tail_excess, risk)


def check_level(name: str, value: float) -> None:
    """Refuse a probability outside the open interval (0, 1), NaN included."""
    if not 0 < value < 1:
        raise InvalidLevelError(f"{name} {value}; expected a number within (0, 1), such as 0.1")


def check_losses(losses: ArrayLike) -> NDArray[np.float64]:
    """Return losses as float64 ``[..., n]``, or refuse them."""
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim == 0 or values.size == 0:
        raise InvalidLossesError(f"losses: shape {values.shape}; expected one number per image")
    if not (values.min() >= 0 and values.max() <= 1):
        raise InvalidLossesError(
            f"losses span [{values.min():.4g}, {values.max():.4g}]; expected finite, in [0, 1]"
        )
    return values


def _check_risk(risk: float, n: int, delta: float) -> None:
    if not 0 <= risk <= 1 or n < 1:
        raise InvalidLossesError(f"risk {risk} of {n} images; expected a risk in [0, 1], n >= 1")
    check_level("delta", delta)


def _log_tail(risk: float, n: int, mu: float) -> float:
    """Return ln P(mu) of `hoeffding_bentkus`, a bound on ln P(empirical risk <= risk)."""
    hoeffding = -n * _divergence(min(risk, mu), mu)
    tail = bdtr(max(0, math.ceil(n * risk - _ROUNDING)), n, mu)
    return min(hoeffding, 1 + math.log(max(float(tail), 1e-300)))


def _divergence(first: float, second: float) -> float:
    """Return the relative entropy of two coins, h(a, b), with 0 ln 0 = 0."""
    return float(xlogy(first, first / second) + xlogy(1 - first, (1 - first) / (1 - second)))


def _root(excess: Callable[[float], float], risk: float) -> float:
    """Return where a decreasing function of mu crosses zero between the risk and 1."""
    start = max(risk, 1e-12)
    if excess(1 - 1e-12) > 0:
        return 1.0
    if excess(start) <= 0:
        return start
    return float(brentq(excess, start, 1 - 1e-12, xtol=1e-12))


def _published_bentkus(risk: float, n: int, mu: float) -> float:
    return 1 + math.log(max(float(bdtr(math.floor(n * risk), n, mu)), 1e-10))


def _published_root(excess: Callable[[float], float], risk: float) -> float:
    end = 1 - 1e-10
    if risk >= end or excess(end) > 0 or excess(risk) <= 0:
        return 1.0
    return float(brentq(excess, risk, end))


def _bets(values: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    """Return nu_j of `wsr`, from running means and variances that start at 1/2 and 1/4."""
    n = values.shape[-1]
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(values, axis=-1)) / (1 + counts)
    variances = (0.25 + np.cumsum((values - means) ** 2, axis=-1)) / (1 + counts)
    first = np.full_like(values[..., :1], 0.25)
    before = np.concatenate([first, variances[..., :-1]], axis=-1)
    bets: NDArray[np.float64] = np.sqrt(2 * math.log(1 / delta) / (n * before)).clip(max=1)
    return bets


def _log_capital(
    values: NDArray[np.float64], bets: NDArray[np.float64]
) -> Callable[[float], NDArray[np.float64]]:
    """Return the function mu -> the largest log capital at any time."""

    def log_capital(mu: float) -> NDArray[np.float64]:
        # A full bet (1) on a mean of 0 may lose everything: ln 0, kept finite for the root finder
        growth = np.maximum(1 - bets * (values - mu), 1e-300)
        largest: NDArray[np.float64] = np.cumsum(np.log(growth), axis=-1).max(axis=-1)
        return largest

    return log_capital
