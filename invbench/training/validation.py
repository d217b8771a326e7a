"""Scores of held-out photographs while a network learns: validity, spread and skill.

Skill is one less the ratio of the network's CRPS to the reference sampler's, a Gaussian of five
numbers: above 0, the network knows more than they do. It is what recipes are chosen by, because
spread alone is easy to have, and so is a small error of samples that are all the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from invbench.evaluation import draw
from invbench.images import from_uint8
from invbench.metrics import psnr, ssim
from invbench.models import reference_sampler
from invbench.uncertainty import crps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from invbench.models import Method, Sampler
    from invbench.training.pairs import Pairs

IMAGES = 12
SAMPLES = 4
REFERENCE_SAMPLES = 16
SCORES = ("psnr", "ssim", "width", "crps", "skill")


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
        ``crps``, and ``skill`` against `models.reference_sampler`.
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
    height, width = held_out.targets.shape[-2:]
    sampler = reference_sampler(held_out.task.problem((height, width)))
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
