"""MSGAN's training: pix2pix with two codes a step and a regularizer that drives outputs apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from invbench.images import to_signed
from invbench.networks import DiscriminatorConfig, MultiscaleDiscriminator
from invbench.seeding import generator as seeded
from invbench.training.gan import (
    GanMode,
    Players,
    companion,
    gan_loss,
    real_and_fake_loss,
    require_batch,
    source_of,
    total_of,
    with_dropout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from invbench.networks import InputUnet, Unet
    from invbench.training.pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class MsganOptions:
    """How MSGAN learns; the defaults are the published ones.

    Attributes:
        batch_size: images a step.
        gan_mode: see `training.gan.gan_loss`.
        gan_weight: of the discriminator's verdict on each of the two outputs.
        l1_weight: of mean |first output - target|.
        mode_seeking_weight: of the regularizer.
        mode_seeking_floor: added to the ratio of which the regularizer is the inverse. With the
            published 1e-5 it starts near 300, when codes hardly show in the outputs, and in short
            runs these then hardly follow the input.
        dropout: whether the generator's dropout is on while training.
        learning_rate: of Adam; constant for half of the run, then falling linearly to zero.
        betas: of Adam.
        decay: of the average of the generator's weights, see `Players`.
        warm_up_steps: over which the learning rate rises from zero.
        discriminator_channels: width of the discriminator's first layer.
        discriminator_layers: its layers that halve.
        discriminator_scales: its scales.
    """

    batch_size: int = 1
    gan_mode: GanMode = "lsgan"
    gan_weight: float = 1.0
    l1_weight: float = 10.0
    mode_seeking_weight: float = 1.0
    mode_seeking_floor: float = 1e-5
    dropout: bool = False
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0
    warm_up_steps: int = 0
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    discriminator_scales: int = 2


# In minutes on a CPU: reobservations of sr16 reach 23.4 dB in 3 minutes with this floor and rate,
# 15.2 with the published floor, and 14.3 in 8 minutes with that, 8 images a step and 2e-4.
OPTIONS = {
    "tiny": MsganOptions(
        batch_size=4,
        learning_rate=1e-3,
        decay=0.998,
        warm_up_steps=50,
        mode_seeking_floor=0.1,
        discriminator_channels=32,
        discriminator_layers=2,
    ),
    "small": MsganOptions(batch_size=8, discriminator_channels=32),
    "official": MsganOptions(),
}


# Gray leaves less open than a small image does: at the full weight samples of colorization differ
# by twice as much as photographs of one gray image do.
BY_TASK = {("tiny", "colorization"): replace(OPTIONS["tiny"], mode_seeking_weight=0.2)}


def mode_seeking_ratio(images: Tensor, codes: Tensor) -> Tensor:
    """Return mean |image 2 - image 1| / mean |code 2 - code 1|.

    Args:
        images: ``[2, N, C, H, W]``, both outputs for each input.
        codes: ``[2, N, Z]``. Means are over the batch and all entries, so that the ratio is one
            of means and not a mean of ratios.
    """
    return functional.l1_loss(*images) / functional.l1_loss(*codes)


def mode_seeking_loss(images: Tensor, codes: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Return 1 / (ratio + floor), to be minimized (MSGAN, section 3.2)."""
    return 1 / (mode_seeking_ratio(images, codes) + floor)


class MsganLearner:
    """Trains a generator with a discriminator that sees input and output."""

    def __init__(
        self, generator: Unet | InputUnet, pairs: Pairs, options: MsganOptions, *, seed: int
    ) -> None:
        require_batch(pairs, options.batch_size)
        self.trained = generator
        self.pairs = pairs
        self.options = options
        self.generator = seeded(seed)
        self.generate = with_dropout(generator, self.generator) if options.dropout else generator
        sizes = DiscriminatorConfig(
            in_channels=generator.config.in_channels + generator.config.out_channels,
            channels=options.discriminator_channels,
            layers=options.discriminator_layers,
        )
        discriminator = companion(
            MultiscaleDiscriminator(sizes, scales=options.discriminator_scales),
            beside=generator,
            generator=self.generator,
        )
        self.players = Players({"generator": generator, "discriminator": discriminator}, options)

    @property
    def network(self) -> nn.Module:
        """The generator to ship, see `Players.shipped`."""
        return self.players.shipped

    def step(self, progress: float) -> dict[str, float]:
        """Take one step of both players; ``progress`` in [0, 1] is the part of the run over."""
        size = self.options.batch_size
        target, observation = self.pairs.batch(size, self.generator)
        source = source_of(self.trained, target, observation)
        length = self.trained.config.code_channels
        codes = torch.randn(2, size, length, generator=self.generator).to(target.device)
        losses = self.update(source, to_signed(target), codes=codes, progress=progress)
        return {name: loss.item() for name, loss in losses.items()}

    def update(
        self, source: Tensor, target: Tensor, *, codes: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            source: ``[N, 3, S, S]`` in [-1, 1].
            target: ``[N, 3, S, S]`` in [-1, 1].
            codes: ``[2, N, Z]``, both codes of each image.
            progress: the part of the run over.

        Returns:
            All losses, weighted.
        """
        options = self.options
        discriminator = self.players.networks["discriminator"]

        # Generate twice; the discriminator sees the input in front of the image
        twice = source.repeat(2, 1, 1, 1)
        fakes = self.generate(twice, codes.flatten(0, 1))
        shown = torch.cat([twice, fakes], dim=1)
        both = fakes.unflatten(0, (2, -1))

        # Generator: fool with both outputs, reconstruct with the first, keep them apart.
        # Twice the mean over both halves is the published sum of two means.
        fooled = 2 * gan_loss(discriminator(shown), real=True, mode=options.gan_mode)
        losses = {
            "gan": options.gan_weight * fooled,
            "l1": options.l1_weight * functional.l1_loss(both[0], target),
            "mode_seeking": options.mode_seeking_weight
            * mode_seeking_loss(both, codes, floor=options.mode_seeking_floor),
        }
        self.players.backward(total_of(losses), "generator")
        self.players.step("generator", progress=progress)

        # Discriminator: the real pair counts as often as the two fakes
        real = torch.cat([source, target], dim=1)
        losses["discriminator"] = 2 * real_and_fake_loss(
            discriminator, real, shown, mode=options.gan_mode
        )
        self.players.backward(losses["discriminator"], "discriminator")
        self.players.step("discriminator", progress=progress)
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {"players": self.players.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.players.load_state_dict(state["players"])
        self.generator.set_state(state["generator"])
