"""Scores of held-out photographs while a network learns: validity, spread and skill.

Skill is one less the ratio of the network's CRPS to that of a Gaussian whose few numbers were fixed
once: above 0, the network knows more than they do. It is what recipes are chosen by, because
spread alone is easy to have, and so is a small error of samples that are all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from invbench.data.synthetic import GaussianField
from invbench.evaluation import draw
from invbench.images import from_uint8
from invbench.metrics import psnr, ssim
from invbench.operators import LinearBicubic, LinearGray
from invbench.sentinels import GaussianPosterior
from invbench.uncertainty import crps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor, nn

    from invbench.models import Method, Sampler
    from invbench.training.pairs import Pairs

IMAGES = 12
SAMPLES = 4
REFERENCE_SAMPLES = 16
SCORES = ("psnr", "ssim", "width", "crps", "skill")


@cache
def reference_sampler(task: str, size: int) -> Sampler:
    """Return the sampler that skill is measured against, for images of ``size x size``.

    Super-resolution and colorization: the exact posterior of a Gaussian field with a standard
    deviation of 0.25, a correlation of 0.93 between colours, and one that falls over 30 pixels at
    128x128. Decompression, whose operator is not linear: the observation with noise of standard
    deviation 0.1 that is correlated in the same way over 4 pixels.
    """
    length = 30 * size / 128
    field = GaussianField(size, size, std=0.25, length=length, color_correlation=0.93)
    if task == "sr16":
        return GaussianPosterior(field, LinearBicubic(size, size, factor=16))
    if task == "colorization":
        return GaussianPosterior(field, LinearGray(size, size))
    noise = GaussianField(size, size, std=0.1, length=4.0, color_correlation=0.93)
    return Blurred(GaussianPosterior(noise, LinearGray(size, size)))


@dataclass(frozen=True)
class Blurred:
    """Add correlated noise to observations that have the images' size."""

    noise: GaussianPosterior

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """See `models.Sampler`."""
        return (observation + self.noise.prior_deviation(generators)).clamp(0, 1).float()


def validate(
    method: Method, config: Any, held_out: Pairs, network: nn.Module, *, images: int = IMAGES
) -> Mapping[str, float]:
    """Score a few samples of held-out photographs.

    Args:
        method: whose network it is.
        config: the method's configuration.
        held_out: photographs that were not trained on, of which the first are taken.
        network: to sample with; it is put back into training mode.
        images: how many photographs.

    Returns:
        ``psnr`` and ``ssim`` of reobservations, ``width`` from the least to the greatest sample,
        ``crps``, and ``skill`` against `reference_sampler`.
    """
    network.eval()
    sampler = method.sampler(network, config)
    scores: dict[str, list[float]] = {name: [] for name in SCORES[:-1]}
    for index, pixels in enumerate(held_out.targets[:images]):
        target = from_uint8(pixels.to(held_out.device))
        observation = held_out.task.operator(target)
        samples = _draw(sampler, held_out, observation, index, SAMPLES)
        reobservations = held_out.task.operator(samples)
        scores["psnr"].append(float(psnr(reobservations, observation).clamp(max=100).mean()))
        scores["ssim"].append(float(ssim(reobservations, observation).mean()))
        scores["width"].append(float((samples.amax(dim=0) - samples.amin(dim=0)).mean()))
        scores["crps"].append(float(crps(samples, target)))
    network.train()
    found = {name: sum(values) / len(values) for name, values in scores.items()}
    found["skill"] = 1 - found["crps"] / reference_crps(held_out, images)
    return {name: round(value, 4) for name, value in found.items()}


@lru_cache(maxsize=8)
def reference_crps(held_out: Pairs, images: int = IMAGES) -> float:
    """Return the mean CRPS of the reference on the first photographs."""
    sampler = reference_sampler(held_out.task.name, held_out.targets.shape[-1])
    total = 0.0
    targets = from_uint8(held_out.targets[:images])
    for index, target in enumerate(targets):
        observation = held_out.task.operator(target)
        samples = _draw(sampler, held_out, observation, index, REFERENCE_SAMPLES)
        total += float(crps(samples, target))
    return total / len(targets)


def _draw(sampler: Sampler, held_out: Pairs, observation: Tensor, index: int, count: int) -> Tensor:
    side = held_out.targets.shape[-1]
    return draw(
        sampler,
        observation[None],
        task=held_out.task.name,
        image_ids=[f"validation-{index}"],
        size=(side, side),
        n_samples=count,
    )[0]
