"""Learning by denoising: the prior of DDRM and the joint score of NDM."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from invbench.images import to_signed
from invbench.models.diffusion import ALPHA_BARS, TIMES, as_denoiser
from invbench.models.multispeed import JointScore, shrunken_sigma_max
from invbench.models.natural import noise_spread
from invbench.models.ndm import enlarge
from invbench.training.descent import Descent, DescentOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from invbench.models.diffusion import Denoiser, PriorConfig
    from invbench.models.multispeed import JointScoreConfig
    from invbench.models.ndm import NdmConfig
    from invbench.networks import PairedUnet
    from invbench.training.pairs import Pairs

_FIRST_TIME = 1e-5


@dataclass(frozen=True, kw_only=True)
class PriorOptions:
    """How a prior learns.

    Attributes:
        batch_size: images a step.
        descent: how weights follow gradients.
        emphasis: of strong noise in the loss, see `prior_loss`; published 0.
    """

    batch_size: int = 32
    descent: DescentOptions = field(default_factory=DescentOptions)
    emphasis: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NdmOptions:
    """How an NDM learns.

    Attributes:
        batch_size: images a step; published 16 to 50.
        descent: how weights follow gradients.
        emphasis: of strong noise in the loss, see `joint_score_loss`; published 0.
        first_sigma_max: the observation's sigma_max at the beginning, for training in which it
            shrinks to the configured one (VS-CMDE); by default it is constant.
        shrinking_steps: over which it does.
    """

    batch_size: int = 16
    descent: DescentOptions = field(default_factory=DescentOptions)
    emphasis: float = 0.0
    first_sigma_max: float | None = None
    shrinking_steps: int = 250_000


# In minutes on a CPU many small steps get further than few large ones: after 75 seconds of the
# prior at 64x64, four images a step reach a validation loss of 0.22, 32 a step one of 0.38. The
# prior's emphasis is a compromise: 1 serves strong noise best, 0 weak noise. NDM needs all of it:
# with 0.5 its validity on sr16 falls from 25.3 to 20.3 dB.
_BRIEF = DescentOptions(learning_rate=1e-3, warm_up_steps=50, decay=0.995)
PRIOR_OPTIONS = {
    "tiny": PriorOptions(batch_size=4, descent=_BRIEF, emphasis=0.5),
    "small": PriorOptions(emphasis=0.5),
    "official": PriorOptions(),
}
NDM_OPTIONS = {
    "tiny": NdmOptions(batch_size=4, descent=_BRIEF, emphasis=1.0),
    "small": NdmOptions(emphasis=1.0),
    "official": NdmOptions(),
}


def prior_loss(
    denoiser: Denoiser, images: Tensor, times: Tensor, noise: Tensor, *, emphasis: float = 0.0
) -> Tensor:
    """Return the mean squared error of the noise, over ``spread^(2 emphasis)``.

    Where the spread is that of `natural.noise_spread`: small at strong noise, which is known well.

    Args:
        denoiser: predicts the noise.
        images: ``[N, 3, H, W]`` in [-1, 1].
        times: ``[N]`` in 0, ..., 999.
        noise: standard normal, like ``images``.
        emphasis: of strong noise: 0 is L_simple of Ho et al. 2020, as published; with 1 the
            errors of a "natural" preconditioned network's outputs weigh the same at all times.
    """
    signal = ALPHA_BARS.to(images.device)[times][:, None, None, None]
    diffused = signal.sqrt() * images + (1 - signal).sqrt() * noise
    spread = noise_spread(signal, *images.shape[-2:])
    return ((denoiser(diffused, times) - noise) / spread**emphasis).square().mean()


def joint_score_loss(
    score: JointScore,
    image: Tensor,
    observation: Tensor,
    times: Tensor,
    *,
    noise: tuple[Tensor, Tensor],
    emphasis: float = 0.0,
) -> Tensor:
    """Return the error of both scores, weighted by ``g^2 (1 + std^2 / deviation^2)^emphasis``.

    Deviations are those of clean pixels, see `JointScore.deviations`.

    The mean runs over the values of image and observation together, so that an observation of
    one channel weighs a third of one with three.

    Args:
        score: what is trained.
        image: ``[N, 3, H, W]`` in [0, 1].
        observation: ``[N, c, H, W]`` in [0, 1].
        times: ``[N]`` in (0, 1].
        noise: standard normal, like the image and like the observation.
        emphasis: of strong noise: 0 is likelihood weighting, as published; with 1 the errors
            of a "gaussian" preconditioned network's outputs weigh the same at all times.
    """
    clean, processes = (image, observation), (score.config.image, score.config.observation)
    stds = score.stds(times)
    diffused = [x + std * draw for x, std, draw in zip(clean, stds, noise, strict=True)]
    scaled = score.scaled(diffused[0], diffused[1], times)
    weights = [
        process.likelihood_weight * (1 + (std / deviation) ** 2) ** emphasis
        for process, std, deviation in zip(processes, stds, score.deviations(times), strict=True)
    ]
    errors = [
        weight * (found + draw).square()
        for weight, found, draw in zip(weights, scaled, noise, strict=True)
    ]
    return torch.cat(errors, dim=1).mean()


def conditional_score_loss(
    score: JointScore, image: Tensor, observation: Tensor, times: Tensor, *, noise: Tensor
) -> Tensor:
    """Return the error of the image's score beside a clean observation (CDE), weighted likewise."""
    process = score.config.image
    diffused = image + process.std(times)[:, None, None, None] * noise
    scaled, _ = score.scaled(diffused, observation, times)
    return process.likelihood_weight * (scaled + noise).square().mean()


class PriorLearner:
    """Trains a prior: it learns the images of all tasks alike, and no observation."""

    def __init__(
        self,
        network: nn.Module,
        pairs: Pairs,
        config: PriorConfig,
        options: PriorOptions,
        *,
        seed: int,
    ) -> None:
        self.pairs = pairs
        self.config = config
        self.options = options
        self.descent = Descent(network, options.descent, seed=seed)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights."""
        return self.descent.average.network

    def step(self, progress: float) -> dict[str, float]:
        """Take one optimizer step; ``progress`` in [0, 1] is the part of the run that is over."""
        descent = self.descent
        target, _ = self.pairs.batch(self.options.batch_size, descent.generator)
        images = to_signed(target)
        times = torch.randint(TIMES, (len(images),), generator=descent.generator)
        loss = prior_loss(
            as_denoiser(descent.network, preconditioning=self.config.preconditioning),
            images,
            times.to(images.device),
            descent.noise(images),
            emphasis=self.options.emphasis,
        )
        return descent.step(loss, progress)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return self.descent.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.descent.load_state_dict(state)


class NdmLearner:
    """Trains the joint score of images and their observations."""

    def __init__(
        self,
        network: PairedUnet,
        pairs: Pairs,
        config: NdmConfig,
        options: NdmOptions,
        *,
        seed: int,
    ) -> None:
        self.pairs = pairs
        self.config = config
        self.options = options
        self.descent = Descent(network, options.descent, seed=seed)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights."""
        return self.descent.average.network

    def step(self, progress: float) -> dict[str, float]:
        """Take one optimizer step; ``progress`` in [0, 1] is the part of the run that is over."""
        descent = self.descent
        target, observation = self.pairs.batch(self.options.batch_size, descent.generator)
        observation = enlarge(observation, self.config)

        # Draw times, then noise: the observation's first, as the published code does
        uniform = torch.rand(len(target), generator=descent.generator).to(target.device)
        times = uniform * (1 - _FIRST_TIME) + _FIRST_TIME
        of_observation, of_image = descent.noise(observation), descent.noise(target)
        score = JointScore(descent.network, self.current_config())
        with _dropout_from(descent.generator, target.device):
            loss = joint_score_loss(
                score,
                target,
                observation,
                times,
                noise=(of_image, of_observation),
                emphasis=self.options.emphasis,
            )
        return descent.step(loss, progress)

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

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return self.descent.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.descent.load_state_dict(state)


@contextmanager
def _dropout_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout, which knows the global generators alone, depend on ``generator`` instead."""
    seed = int(torch.randint(1 << 62, (), generator=generator))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
