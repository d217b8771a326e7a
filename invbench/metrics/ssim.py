"""Structural similarity: the score, and its definition as the literature prints it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.metrics.pairs import check_pair, score_each_observation
from invbench.metrics.ssim_kernel import WINDOWS, scores_from_differences

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.metrics.ssim_kernel import WindowName


def ssim(reobservations: Tensor, observation: Tensor, *, window: WindowName = "uniform") -> Tensor:
    """Return the structural similarity of each reobservation to its observation.

    The index is that of `textbook_ssim`, which states the formula; it is computed by a kernel
    that shares the observation's part between all samples, see `ssim_kernel`.

    Images of up to 2,048 elements are computed in float64 throughout. In larger ones a sample's
    part is float32: within 2e-8 of float64 for reobservations near their observation, within 1e-6
    for unrelated photographs, within 2e-5 for images that are nothing but unlike flat areas.

    Args:
        reobservations: ``[..., K, c, h, w]``, float in [0, 1].
        observation: ``[..., c, h, w]``, float in [0, 1].
        window: "uniform", 7x7 with sample covariance (scikit-image's default), or "gaussian",
            11x11 of standard deviation 1.5 with population covariance (Wang's). They differ by
            some hundredths: a report must say which.

    Returns:
        float64 ``[..., K]``; identical images score exactly 1.

    Raises:
        InvalidImagesError: if values or shapes break the convention, or the images are smaller
            than the window.
        UnknownNameError: for another window.

    Example:
        >>> observation = torch.linspace(0, 1, 64).reshape(1, 8, 8)
        >>> ssim(torch.stack([observation, 1 - observation]), observation)
        tensor([ 1.0000, -0.9549], dtype=torch.float64)
    """
    check_pair(reobservations, observation)
    if window not in WINDOWS:
        raise UnknownNameError.among("window", window, WINDOWS)
    shape = WINDOWS[window]
    if min(observation.shape[-2:]) < shape.width:
        raise InvalidImagesError(
            f"images of {observation.shape[-1]}x{observation.shape[-2]} pixels are smaller than "
            f"the {window} window of {shape.width}x{shape.width}; use larger targets"
            + (", or window='uniform' (7x7)" if window != "uniform" else "")
        )
    score = partial(scores_from_differences, window=shape)
    return score_each_observation(score, reobservations, observation)


def textbook_ssim(y: Tensor, x: Tensor, *, window: WindowName = "uniform") -> Tensor:
    r"""Compute the structural similarity of two images by its definition, slowly.

    Within a window of weights w that sum to 1, images x and y have means, variances and a
    covariance (times 49/48 for the uniform window, whose covariance is that of a sample):

    .. math::
        \mu_x = \sum_i w_i x_i , \qquad
        \sigma_x^2 = \sum_i w_i (x_i - \mu_x)^2 , \qquad
        \sigma_{xy} = \sum_i w_i (x_i - \mu_x)(y_i - \mu_y)

    and the index is the mean, over channels and over the windows that lie wholly inside, of

    .. math::
        \mathrm{SSIM}(x, y) = \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}
        {(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}, \qquad
        C_1 = (0.01 L)^2, \quad C_2 = (0.03 L)^2

    with data range L = 1 (Wang et al. 2004). `ssim` gives the same numbers many times faster.

    Args:
        y: ``[..., c, h, w]``, float in [0, 1].
        x: same shape, or one that broadcasts to it.
        window: as in `ssim`.

    Returns:
        float64 ``[...]``.

    Example:
        >>> x = torch.linspace(0, 1, 64).reshape(1, 8, 8)
        >>> textbook_ssim(torch.stack([x, 1 - x]), x)
        tensor([ 1.0000, -0.9549], dtype=torch.float64)
    """
    c_1, c_2 = 0.01**2, 0.03**2
    n = 7 if window == "uniform" else 11
    i = torch.arange(n, dtype=torch.float64, device="cpu") - n // 2
    taps = torch.ones_like(i) if window == "uniform" else torch.exp(-(i**2) / (2 * 1.5**2))
    w = torch.outer(taps, taps) / taps.sum() ** 2
    bessel = 49 / 48 if window == "uniform" else 1.0

    x, y = (image.double().unfold(-2, n, 1).unfold(-2, n, 1) for image in (x, y))
    mu_x, mu_y = ((w * image).sum((-2, -1), keepdim=True) for image in (x, y))
    sigma_xx, sigma_yy, sigma_xy = (
        bessel * (w * product).sum((-2, -1), keepdim=True)
        for product in ((x - mu_x) ** 2, (y - mu_y) ** 2, (x - mu_x) * (y - mu_y))
    )
    index = (2 * mu_x * mu_y + c_1) * (2 * sigma_xy + c_2)
    index = index / ((mu_x**2 + mu_y**2 + c_1) * (sigma_xx + sigma_yy + c_2))
    return index.mean((-5, -4, -3, -2, -1))
