"""Samplers that are right, or wrong in one known way, for a world whose posterior is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from invbench.operators import LinearGray
from invbench.seeding import generator
from invbench.sentinels.posterior import GaussianPosterior, World, to_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from invbench.models import Sampler

BIAS_SEED = 20
BAD_IMAGE = 0  # the image that the samplers with one bad image, or one bad sample, spoil


@dataclass(frozen=True, kw_only=True)
class Sentinel:
    """A sampler with a known defect.

    Attributes:
        name: of the sampler.
        defect: what is wrong with it.
        build: makes it for a world; those that cheat are thereby given the targets.
        flagged_by: checks of `battery.BATTERY` that ought to flag it, most to the point first; at
            least one of them must. None for the exact one.
    """

    name: str
    defect: str
    build: Callable[[World], Sampler]
    flagged_by: tuple[str, ...]


def scaled(world: World, factor: float) -> Sampler:
    """Spread samples ``factor`` times as far around the posterior mean."""
    posterior = world.posterior

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return to_images(posterior.mean(observation) + factor * posterior.deviation(generators))

    return sampler


def collapsed(world: World) -> Sampler:
    """Draw one posterior sample an observation, and vary it by a tenth of what is due."""
    posterior = world.posterior

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        modes = [generator(_hash(row)) for row in observation]
        deviation = posterior.deviation(modes) + 0.1 * posterior.deviation(generators)
        return to_images(posterior.mean(observation) + deviation)

    return sampler


def biased(world: World) -> Sampler:
    """Shift every sample by half of one fixed posterior deviation; it stays valid."""
    posterior = world.posterior
    shift = posterior.deviation([generator(BIAS_SEED)]) / 2

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return to_images(posterior.mean(observation) + shift + posterior.deviation(generators))

    return sampler


def hallucinating(world: World) -> Sampler:
    """Add detail as sharp as the prior's, half as strong, that the observation contradicts."""
    posterior = world.posterior

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        samples = posterior.mean(observation) + posterior.deviation(generators)
        return to_images(samples + posterior.prior_deviation(generators) / 2)

    return sampler


def input_ignoring(world: World) -> Sampler:
    """Draw from the prior."""
    posterior = world.posterior

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        del observation
        return to_images(posterior.field.mean + posterior.prior_deviation(generators))

    return sampler


def copying(world: World) -> Sampler:
    """Enlarge the observation, or repeat it for every channel; nothing is drawn."""
    operator = world.posterior.operator

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        del generators
        if isinstance(operator, LinearGray):
            return to_images(observation.expand(-1, 3, -1, -1))
        return to_images(operator.pinv(observation.double()))

    return sampler


def leaking(world: World) -> Sampler:
    """Look the target up and draw closely around it."""
    posterior = world.posterior

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        targets = world.targets[world.find(observation)]
        return to_images(targets + 0.1 * posterior.deviation(generators))

    return sampler


def one_bad_image(world: World) -> Sampler:
    """Be exact but for one image, on which all samples agree on what is wrong, if valid.

    It lies so far out that its values are clamped in one world of fifty, which `validity` sees.
    """
    posterior = world.posterior
    shift = 3 * posterior.deviation([generator(BIAS_SEED)])

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        deviation = posterior.deviation(generators)
        bad = world.find(observation) == BAD_IMAGE
        deviation[bad] = shift + 0.3 * deviation[bad]
        return to_images(posterior.mean(observation) + deviation)

    return sampler


def one_nan(world: World) -> Sampler:
    """Be exact but for one value of one sample of one image."""
    seed = world.sample_seed(BAD_IMAGE, 0)

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        samples = world.posterior(observation, generators)
        samples[[one.initial_seed() == seed for one in generators], 0, 0, 0] = torch.nan
        return samples

    return sampler


def duplicated_seeds(world: World) -> Sampler:
    """Keep three bits of every seed, so that no more than eight samples differ."""

    def sampler(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        few = [generator(one.initial_seed() % 8) for one in generators]
        return world.posterior(observation, few)

    return sampler


def independent(world: World) -> Sampler:
    """Give each value its exact law and stay valid, but lose the dependence between values.

    The posterior of another field has the same mean and the same law of each value: through
    `LinearGray`, that of a field whose pixels are independent; through `LinearBicubic`, that of
    one whose channels are.
    """
    posterior = world.posterior
    gray = isinstance(posterior.operator, LinearGray)
    field = posterior.field
    other = replace(field, length=0.05) if gray else replace(field, color_correlation=0.0)
    return GaussianPosterior(other, posterior.operator)


def _hash(observation: Tensor) -> int:
    digest = hashlib.blake2b(observation.numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


_DISPERSION = ("spread_skill", "coverage", "rank_histogram", "width", "energy")

SENTINELS = (
    Sentinel(
        name="exact",
        defect="none: draws from the posterior",
        build=lambda world: world.posterior,
        flagged_by=(),
    ),
    Sentinel(
        name="collapsed",
        defect="one mode an observation, a tenth of the spread",
        build=collapsed,
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="overdispersed",
        defect="1.3 times the spread",
        build=lambda world: scaled(world, 1.3),
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="underdispersed",
        defect="0.7 times the spread",
        build=lambda world: scaled(world, 0.7),
        flagged_by=_DISPERSION,
    ),
    Sentinel(
        name="biased",
        defect="shifted by half of a posterior deviation",
        build=biased,
        flagged_by=("bias", "spread_skill", "coverage"),
    ),
    Sentinel(
        name="hallucinating",
        defect="sharp detail that the observation contradicts",
        build=hallucinating,
        flagged_by=("validity", "null_space_width"),
    ),
    Sentinel(
        name="input_ignoring",
        defect="draws from the prior",
        build=input_ignoring,
        flagged_by=("validity", "null_space_width"),
    ),
    Sentinel(
        name="copying",
        defect="the observation enlarged, the same each time",
        build=copying,
        flagged_by=("duplicates", "coverage", "spread_skill"),
    ),
    Sentinel(
        name="leaking",
        defect="knows the target and stays near it",
        build=leaking,
        flagged_by=("leak",),
    ),
    Sentinel(
        name="one_bad_image",
        defect="exact but for one image, sure of what is wrong",
        build=one_bad_image,
        flagged_by=("outlier",),
    ),
    Sentinel(
        name="one_nan",
        defect="NaN in one value of one sample",
        build=one_nan,
        flagged_by=("finite",),
    ),
    Sentinel(
        name="duplicated_seeds",
        defect="no more than eight samples differ",
        build=duplicated_seeds,
        flagged_by=("duplicates",),
    ),
    Sentinel(
        name="independent",
        defect="every value's law is right, their dependence is lost",
        build=independent,
        flagged_by=("pixel_dependence", "channel_dependence"),
    ),
)
