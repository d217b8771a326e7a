"""NDM's training: the joint score of images and of their observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from invbench.models.multispeed import JointScore, shrunken_sigma_max
from invbench.models.ndm import NdmConfig, enlarge
from invbench.seeding import global_generators_from
from invbench.training.denoising import BRIEF, DenoisingLearner, DenoisingOptions

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.models.multispeed import JointScoreConfig

_FIRST_TIME = 1e-5


@dataclass(frozen=True, kw_only=True)
class NdmOptions(DenoisingOptions):
    """How an NDM learns.

    Attributes:
        batch_size: images a step; published 16 to 50.
        first_sigma_max: the observation's sigma_max at the beginning, for training in which it
            shrinks to the configured one (VS-CMDE); by default it is constant.
        shrinking_steps: over which it does.
    """

    batch_size: int = 16
    first_sigma_max: float | None = None
    shrinking_steps: int = 250_000


# NDM needs all of the emphasis: with 0.5 its validity on sr16 falls from 25.3 to 20.3 dB.
OPTIONS = {
    "tiny": NdmOptions(batch_size=4, descent=BRIEF, emphasis=1.0),
    "small": NdmOptions(emphasis=1.0),
    "official": NdmOptions(),
}


def joint_score_errors(
    score: JointScore,
    x: Tensor,
    y: Tensor,
    t: Tensor,
    *,
    noise: tuple[Tensor, Tensor],
    emphasis: float = 0.0,
) -> list[Tensor]:
    r"""Return the weighted squared errors of both scores, of the image's and the observation's.

    With s_x for the standard deviation of the image's noise, g_x for its speed and d_x for the
    deviation of clean pixels (see `JointScore.deviations`), and the same for y:

    .. math::
        x_t = x + s_x(t) z_x, \qquad
        \frac{g_x(t)^2}{s_x(t)^2} \left(1 + \frac{s_x(t)^2}{d_x^2}\right)^e
            (s_x(t) \nabla_{x_t} \log p(x_t, y_t) + z_x)^2

    The loss is the mean over the values of image and observation together, so that an observation
    of one channel weighs a third of one with three.

    Args:
        score: what is trained.
        x: images ``[N, 3, H, W]`` in [0, 1].
        y: observations ``[N, c, H, W]`` in [0, 1].
        t: ``[N]`` in (0, 1].
        noise: z_x and z_y, standard normal.
        emphasis: e, of strong noise: 0 is likelihood weighting, as published; with 1 the errors
            of a "gaussian" preconditioned network's outputs weigh the same at all times.
    """
    processes, stds = (score.config.image, score.config.observation), score.stds(t)
    x_t, y_t = (clean + s * z for clean, s, z in zip((x, y), stds, noise, strict=True))
    errors = zip(
        processes, stds, score.deviations(t), score.scaled(x_t, y_t, t), noise, strict=True
    )
    return [
        process.likelihood_weight * (1 + (s / d) ** 2) ** emphasis * (scaled + z).square()
        for process, s, d, scaled, z in errors
    ]


class NdmLearner(DenoisingLearner[NdmConfig, NdmOptions]):
    """Trains the joint score of images and their observations."""

    def loss(self, target: Tensor, observation: Tensor) -> Tensor:
        """Return the mean of `joint_score_errors` at times drawn uniformly."""
        descent = self.descent
        y = enlarge(observation, self.config)

        # Draw times, then noise: the observation's first, as the published code does
        uniform = torch.rand(len(target), generator=descent.generator).to(target.device)
        t = uniform * (1 - _FIRST_TIME) + _FIRST_TIME
        z_y, z_x = descent.noise(y), descent.noise(target)
        score = JointScore(descent.network, self.current_config())
        with global_generators_from(descent.generator, target.device):
            errors = joint_score_errors(
                score, target, y, t, noise=(z_x, z_y), emphasis=self.options.emphasis
            )
        return torch.cat(errors, dim=1).mean()

    def current_config(self) -> JointScoreConfig:
        """Return what the weights mean at this step, while the observation's noise shrinks."""
        config, options = self.config.score, self.options
        if options.first_sigma_max is None:
            return config
        sigma_max = shrunken_sigma_max(
            self.descent.steps,
            start=options.first_sigma_max,
            target=config.observation.sigma_max,
            steps=options.shrinking_steps,
        )
        return replace(config, observation=replace(config.observation, sigma_max=sigma_max))
