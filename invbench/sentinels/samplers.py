"""Samplers for a world whose posterior is known: one exact, each other with one known defect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from invbench.models.gaussian import GaussianPosterior, to_images
from invbench.operators import LinearGray
from invbench.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from invbench.models import Sampler
    from invbench.sentinels.world import World

BIAS_SEED = 20
BAD_IMAGE = 0  # the image that the samplers with one bad image, or one bad sample, spoil


@dataclass(frozen=True, kw_only=True)
class Sentinel:
    """A sampler with a known defect.

    Attributes:
        name: of the sampler.
        defect: what is wrong with it.
        draw: ``(world, observation, generators) -> samples``; a sampler that cheats takes the
            targets from the world.
        flagged_by: the checks of `BATTERY` of which at least one must flag the sampler, most to
            the point first. None for the exact one.
    """

    name: str
    defect: str
    draw: Callable[[World, Tensor, Sequence[torch.Generator]], Tensor]
    flagged_by: tuple[str, ...]

    def build(self, world: World) -> Sampler:
        """Return the sampler for one world."""
        return partial(self.draw, world)


def exact(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw from the posterior."""
    return world.posterior(observation, generators)


def scaled(
    world: World, observation: Tensor, generators: Sequence[torch.Generator], *, factor: float
) -> Tensor:
    """Spread samples ``factor`` times as far around the posterior mean as is right."""
    posterior = world.posterior
    return to_images(posterior.mean(observation) + factor * posterior.deviation(generators))


def collapsed(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Vary one posterior sample of each observation by a tenth of the right spread."""
    posterior = world.posterior
    modes = [generator(_hash(row)) for row in observation]
    deviation = posterior.deviation(modes) + 0.1 * posterior.deviation(generators)
    return to_images(posterior.mean(observation) + deviation)


def biased(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Shift every sample by half of one fixed posterior deviation; samples stay valid."""
    posterior = world.posterior
    shift = posterior.deviation([generator(BIAS_SEED)]) / 2
    return to_images(posterior.mean(observation) + shift + posterior.deviation(generators))


def hallucinating(
    world: World, observation: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """Add detail as sharp as the prior's, half as strong, that the observation contradicts."""
    posterior = world.posterior
    samples = posterior.mean(observation) + posterior.deviation(generators)
    return to_images(samples + posterior.prior_deviation(generators) / 2)


def input_ignoring(
    world: World, observation: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """Draw from the prior, whatever the observation."""
    del observation
    posterior = world.posterior
    return to_images(posterior.field.mean + posterior.prior_deviation(generators))


def copying(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Return the observation enlarged, or repeated for every channel; nothing is drawn."""
    del generators
    operator = world.posterior.operator
    if isinstance(operator, LinearGray):
        return to_images(observation.expand(-1, 3, -1, -1))
    return to_images(operator.pinv(observation.double()))


def leaking(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Look the target up and draw closely around it."""
    targets = world.targets[world.find(observation)]
    return to_images(targets + 0.1 * world.posterior.deviation(generators))


def one_bad_image(
    world: World, observation: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """Be exact but for one image, whose samples are valid and all have nearly the same error.

    The error is so large that in one world of fifty some values are clamped, which the check
    `validity` sees.
    """
    posterior = world.posterior
    shift = 3 * posterior.deviation([generator(BIAS_SEED)])
    deviation = posterior.deviation(generators)
    bad = world.find(observation) == BAD_IMAGE
    deviation[bad] = shift + 0.3 * deviation[bad]
    return to_images(posterior.mean(observation) + deviation)


def one_nan(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Be exact but for one value of one sample of one image, which is NaN."""
    seed = world.sample_seed(BAD_IMAGE, 0)
    samples = world.posterior(observation, generators)
    samples[[one.initial_seed() == seed for one in generators], 0, 0, 0] = torch.nan
    return samples


def duplicated_seeds(
    world: World, observation: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """Keep three bits of every seed, so that no more than eight samples differ."""
    few = [generator(one.initial_seed() % 8) for one in generators]
    return world.posterior(observation, few)


def independent(world: World, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Give each value its exact law and stay valid, but lose the dependence between values.

    The posterior of another field has the same mean and the same law of each value: through
    `LinearGray`, that of a field whose pixels are independent; through `LinearBicubic`, that of
    one whose channels are.
    """
    posterior = world.posterior
    gray = isinstance(posterior.operator, LinearGray)
    field = posterior.field
    other = replace(field, length=0.05) if gray else replace(field, color_correlation=0.0)
    return GaussianPosterior(other, posterior.operator)(observation, generators)


def _hash(observation: Tensor) -> int:
    digest = hashlib.blake2b(observation.numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


_DISPERSION = ("spread_skill", "coverage", "rank_histogram", "width", "energy")

SENTINELS = (
    Sentinel(
        name="exact",
        defect="none: draws from the posterior",
        draw=exact,
        flagged_by=(),
    ),
    Sentinel(
        name="collapsed",
        defect="one mode an observation, a tenth of the spread",
        draw=collapsed,
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="overdispersed",
        defect="1.3 times the spread",
        draw=partial(scaled, factor=1.3),
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="underdispersed",
        defect="0.7 times the spread",
        draw=partial(scaled, factor=0.7),
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="biased",
        defect="shifted by half of a posterior deviation",
        draw=biased,
        flagged_by=("bias", "spread_skill", "coverage"),
    ),
    Sentinel(
        name="hallucinating",
        defect="sharp detail that the observation contradicts",
        draw=hallucinating,
        flagged_by=("validity", "null_space_width"),
    ),
    Sentinel(
        name="input_ignoring",
        defect="draws from the prior",
        draw=input_ignoring,
        flagged_by=("validity", "null_space_width"),
    ),
    Sentinel(
        name="copying",
        defect="the observation enlarged, the same each time",
        draw=copying,
        flagged_by=("duplicates", "coverage", "spread_skill"),
    ),
    Sentinel(
        name="leaking",
        defect="knows the target and stays near it",
        draw=leaking,
        flagged_by=("leak",),
    ),
    Sentinel(
        name="one_bad_image",
        defect="exact but for one image, sure of what is wrong",
        draw=one_bad_image,
        flagged_by=("outlier",),
    ),
    Sentinel(
        name="one_nan",
        defect="NaN in one value of one sample",
        draw=one_nan,
        flagged_by=("finite",),
    ),
    Sentinel(
        name="duplicated_seeds",
        defect="no more than eight samples differ",
        draw=duplicated_seeds,
        flagged_by=("duplicates",),
    ),
    Sentinel(
        name="independent",
        defect="every value's law is right, their dependence is lost",
        draw=independent,
        flagged_by=("pixel_dependence", "channel_dependence"),
    ),
)
