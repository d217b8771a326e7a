"""DDRM: Denoising Diffusion Restoration Models (Kawar, Elad, Ermon & Song, NeurIPS 2022).

A prior that has never seen the task restores an image. Each step denoises the image and then, in
the singular basis of the linear operator, pulls what was observed towards the observation. JPEG
has no such basis; `ddrm_jpeg` holds the variant for it.

Two properties of the published method are kept, since they are the method. The last step returns
the network's own image, so consistency is not enforced there. And too little noise is added for
exact sampling, at any number of steps: an unobserved Gaussian of std 0.25 comes out with
0.69 of that in 20 steps, so that samples vary too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from invbench.images import from_signed, to_signed
from invbench.models.diffusion import alpha_bar, noise_level, predict_clean, time_pairs
from invbench.operators import SVD
from invbench.seeding import randn, to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.models.diffusion import Denoiser, Noise

Decompose = Callable[[int, int], SVD]
"""Returns the singular basis of an operator for the height and width of its observations."""


@dataclass(frozen=True, kw_only=True)
class DdrmOptions:
    """How DDRM samples; the defaults are the published ones.

    Attributes:
        steps: network evaluations.
        eta: part of the noise that is fresh, in components whose observation says little.
        eta_b: part of the way from the denoised image to the observation, where that is precise.
        sigma_y: standard deviation of the observation's noise in [-1, 1]. 0 is what is published
            for observations without noise. ``2 / 255 / sqrt(12)`` would be honest for those
            rounded to 8 bits, but then the last steps of super-resolution are left to the network:
            with a Gaussian prior, reobservations move from equal in most bits to a PSNR of 46 dB.
        official: keep two defects of the published code: the first state is scaled by
            ``1 / sigma`` instead of ``sqrt(alpha_bar)``, which is nearly the same while sigma is
            large; and see `time_pairs`.
    """

    steps: int = 20
    eta: float = 0.85
    eta_b: float = 1.0
    sigma_y: float = 0.0
    official: bool = False


@torch.no_grad()
def restore(
    denoiser: Denoiser, observation: Tensor, svd: SVD, *, noise: Noise, options: DdrmOptions
) -> Tensor:
    """Restore images from observations ``y = H x + sigma_y z``.

    Args:
        denoiser: the prior.
        observation: ``[N, c, h, w]`` in [-1, 1].
        svd: of H.
        noise: the draws: the start; then for each step one for all components, one for those
            that are observed too roughly (if any), one for the observed ones.
        options: how to sample.

    Returns:
        ``[N, 3, H, W]`` in [-1, 1] or a little beyond.
    """
    restoration = Restoration.of(denoiser, observation, svd, noise=noise, options=options)
    levels = noise_levels(svd.singular_values.to(observation.dtype), observation.device, options)
    x = restoration.start(levels[0])
    for now, after in pairwise(levels):
        x = restoration.step(x, now, after)
    return x


@dataclass(frozen=True)
class Level:
    """A time of the diffusion, and what the observation is worth against the noise of that time.

    Attributes:
        time: t; -1 stands for the image itself.
        sigma: standard deviation of the noise at t.
        rough: indices of the components that are observed with more noise than sigma.
        precise: indices of the components that are observed with less noise than sigma.
    """

    time: int
    sigma: float
    rough: Tensor
    precise: Tensor


def noise_levels(s: Tensor, device: torch.device, options: DdrmOptions) -> list[Level]:
    """Return the first level and the one that each step leads to.

    Sorting the components here, on the CPU, spares every step on a GPU from waiting for it.

    Args:
        s: singular values ``[m]``, on the CPU.
        device: where the indices are used.
        options: how to sample.
    """
    pairs = time_pairs(options.steps, official=options.official)
    levels = []
    for time in (pairs[0][0], *(next_time for _, next_time in pairs)):
        sigma = noise_level(time)
        rough = (s > 0) & (s * sigma < options.sigma_y)
        precise = s * sigma > options.sigma_y
        rough, precise = (to_device(mask.nonzero()[:, 0], device) for mask in (rough, precise))
        levels.append(Level(time, sigma, rough, precise))
    return levels


@dataclass(frozen=True)
class Restoration:
    r"""The run of DDRM on one batch of observations, with the letters of the paper.

    With ``H = U S V^T``, a bar marks coordinates in the singular basis:

    .. math::
        \bar x = V^T x, \qquad \bar y_i = (U^T y)_i / s_i

    Attributes:
        denoiser: predicts the noise.
        svd: of H.
        noise: the draws.
        options: eta, eta_b and sigma_y.
        s: singular values ``[m]``.
        y_bar: the observation in the singular basis, ``[N, m]``; not finite where s is 0, and
            never read there.
    """

    denoiser: Denoiser
    svd: SVD
    noise: Noise
    options: DdrmOptions
    s: Tensor
    y_bar: Tensor

    @classmethod
    def of(
        cls,
        denoiser: Denoiser,
        observation: Tensor,
        svd: SVD,
        *,
        noise: Noise,
        options: DdrmOptions,
    ) -> Restoration:
        """Prepare the restoration of observations ``[N, c, h, w]`` in [-1, 1]."""
        s = to_device(svd.singular_values.to(observation.dtype), observation.device)
        return cls(denoiser, svd, noise, options, s, svd.u_transpose(observation) / s)

    def start(self, level: Level) -> Tensor:
        r"""Return images ``[N, 3, H, W]`` that are noise, but for what was observed.

        .. math::
            \bar x_i \sim \begin{cases}
                N(\bar y_i, \sigma_T^2 - \sigma_y^2 / s_i^2) & \text{where this is positive} \\
                N(0, \sigma_T^2) & \text{elsewhere}
            \end{cases}
        """
        sigma, i = level.sigma, level.precise
        z = self.noise(self.svd.shape).flatten(1)
        x_bar = sigma * z
        x_bar[:, i] = self.y_bar[:, i] + self._missing(sigma, i) * z[:, i]
        scale = 1 / sigma if self.options.official else math.sqrt(alpha_bar(level.time))
        return scale * self.svd.v(x_bar)

    def step(self, x: Tensor, now: Level, after: Level) -> Tensor:
        r"""Denoise images ``[N, 3, H, W]`` of level t + 1, and diffuse them again, to level t.

        .. math::
            \bar x_i \sim \begin{cases}
                N(\bar x_{\theta,i} + \sqrt{1-\eta^2} \, \sigma_t \, \bar\epsilon_i,
                  \; \eta^2 \sigma_t^2) & s_i = 0 \\
                N(\bar x_{\theta,i} + \sqrt{1-\eta^2} \, \sigma_t \,
                  \frac{\bar y_i - \bar x_{\theta,i}}{\sigma_y / s_i},
                  \; \eta^2 \sigma_t^2) & \sigma_t < \sigma_y / s_i \\
                N((1-\eta_b) \, \bar x_{\theta,i} + \eta_b \, \bar y_i,
                  \; \sigma_t^2 - \eta_b^2 \sigma_y^2 / s_i^2) & \sigma_t > \sigma_y / s_i
            \end{cases}

        where :math:`\epsilon` is the predicted noise and :math:`x_\theta` the image without it.
        """
        eta, eta_b, sigma_y = self.options.eta, self.options.eta_b, self.options.sigma_y
        s, y_bar, sigma = self.s, self.y_bar, after.sigma
        kept = sigma * math.sqrt(1 - eta**2)

        epsilon = self.denoiser(x, torch.full((len(x),), now.time, device=x.device))
        x_theta = self.svd.v_transpose(predict_clean(x, epsilon, now.time))
        z = self.noise(x_theta.shape[1:])
        x_bar = x_theta + kept * self.svd.v_transpose(epsilon) + eta * sigma * z

        if len(i := after.rough):
            towards = (y_bar[:, i] - x_theta[:, i]) / (sigma_y / s[i])
            x_bar[:, i] = x_theta[:, i] + kept * towards + eta * sigma * self.noise(i.shape)

        i, z = after.precise, self.noise(s.shape)
        mixed = eta_b * y_bar[:, i] + (1 - eta_b) * x_theta[:, i]
        x_bar[:, i] = mixed + self._missing(sigma, i, eta_b) * z[:, i]

        return math.sqrt(alpha_bar(after.time)) * self.svd.v(x_bar)

    def _missing(self, sigma: float, i: Tensor, eta_b: float = 1.0) -> Tensor:
        """Return the std of the noise that brings that of the observation up to sigma."""
        return (sigma**2 - (eta_b * self.options.sigma_y / self.s[i]) ** 2).clamp(min=0).sqrt()


@dataclass(frozen=True)
class DdrmSampler:
    """Sample by `restore`.

    Attributes:
        denoiser: the prior.
        decompose: gives the singular basis of the operator to invert.
        options: how to sample.
    """

    denoiser: Denoiser
    decompose: Decompose
    options: DdrmOptions

    @property
    def nfe(self) -> int:
        """Network evaluations a sample."""
        return len(time_pairs(self.options.steps, official=self.options.official))

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        restored = restore(
            self.denoiser,
            to_signed(observation),
            self.decompose(*observation.shape[-2:]),
            noise=partial(randn, generators, device=observation.device),
            options=self.options,
        )
        return from_signed(restored)
