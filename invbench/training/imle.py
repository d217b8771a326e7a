"""Learning by Implicit Maximum Likelihood: each image draws the nearest of many samples closer.

The objective is min over weights of sum over images of min over codes of d(sample, target). The
inner minimum is searched for a pool of images at a time; the outer one takes steps on the codes
found until the pool is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from invbench.images import from_uint8, to_uint8
from invbench.models.imle import network_inputs, to_rgb
from invbench.operators import resize_bicubic
from invbench.training.descent import Average
from invbench.training.distances import squared_distance
from invbench.training.gan import require_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from invbench.networks import Carry, Tower
    from invbench.training.distances import Features
    from invbench.training.pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class ImleOptions:
    """How IMLE learns.

    Attributes:
        hierarchical: search level by level and supervise every level (CHIMLE), or search whole
            codes by the final output and supervise that alone (cIMLE).
        candidates: codes tried for an image, at each level; for whole codes the first entry.
        pool_size: images whose codes are searched at a time.
        epochs_per_pool: how often each is trained on before the pool is renewed.
        batch_size: images a step.
        learning_rate: of Adam; constant for half of the run, then falling linearly to zero.
            The published runs keep it constant at 1e-4.
        grow_until: part of the run by which all levels have joined, the lowest first, each
            after an equal share. Low levels cost little and settle what high ones build on. Zero
            trains all from the start, as published; it needs supervision at every level.
        mapping_rate: factor on it for the mapping nets; published 0.01.
        decay: of the average of the weights, which is then what is shipped; 0, as published,
            ships the weights themselves.
        selection_size: images whose codes are searched in one pass.
    """

    hierarchical: bool
    candidates: tuple[int, ...]
    pool_size: int = 128
    epochs_per_pool: int = 8
    batch_size: int = 4
    learning_rate: float = 1e-3
    grow_until: float = 0.0
    mapping_rate: float = 0.1
    decay: float = 0.0
    selection_size: int = 16


# Searching 8 whole codes costs what searching 16, 16, 8 and 4 codes of one level does.
# Small pools: the first one is searched before anything has been learned.
_BRIEF = ImleOptions(
    hierarchical=True, candidates=(16, 16, 8, 4), pool_size=32, grow_until=0.5, decay=0.998
)
_BRIEF_FLAT = ImleOptions(hierarchical=False, candidates=(8,), pool_size=32, decay=0.998)
# Published for CHIMLE; for cIMLE as many whole codes as cost the same at the published sizes.
_OFFICIAL = ImleOptions(
    hierarchical=True,
    candidates=(200, 200, 20, 10),
    pool_size=400,
    epochs_per_pool=25,
    batch_size=1,
    learning_rate=1e-4,
    mapping_rate=0.01,
)
CHIMLE_OPTIONS = {"tiny": _BRIEF, "small": _BRIEF, "official": _OFFICIAL}
CIMLE_OPTIONS = {
    "tiny": _BRIEF_FLAT,
    "small": _BRIEF_FLAT,
    "official": replace(_OFFICIAL, hierarchical=False, candidates=(80,)),
}


def target_pyramid(target: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Reduce targets ``[N, 3, S, S]`` to each level's size by Pillow's bicubic filter on 8 bits."""
    pixels = to_uint8(target)
    return [from_uint8(resize_bicubic(pixels, size, size)) for size in sizes]


@torch.no_grad()
def select_codes(
    tower: Tower,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    candidates: Sequence[Tensor],
    features: Features,
) -> list[Tensor]:
    """Search the nearest code level by level, each on top of the codes already chosen (CHIMLE).

    Sum of m_l evaluations of one level each stand for the product of m_l whole samples.

    Args:
        tower: the network.
        inputs: image part of each level, ``[N, c, H_l, W_l]``.
        targets: the image at each level's output size, ``[N, 3, H_l, W_l]``.
        candidates: codes to try at each level, ``[N, m_l, length_l]``.
        features: the distance.

    Returns:
        The chosen code of each level, ``[N, length_l]``.
    """
    chosen: list[Tensor] = []
    carry: Carry | None = None
    for level, codes in enumerate(candidates):
        # Run this level alone for all candidates of all images
        count = codes.shape[1]
        repeated = [image.repeat_interleave(count, dim=0) for image in inputs]
        below = carry.repeat(count) if carry else None
        output, _ = tower.level(level, repeated, codes.flatten(0, 1), below)

        # Keep each image's nearest, and climb on it
        found = features(to_rgb(output, tower.config))
        chosen.append(_nearest(codes, found, features(targets[level])))
        _, carry = tower.level(level, inputs, chosen[-1], carry)
    return chosen


@torch.no_grad()
def select_whole_codes(
    tower: Tower,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    candidates: Sequence[Tensor],
    features: Features,
) -> list[Tensor]:
    """Search the nearest of whole codes, by the final output alone (cIMLE).

    Arguments and result are those of `select_codes`, with the same number of candidates at every
    level: candidate j of all levels belong together. Only the last target is looked at.
    """
    codes = torch.cat(list(candidates), dim=2)
    lengths = [level.shape[2] for level in candidates]
    repeated = [image.repeat_interleave(codes.shape[1], dim=0) for image in inputs]
    outputs = tower(repeated, codes.flatten(0, 1).split(lengths, dim=1))
    found = features(to_rgb(outputs[-1], tower.config))
    return list(_nearest(codes, found, features(targets[-1])).split(lengths, dim=1))


def candidate_distances(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return d ``[N, m]`` of each image's m candidates, their features being ``[N * m, D_l]``."""
    count = len(found[0]) // len(wanted[0])
    repeated = [feature.repeat_interleave(count, dim=0) for feature in wanted]
    return squared_distance(found, repeated).reshape(-1, count)


def _nearest(codes: Tensor, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    index = candidate_distances(found, wanted).argmin(dim=1)
    return codes[torch.arange(len(codes)), index]


def imle_loss(outputs: Sequence[Tensor], targets: Sequence[Tensor], features: Features) -> Tensor:
    """Return the sum over levels of the mean over images of d(output, target).

    The published code sums over the batch; the mean keeps the step independent of its size.
    """
    losses = [
        squared_distance(features(output), features(target)).mean()
        for output, target in zip(outputs, targets, strict=True)
    ]
    return torch.stack(losses).sum()


class ImleLearner:
    """Trains a tower: renews a pool of images with their nearest codes, then steps through it."""

    def __init__(
        self, tower: Tower, pairs: Pairs, features: Features, options: ImleOptions, *, seed: int
    ) -> None:
        require_batch(pairs, options.batch_size)
        self.tower = tower
        self.average = Average(tower, options.decay) if options.decay else None
        self.pairs = pairs
        self.features = features
        self.options = options
        self.generator = torch.Generator().manual_seed(seed)
        mapping = [p for name, p in tower.named_parameters() if "_map" in name]
        others = [p for name, p in tower.named_parameters() if "_map" not in name]
        self.optimizer = torch.optim.Adam([{"params": others}, {"params": mapping}])
        self.pool: tuple[Tensor, Tensor, list[Tensor]] | None = None
        self.queue: list[Tensor] = []

    @property
    def network(self) -> nn.Module:
        """The tower to ship, with averaged weights where an average is kept."""
        return self.average.network if self.average else self.tower

    def step(self, progress: float) -> dict[str, float]:
        """Take one optimizer step; ``progress`` in [0, 1] is the part of the run that is over."""
        options, config = self.options, self.tower.config
        levels = config.levels
        if progress < options.grow_until:
            levels = 1 + int(levels * progress / options.grow_until)
        if self.pool is None or not self.queue or len(self.pool[2]) < levels:
            self.pool = self._new_pool(levels)
            self.queue = self._shuffled(len(self.pool[0]))
        picked = self.queue.pop()
        target, observation, codes = self.pool
        rate = options.learning_rate * min(1.0, 2 * (1 - progress))
        for group, factor in zip(
            self.optimizer.param_groups, (1.0, options.mapping_rate), strict=True
        ):
            group["lr"] = rate * factor

        # Draw the image's chosen sample closer, at every level or at the last alone
        inputs = network_inputs(observation[picked], config)
        outputs = self.tower(inputs, [code[picked] for code in codes])
        rgb = [to_rgb(output, config) for output in outputs]
        targets = target_pyramid(target[picked], [image.shape[-1] for image in rgb])
        first = 0 if options.hierarchical else len(rgb) - 1
        loss = imle_loss(rgb[first:], targets[first:], self.features)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update(self.tower)
        return {"loss": float(loss.detach())}

    def _new_pool(self, levels: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Draw images and search their codes, a few images in one pass."""
        target, observation = self.pairs.batch(self.options.pool_size, self.generator)
        parts = zip(
            target.split(self.options.selection_size),
            observation.split(self.options.selection_size),
            strict=True,
        )
        chosen = [self._search(*part, levels) for part in parts]
        return target, observation, [torch.cat(level) for level in zip(*chosen, strict=True)]

    def _search(self, target: Tensor, observation: Tensor, levels: int) -> list[Tensor]:
        tower, options = self.tower, self.options
        inputs = network_inputs(observation, tower.config)
        lengths = tower.code_lengths(*inputs[0].shape[-2:])[:levels]
        counts = options.candidates[:levels]
        if not options.hierarchical:
            counts = counts[:1] * levels
        candidates = [
            torch.randn(len(target), count, length, generator=self.generator).to(target.device)
            for count, length in zip(counts, lengths, strict=True)
        ]
        sizes = tower.output_sizes(inputs[0].shape[-1])
        select = select_codes if options.hierarchical else select_whole_codes
        return select(tower, inputs, target_pyramid(target, sizes), candidates, self.features)

    def _shuffled(self, count: int) -> list[Tensor]:
        """Return the pool's batches for all its epochs, each epoch in an order of its own."""
        size = self.options.batch_size
        orders = [
            torch.randperm(count, generator=self.generator)
            for _ in range(self.options.epochs_per_pool)
        ]
        return [batch for order in orders for batch in order.split(size) if len(batch) == size]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {
            "network": self.tower.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "pool": self.pool,
            "queue": list(self.queue),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.tower.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.pool, self.queue = state["pool"], state["queue"]
