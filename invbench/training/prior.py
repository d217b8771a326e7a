"""Training of DDRM's prior: a network learns the noise in photographs, and of no task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.images import to_signed
from invbench.models.diffusion import ALPHA_BARS, TIMES, PriorConfig, as_denoiser
from invbench.models.natural import noise_spread
from invbench.training.denoising import BRIEF, DenoisingLearner, DenoisingOptions

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.models.diffusion import Denoiser

# The emphasis is a compromise: 1 serves strong noise best, 0 weak noise.
OPTIONS = {
    "tiny": DenoisingOptions(batch_size=4, descent=BRIEF, emphasis=0.5),
    "small": DenoisingOptions(emphasis=0.5),
    "official": DenoisingOptions(),
}


def prior_loss(
    denoiser: Denoiser, x_0: Tensor, t: Tensor, epsilon: Tensor, *, emphasis: float = 0.0
) -> Tensor:
    r"""Return the mean squared error of the noise, in units of what photographs hide of it.

    .. math::
        x_t = \sqrt{\bar\alpha_t} \, x_0 + \sqrt{1 - \bar\alpha_t} \, \epsilon, \qquad
        \mathrm{mean} \left( \frac{\hat\epsilon(x_t, t) - \epsilon}{\sigma_t^e} \right)^2

    The spread sigma_t, see `natural.noise_spread`, is small where noise is strong, since strong
    noise is known well.

    Args:
        denoiser: predicts the noise.
        x_0: ``[N, 3, H, W]`` in [-1, 1].
        t: ``[N]`` in 0, ..., 999.
        epsilon: standard normal, like ``x_0``.
        emphasis: e, of strong noise: 0 is L_simple of Ho et al. 2020, as published; with 1 the
            errors of a "natural" preconditioned network's outputs weigh the same at all times.
    """
    alpha_bar = ALPHA_BARS.to(x_0.device)[t][:, None, None, None]
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * epsilon
    sigma = noise_spread(alpha_bar, *x_0.shape[-2:])
    return ((denoiser(x_t, t) - epsilon) / sigma**emphasis).square().mean()


class PriorLearner(DenoisingLearner[PriorConfig, DenoisingOptions]):
    """Trains a prior: it learns the images of all tasks alike, and no observation."""

    def loss(self, target: Tensor, observation: Tensor) -> Tensor:  # noqa: ARG002
        """Return `prior_loss` at times drawn uniformly."""
        descent, x_0 = self.descent, to_signed(target)
        t = torch.randint(TIMES, (len(x_0),), generator=descent.generator).to(x_0.device)
        denoiser = as_denoiser(descent.network, preconditioning=self.config.preconditioning)
        epsilon = descent.noise(x_0)
        return prior_loss(denoiser, x_0, t, epsilon, emphasis=self.options.emphasis)
