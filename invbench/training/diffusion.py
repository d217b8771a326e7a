"""Learning by denoising: the prior of DDRM and the joint score of NDM, with averaged weights."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from invbench.images import to_signed
from invbench.models.diffusion import ALPHA_BARS, TIMES, as_denoiser
from invbench.models.multispeed import PIXEL_STD, JointScore, shrunken_sigma_max
from invbench.models.ndm import enlarge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from invbench.models.diffusion import Denoiser
    from invbench.models.multispeed import JointScoreConfig
    from invbench.models.ndm import NdmConfig
    from invbench.networks.guided_unet import GuidedUnet
    from invbench.networks.paired_unet import PairedUnet
    from invbench.training.pairs import Pairs

_FIRST_TIME = 1e-5


@dataclass(frozen=True, kw_only=True)
class DescentOptions:
    """How weights follow gradients; the defaults are NDM's, but for the warm-up.

    Attributes:
        learning_rate: of Adam, constant for half of the run, then falling linearly to zero. The
            published runs keep it constant.
        warm_up_steps: over which it rises linearly from zero; published 2500.
        clip_norm: largest norm of the gradient.
        decay: of the average of the weights, as soon as enough of them have been seen.
    """

    learning_rate: float = 2e-4
    warm_up_steps: int = 500
    clip_norm: float = 1.0
    decay: float = 0.999


@dataclass(frozen=True, kw_only=True)
class PriorOptions:
    """How a prior learns.

    Attributes:
        batch_size: images a step.
        descent: how weights follow gradients.
    """

    batch_size: int = 32
    descent: DescentOptions = field(default_factory=DescentOptions)


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
    emphasis: float = 1.0
    first_sigma_max: float | None = None
    shrinking_steps: int = 250_000


# In minutes on a CPU many small steps get further than few large ones: after 75 seconds of the
# prior at 64x64, four images a step reach a validation loss of 0.22, 32 a step one of 0.38.
_BRIEF = DescentOptions(learning_rate=1e-3, warm_up_steps=50, decay=0.995)
PRIOR_OPTIONS = {
    "tiny": PriorOptions(batch_size=4, descent=_BRIEF),
    "small": PriorOptions(),
    "official": PriorOptions(),
}
NDM_OPTIONS = {
    "tiny": NdmOptions(batch_size=4, descent=_BRIEF),
    "small": NdmOptions(),
    "official": NdmOptions(),
}


def prior_loss(denoiser: Denoiser, images: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of the predicted noise (Ho et al. 2020, L_simple).

    Args:
        denoiser: predicts the noise.
        images: ``[N, 3, H, W]`` in [-1, 1].
        times: ``[N]`` in 0, ..., 999.
        noise: standard normal, like ``images``.
    """
    signal = ALPHA_BARS.to(images.device)[times][:, None, None, None]
    diffused = signal.sqrt() * images + (1 - signal).sqrt() * noise
    return (denoiser(diffused, times) - noise).square().mean()


def joint_score_loss(
    score: JointScore,
    image: Tensor,
    observation: Tensor,
    times: Tensor,
    *,
    noise: tuple[Tensor, Tensor],
    emphasis: float = 0.0,
) -> Tensor:
    """Return the error of both scores, weighted by ``g^2 (1 + std^2 / PIXEL_STD^2)^emphasis``.

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
    parts = [(image, score.config.image), (observation, score.config.observation)]
    stds = [process.std(times)[:, None, None, None] for _, process in parts]
    diffused = [
        clean + std * draw for (clean, _), std, draw in zip(parts, stds, noise, strict=True)
    ]
    scaled = score.scaled(diffused[0], diffused[1], times)
    weights = [
        process.likelihood_weight * (1 + (std / PIXEL_STD) ** 2) ** emphasis
        for (_, process), std in zip(parts, stds, strict=True)
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


class Average:
    """An exponential moving average of a network's weights that forgets its start quickly.

    After k updates the decay is at most ``(1 + k) / (10 + k)``. The published NDM code updates it
    one step late; here it follows every step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.network.parameters(), network.parameters(), strict=True)
        for average, weight in pairs:
            average.lerp_(weight, 1 - decay)


class Descent:
    """Adam with warm-up, late decay and clipping; the weights' average; the run's randomness."""

    def __init__(self, network: nn.Module, options: DescentOptions, *, seed: int) -> None:
        self.network = network.train()
        self.options = options
        self.average = Average(network, options.decay)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.average.updates

    def step(self, loss: Tensor, progress: float) -> dict[str, float]:
        """Take one step down the loss; ``progress`` is the part of the run that is over."""
        options = self.options
        warm_up = min(1.0, (self.steps + 1) / max(1, options.warm_up_steps))
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * warm_up * min(1.0, 2 * (1 - progress))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), options.clip_norm)
        self.optimizer.step()
        self.average.update(self.network)
        return {"loss": loss.item()}

    def noise(self, like: Tensor) -> Tensor:
        """Draw standard normal noise of a tensor's shape, the same for every device."""
        return torch.randn(like.shape, generator=self.generator).to(like.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "steps": self.steps,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = state["steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


class PriorLearner:
    """Trains a prior: it learns the images of all tasks alike, and no observation."""

    def __init__(
        self, network: GuidedUnet, pairs: Pairs, options: PriorOptions, *, seed: int
    ) -> None:
        self.pairs = pairs
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
            as_denoiser(descent.network), images, times.to(images.device), descent.noise(images)
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
