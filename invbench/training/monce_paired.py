"""MoNCE's training for pairs: contrast in the features of a fixed trunk.

The published trainer for labels and images knows its pairs: patches of the output are contrasted
with those of the target at the same place, in features of a VGG that does not learn, and only on
the last map are negatives weighted by transport. Here the trunk is an argument, and the mean
absolute difference of its features joins the contrast, which is blind to their length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from invbench.images import to_signed
from invbench.models.monce import draw_noise
from invbench.networks import DiscriminatorConfig, PatchDiscriminator
from invbench.seeding import generator as seeded
from invbench.training.contrast import conce
from invbench.training.gan import (
    GanMode,
    Players,
    companion,
    gan_loss,
    real_and_fake_loss,
    require_batch,
    source_of,
    total_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from invbench.networks import ResnetCatGenerator, ResnetGenerator
    from invbench.training.pairs import Pairs

    Trunk = Callable[[Tensor], list[Tensor]]

_MODULATED = 4  # the one of the published five maps whose negatives are weighted


@dataclass(frozen=True, kw_only=True)
class PairedMonceOptions:
    """How MoNCE learns from pairs.

    Attributes:
        patches: positions sampled of each map, all of it where it has fewer.
        temperature: of the contrast.
        contrast_weight: of the contrast.
        feature_weight: of the mean absolute difference of features.
        gan_mode: see `training.gan.gan_loss`.
        gan_weight: of the discriminator's verdict.
        batch_size: images a step.
        learning_rate: of Adam; constant for half of the run, then falling linearly to zero.
        betas: of Adam.
        decay: of the average of the generator's weights, see `Players`.
        warm_up_steps: over which the learning rate rises from zero.
        discriminator_channels: width of the discriminator's first layer.
        discriminator_layers: its layers that halve.
    """

    patches: int = 256
    temperature: float = 0.07
    contrast_weight: float = 1.0
    feature_weight: float = 10.0
    gan_mode: GanMode = "lsgan"
    gan_weight: float = 1.0
    batch_size: int = 4
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.998
    warm_up_steps: int = 50
    discriminator_channels: int = 24
    discriminator_layers: int = 3


class PairedMonceLearner:
    """Trains a generator with a discriminator and a fixed trunk.

    Args:
        generator: what is trained.
        pairs: the data.
        options: how.
        seed: of all randomness.
        trunk: maps images ``[N, 3, S, S]`` in [-1, 1] to maps of features, fine to coarse.
    """

    def __init__(
        self,
        generator: ResnetGenerator | ResnetCatGenerator,
        pairs: Pairs,
        options: PairedMonceOptions,
        *,
        seed: int,
        trunk: Trunk,
    ) -> None:
        require_batch(pairs, options.batch_size)
        self.trained = generator
        self.pairs = pairs
        self.options = options
        self.trunk = trunk
        self.generator = seeded(seed)
        judge = DiscriminatorConfig(
            in_channels=generator.config.out_channels,
            channels=options.discriminator_channels,
            layers=options.discriminator_layers,
            blur=True,
        )
        discriminator = companion(
            PatchDiscriminator(judge), beside=generator, generator=self.generator
        )
        self.players = Players({"generator": generator, "discriminator": discriminator}, options)

    @property
    def network(self) -> nn.Module:
        """The generator to ship, see `Players.shipped`."""
        return self.players.shipped

    def step(self, progress: float) -> dict[str, float]:
        """Take one step of both players; ``progress`` in [0, 1] is the part of the run over."""
        target, observation = self.pairs.batch(self.options.batch_size, self.generator)
        noise = draw_noise(
            self.trained,
            [self.generator] * len(target),
            target.shape[-2:],
            device=target.device,
        )
        source = source_of(self.trained, target, observation)
        losses = self.update(source, to_signed(target), noise=noise, progress=progress)
        return {name: loss.item() for name, loss in losses.items()}

    def update(
        self, source: Tensor, target: Tensor, *, noise: Mapping[str, Any], progress: float
    ) -> dict[str, Tensor]:
        """Take one step; only the positions of the contrast are drawn in it.

        Args:
            source: ``[N, 3, S, S]`` in [-1, 1].
            target: ``[N, 3, S, S]`` in [-1, 1].
            noise: keyword arguments of the generator.
            progress: the part of the run over.

        Returns:
            All losses, weighted.
        """
        options = self.options
        discriminator = self.players.networks["discriminator"]
        generated = self.trained(source, **noise)

        # Discriminator first
        judged = 0.5 * real_and_fake_loss(discriminator, target, generated, mode=options.gan_mode)
        self.players.backward(judged, "discriminator")
        self.players.step("discriminator", progress=progress)

        # Generator against the stepped discriminator
        with torch.no_grad():
            wanted = self.trunk(target)
        contrast, difference = self._compare(self.trunk(generated), wanted)
        fooled = gan_loss(discriminator(generated), real=True, mode=options.gan_mode)
        losses = {
            "gan": options.gan_weight * fooled,
            "contrast": options.contrast_weight * contrast,
            "features": options.feature_weight * difference,
        }
        self.players.backward(total_of(losses), "generator")
        self.players.step("generator", progress=progress)
        return {**losses, "discriminator": judged}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {"players": self.players.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.players.load_state_dict(state["players"])
        self.generator.set_state(state["generator"])

    def _compare(self, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        positions = [
            torch.randperm(maps[0, 0].numel(), generator=self.generator)[: self.options.patches]
            for maps in found
        ]
        return compare_features(found, wanted, positions, temperature=self.options.temperature)


def compare_features(
    found: Sequence[Tensor],
    wanted: Sequence[Tensor],
    positions: Sequence[Tensor],
    *,
    temperature: float = 0.07,
) -> tuple[Tensor, Tensor]:
    """Return the contrast and the mean absolute difference of features, means over their maps.

    Args:
        found: maps ``[N, C_l, H_l, W_l]`` of the generated images.
        wanted: those of the targets.
        positions: ``[P_l]`` pixels of each map that are contrasted.
        temperature: of the contrast.
    """
    contrasts, differences = [], []
    for ours, theirs, picked in zip(found, wanted, positions, strict=True):
        differences.append(functional.l1_loss(ours, theirs))
        query, key = (
            functional.normalize(maps.flatten(2)[..., picked].transpose(1, 2), dim=-1)
            for maps in (ours, theirs)
        )
        layer = _MODULATED if ours is found[-1] else 0
        losses = conce(query, key, layer=layer, weight=len(picked), temperature=temperature)
        contrasts.append(losses.mean())
    return torch.stack(contrasts).mean(), torch.stack(differences).mean()
