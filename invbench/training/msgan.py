"""MSGAN's training: pix2pix with two codes a step and a regularizer that drives outputs apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from invbench.networks import MultiscaleDiscriminator
from invbench.training.gan import (
    GanLearner,
    GanOptions,
    gan_loss,
    generate_with,
    real_and_fake_loss,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from invbench.networks import InputUnet, Unet  # noqa: F401


@dataclass(frozen=True, kw_only=True)
class MsganOptions(GanOptions):
    """How MSGAN learns; the defaults are the published ones.

    Attributes:
        l1_weight: of mean |first output - target|.
        mode_seeking_weight: of the regularizer.
        mode_seeking_floor: added to the ratio of which the regularizer is the inverse. With the
            published 1e-5 it starts near 300, when codes hardly show in the outputs, and in short
            runs these then hardly follow the input.
        dropout: whether the generator's dropout is on while training.
        discriminator_scales: scales of the discriminator.
    """

    l1_weight: float = 10.0
    mode_seeking_weight: float = 1.0
    mode_seeking_floor: float = 1e-5
    dropout: bool = False
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


def mode_seeking_ratio(F: Tensor, z: Tensor) -> Tensor:
    """Return mean |F_2 - F_1| / mean |z_2 - z_1|.

    Args:
        F: ``[2, N, C, H, W]``, both outputs for each input.
        z: ``[2, N, Z]``, their codes. Means are over the batch and all entries, so that the ratio
            is one of means and not a mean of ratios.
    """
    return functional.l1_loss(*F) / functional.l1_loss(*z)


def mode_seeking_loss(F: Tensor, z: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Return 1 / (ratio + floor), to be minimized (MSGAN, section 3.2)."""
    return 1 / (mode_seeking_ratio(F, z) + floor)


class MsganLearner(GanLearner["Unet | InputUnet", MsganOptions]):
    r"""Trains a generator G with a discriminator D that sees source A and image.

    With B for the target, z_1 and z_2 for two codes, L for `gan_loss`, and w for weights:

    .. math::
        F_k = G(A, z_k), \qquad \min_G \; w_{gan} \sum_{k=1}^2 L(D(A, F_k), 1)
            + w_{L1} |F_1 - B| + w_{ms} / (|F_2 - F_1| / |z_2 - z_1| + \mathrm{floor}) \\
        \min_D \; 2 L(D(A, B), 1) + \sum_{k=1}^2 L(D(A, F_k), 0)
    """

    def update(self, A: Tensor, B: Tensor, *, z: Tensor, progress: float) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            A: sources ``[N, 3, S, S]`` in [-1, 1].
            B: targets ``[N, 3, S, S]`` in [-1, 1].
            z: ``[2, N, Z]``, both codes of each image.
            progress: the part of the run that is over.
        """
        options, D = self.options, self.players.networks["discriminator"]
        G = generate_with(self.trained, self.generator, dropout=options.dropout)

        # Generate twice; the discriminator sees the source in front of the image
        twice = A.repeat(2, 1, 1, 1)
        fakes = G(twice, z.flatten(0, 1))
        seen = torch.cat([twice, fakes], dim=1)
        F = fakes.unflatten(0, (2, -1))

        # Generator: fool with both outputs, reconstruct with the first, keep them apart.
        # Twice the mean over both halves is the published sum of two means.
        fooled = 2 * gan_loss(D(seen), real=True, mode=options.gan_mode)
        apart = mode_seeking_loss(F, z, floor=options.mode_seeking_floor)
        losses = {
            "gan": options.gan_weight * fooled,
            "l1": options.l1_weight * functional.l1_loss(F[0], B),
            "mode_seeking": options.mode_seeking_weight * apart,
        }
        self.players.descend(losses, "generator", progress=progress)

        # Discriminator: the real pair counts as often as the two fakes
        real = torch.cat([A, B], dim=1)
        judged = {"discriminator": 2 * real_and_fake_loss(D, real, seen, mode=options.gan_mode)}
        self.players.descend(judged, "discriminator", progress=progress)
        return losses | judged

    def draw(self, target: Tensor) -> dict[str, Any]:
        """Draw two codes for each image."""
        length = self.trained.config.code_channels
        z = torch.randn(2, len(target), length, generator=self.generator)
        return {"z": z.to(target.device)}

    def companions(self, side: int) -> dict[str, nn.Module]:  # noqa: ARG002
        """Build a discriminator of source and image, of any side."""
        options, sizes = self.options, self.trained.config
        seen = options.discriminator(sizes.in_channels + sizes.out_channels)
        judge = MultiscaleDiscriminator(seen, scales=options.discriminator_scales)
        return {"discriminator": judge}
