"""Learning by Implicit Maximum Likelihood: each image draws the nearest of many samples closer.

The inner minimum, over codes, is searched for a pool of images at a time (`training.selection`);
the outer one, over weights, takes steps on the codes found until the pool is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from invbench.models.imle import network_inputs, to_rgb
from invbench.training.descent import Average, scheduled_rate
from invbench.training.distances import squared_distance
from invbench.training.pairs import require_batch
from invbench.training.selection import select_codes, select_whole_codes, target_pyramid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from invbench.networks import Tower
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
        learning_rate: of Adam, see `descent.scheduled_rate`. The published runs keep it constant
            at 1e-4.
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
    r"""Trains a tower T: renews a pool of images with their nearest codes, then steps through it.

    With x for an observation, y_l for its image at the size of level l, z for codes, and d for
    the distance of `distances.squared_distance`:

    .. math::
        \min_\theta \sum_{images} \min_z \sum_l d(T_l(x, z), y_l)

    where l runs over all levels (CHIMLE), or is the last one alone (cIMLE).

    Args:
        tower: what is trained, on the device of the pairs.
        pairs: what to train on.
        features: of the distance d.
        options: how to train.
        seed: of all randomness.
        grown: whether all levels take part from the first step, since the tower was trained before.
    """

    def __init__(
        self,
        tower: Tower,
        pairs: Pairs,
        features: Features,
        options: ImleOptions,
        *,
        seed: int,
        grown: bool = False,
    ) -> None:
        require_batch(pairs, options.batch_size)
        self.tower = tower
        self.average = Average(tower, options.decay) if options.decay else None
        self.pairs = pairs
        self.features = features
        self.options = options
        self.grown = grown
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
        """Take one step; ``progress`` in [0, 1] is the part of the run that is over."""
        target, x, z = self._next_batch(progress)
        rate = scheduled_rate(self.options.learning_rate, progress)
        others, mapping = self.optimizer.param_groups
        others["lr"], mapping["lr"] = rate, rate * self.options.mapping_rate

        # Draw the chosen sample closer, at every level or at the last alone
        outputs = [to_rgb(output, self.tower.config) for output in self.tower(x, z)]
        y = target_pyramid(target, [output.shape[-1] for output in outputs])
        first = 0 if self.options.hierarchical else len(outputs) - 1
        loss = imle_loss(outputs[first:], y[first:], self.features)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update(self.tower)
        return {"loss": float(loss.detach())}

    def _next_batch(self, progress: float) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Take targets, the tower's inputs and codes from the pool, which is renewed if used up."""
        levels, grow_until = self.tower.config.levels, self.options.grow_until
        if progress < grow_until and not self.grown:
            levels = 1 + int(levels * progress / grow_until)
        if self.pool is None or not self.queue or len(self.pool[2]) < levels:
            self.pool = self._new_pool(levels)
            self.queue = self._shuffled(len(self.pool[0]))
        picked = self.queue.pop()
        target, observation, codes = self.pool
        inputs = network_inputs(observation[picked], self.tower.config)
        return target[picked], inputs, [code[picked] for code in codes]

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
            "grown": self.grown,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.tower.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.pool, self.queue, self.grown = state["pool"], state["queue"], state["grown"]
