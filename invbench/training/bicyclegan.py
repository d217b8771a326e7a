"""BicycleGAN's training: two cycles through a code, each with a discriminator of its own.

The first half of a batch is encoded (target -> code -> target), codes drawn at random go the other
way (code -> output -> code), and the second half's targets show the second discriminator what is
real.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch.nn import functional

from invbench.networks import Encoder, EncoderConfig, MultiscaleDiscriminator
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


class LatentTerm(Protocol):
    """What is asked of codes that went through generator and encoder."""

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Draw ``[M, count, length]`` codes; the first of the M sets is standard normal."""

    def losses(self, recovered: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """Return weighted losses of the recovered codes, both ``[M, count, length]``."""


@dataclass(frozen=True, kw_only=True)
class LatentRegression:
    """Recover the code: weight * mean |recovered - code|. One set of codes."""

    weight: float = 0.5

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """See `LatentTerm`."""
        return torch.randn(1, count, length, generator=generator)

    def losses(self, recovered: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """See `LatentTerm`."""
        return {"latent": self.weight * functional.l1_loss(recovered, codes)}


@dataclass(frozen=True, kw_only=True)
class BicycleOptions(GanOptions):
    """How BicycleGAN learns; the defaults are the published ones.

    Attributes:
        latent: the term on recovered codes; the one thing that DivCo changes.
        batch_size: even; half of it is encoded.
        gan2_weight: of the second discriminator's verdict.
        l1_weight: of mean |reconstruction - target|.
        kl_weight: of the divergence of encoded codes from standard normal ones.
        kl_reduction: over the encoded images. The published sum equals the mean at the published
            batch size of 2, and grows with the batch otherwise.
        conditional: whether discriminators see the input too.
        shared_discriminator: whether one discriminator plays both parts.
        dropout: whether the generator's dropout is on while training (the published scripts).
        encoder_form: residual blocks, or plain convolutions.
        encoder_channels: width of the encoder's first layer.
        discriminator_scales: scales of a discriminator.
    """

    latent: LatentTerm = field(default_factory=LatentRegression)
    batch_size: int = 2
    gan2_weight: float = 1.0
    l1_weight: float = 10.0
    kl_weight: float = 0.01
    kl_reduction: Literal["mean", "sum"] = "mean"
    conditional: bool = False
    shared_discriminator: bool = False
    dropout: bool = False
    encoder_form: Literal["residual", "plain"] = "residual"
    encoder_channels: int = 64
    discriminator_scales: int = 2


# In minutes on a CPU small steps at a high rate get furthest: reobservations of sr16 reach 24.3 dB
# in 3 minutes of 4 images a step at 1e-3, 23.4 at 5e-4, and 20.9 in 8 minutes of 8 images at 2e-4.
OPTIONS = {
    "tiny": BicycleOptions(
        batch_size=4,
        learning_rate=1e-3,
        decay=0.998,
        warm_up_steps=50,
        encoder_channels=32,
        discriminator_channels=32,
        discriminator_layers=2,
    ),
    "small": BicycleOptions(batch_size=8, encoder_channels=32, discriminator_channels=32),
    "official": BicycleOptions(),
}


def reparameterize(mu: Tensor, log_variance: Tensor, epsilon: Tensor) -> Tensor:
    r"""Turn standard normal noise into a draw of N(mu, sigma^2): :math:`\mu + \sigma \epsilon`."""
    return mu + epsilon * (0.5 * log_variance).exp()


def kl_divergence(mu: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return the divergence ``[N]`` of N(mu, sigma^2) from N(0, 1), summed over a code's entries.

    .. math::
        D_{KL} = -\frac{1}{2} \sum (1 + \log \sigma^2 - \mu^2 - \sigma^2)
    """
    return -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(dim=1)


class BicycleLearner(GanLearner["Unet | InputUnet", BicycleOptions]):
    r"""Trains a generator G with an encoder E and two discriminators D_1 and D_2.

    With A_1, B_1 for sources and targets of a batch's first half, B_2 for the targets of its
    second half, epsilon for normal noise, z for codes drawn at random, and L for `gan_loss`; the
    terms' weights are left out:

    .. math::
        (\mu, \log \sigma^2) = E(B_1), \quad F_1 = G(A_1, \mu + \sigma \epsilon), \quad
            F_z = G(A_1, z) \\
        \min_{G, E} \; L(D_1(F_1), 1) + L(D_2(F_z), 1) + |F_1 - B_1| + D_{KL}, \quad
            \min_G \; \mathrm{latent}(E_\mu(F_z), z) \\
        \min_{D_1} \; L(D_1(F_1), 0) + L(D_1(B_1), 1), \quad
            \min_{D_2} \; L(D_2(F_z), 0) + L(D_2(B_2), 1)

    Where z holds several sets of codes, D_2 judges the outputs of the first.
    """

    batch_multiple = 2

    def update(
        self, A: Tensor, B: Tensor, *, epsilon: Tensor, z: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            A: sources ``[2 H, 3, S, S]`` in [-1, 1].
            B: targets ``[2 H, 3, S, S]`` in [-1, 1].
            epsilon: ``[H, Z]`` standard normal noise.
            z: ``[M, H, Z]`` codes, see `LatentTerm.draw`.
            progress: the part of the run that is over.
        """
        options, networks, half = self.options, self.players.networks, len(epsilon)
        G = generate_with(self.trained, self.generator, dropout=options.dropout)
        E, D_1, D_2 = (networks[name] for name in ("encoder", *self._judges))
        A_1, B_1 = A[:half], B[:half]

        # Encode the targets, then generate from their codes and from random ones, in one pass
        mu, log_variance = E(B_1)
        codes = torch.cat([reparameterize(mu, log_variance, epsilon)[None], z]).flatten(0, 1)
        fakes = G(A_1.repeat(len(z) + 1, 1, 1, 1), codes)
        F_1, F_z = fakes[:half], fakes[half:]
        seen_1, seen_2 = self._seen(A_1, F_1), self._seen(A_1, F_z[:half])

        # Generator and encoder: fool both discriminators, reconstruct, stay near N(0, 1)
        divergence = kl_divergence(mu, log_variance)
        reduced = divergence.mean() if options.kl_reduction == "mean" else divergence.sum()
        losses = {
            "gan": options.gan_weight * gan_loss(D_1(seen_1), real=True, mode=options.gan_mode),
            "gan2": options.gan2_weight * gan_loss(D_2(seen_2), real=True, mode=options.gan_mode),
            "l1": options.l1_weight * functional.l1_loss(F_1, B_1),
            "kl": options.kl_weight * reduced,
        }
        self.players.backward(losses, "generator", "encoder", keep=True)

        # Generator alone: its outputs must tell their codes
        latent = options.latent.losses(E(F_z)[0].unflatten(0, z.shape[:2]), z)
        self.players.backward(latent, "generator")
        self.players.step("generator", "encoder", progress=progress)

        # Discriminators: judge what was generated before that step
        real_1, real_2 = self._seen(A, B).chunk(2)
        judged = {
            "discriminator": real_and_fake_loss(D_1, real_1, seen_1, mode=options.gan_mode),
            "discriminator2": real_and_fake_loss(D_2, real_2, seen_2, mode=options.gan_mode),
        }
        self.players.descend(judged, *dict.fromkeys(self._judges), progress=progress)
        return {**losses, **latent, **judged}

    def draw(self, target: Tensor) -> dict[str, Any]:
        """Draw the noise of the encoded codes, and the codes that are drawn at random."""
        half, length = len(target) // 2, self.trained.config.code_channels
        epsilon = torch.randn(half, length, generator=self.generator)
        z = self.options.latent.draw(half, length, self.generator)
        return {"epsilon": epsilon.to(target.device), "z": z.to(target.device)}

    def companions(self, side: int) -> dict[str, nn.Module]:
        """Build encoder and discriminators for targets of a side, which must be 8 * 2^n."""
        options, sizes = self.options, self.trained.config
        encoder = EncoderConfig(
            blocks=max(1, round(log2(side / 8))),
            form=options.encoder_form,
            in_channels=sizes.out_channels,
            channels=options.encoder_channels,
            code_channels=sizes.code_channels,
        )
        seen = options.discriminator(sizes.out_channels + options.conditional * sizes.in_channels)
        built: dict[str, nn.Module] = {"encoder": Encoder(encoder)}
        for name in self._judges:
            built[name] = MultiscaleDiscriminator(seen, scales=options.discriminator_scales)
        return built

    @property
    def _judges(self) -> tuple[str, str]:
        """The discriminator of encoded codes, then that of random ones: two names, or twice one."""
        shared = self.options.shared_discriminator
        return "discriminator", "discriminator" if shared else "discriminator2"

    def _seen(self, source: Tensor, image: Tensor) -> Tensor:
        """Return what a discriminator sees of a pair."""
        return torch.cat([source, image], dim=1) if self.options.conditional else image
