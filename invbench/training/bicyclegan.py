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

from invbench.images import to_signed
from invbench.networks import DiscriminatorConfig, Encoder, EncoderConfig, MultiscaleDiscriminator
from invbench.seeding import generator as seeded
from invbench.training.gan import (
    GanMode,
    Players,
    companion,
    gan_loss,
    kl_divergence,
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
class BicycleOptions:
    """How BicycleGAN learns; the defaults are the published ones.

    Attributes:
        latent: the term on recovered codes; the one thing that DivCo changes.
        batch_size: even; half of it is encoded.
        gan_mode: see `training.gan.gan_loss`.
        gan_weight: of the first discriminator's verdict.
        gan2_weight: of the second discriminator's verdict.
        l1_weight: of mean |reconstruction - target|.
        kl_weight: of the divergence of encoded codes from standard normal ones.
        kl_reduction: over the encoded images. The published sum equals the mean at the published
            batch size of 2, and grows with the batch otherwise.
        conditional: whether discriminators see the input too.
        shared_discriminator: whether one discriminator plays both parts.
        dropout: whether the generator's dropout is on while training (the published scripts).
        learning_rate: of Adam; constant for half of the run, then falling linearly to zero.
        betas: of Adam.
        decay: of the average of the generator's weights, see `Players`.
        warm_up_steps: over which the learning rate rises from zero.
        encoder_form: residual blocks, or plain convolutions.
        encoder_channels: width of the encoder's first layer.
        discriminator_channels: width of the discriminators' first layer.
        discriminator_layers: their layers that halve.
        discriminator_scales: their scales.
    """

    latent: LatentTerm = field(default_factory=LatentRegression)
    batch_size: int = 2
    gan_mode: GanMode = "lsgan"
    gan_weight: float = 1.0
    gan2_weight: float = 1.0
    l1_weight: float = 10.0
    kl_weight: float = 0.01
    kl_reduction: Literal["mean", "sum"] = "mean"
    conditional: bool = False
    shared_discriminator: bool = False
    dropout: bool = False
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0
    warm_up_steps: int = 0
    encoder_form: Literal["residual", "plain"] = "residual"
    encoder_channels: int = 64
    discriminator_channels: int = 64
    discriminator_layers: int = 3
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


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Turn standard normal noise into a draw of N(mean, variance)."""
    return mean + noise * (0.5 * log_variance).exp()


class BicycleLearner:
    """Trains a generator with an encoder and two discriminators."""

    def __init__(
        self, generator: Unet | InputUnet, pairs: Pairs, options: BicycleOptions, *, seed: int
    ) -> None:
        require_batch(pairs, options.batch_size, multiple=2)
        self.trained = generator
        self.pairs = pairs
        self.options = options
        self.generator = seeded(seed)
        self.generate = with_dropout(generator, self.generator) if options.dropout else generator
        networks = {"generator": generator, **self._companions(pairs.targets.shape[-1])}
        self.players = Players(networks, options)

    @property
    def network(self) -> nn.Module:
        """The generator to ship, see `Players.shipped`."""
        return self.players.shipped

    def step(self, progress: float) -> dict[str, float]:
        """Take one step of all players; ``progress`` in [0, 1] is the part of the run over."""
        options = self.options
        target, observation = self.pairs.batch(options.batch_size, self.generator)
        source = source_of(self.trained, target, observation)
        half, length = options.batch_size // 2, self.trained.config.code_channels
        noise = torch.randn(half, length, generator=self.generator)
        codes = options.latent.draw(half, length, self.generator)
        losses = self.update(
            source,
            to_signed(target),
            noise=noise.to(target.device),
            codes=codes.to(target.device),
            progress=progress,
        )
        return {name: loss.item() for name, loss in losses.items()}

    def update(
        self, source: Tensor, target: Tensor, *, noise: Tensor, codes: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            source: ``[2 H, 3, S, S]`` in [-1, 1].
            target: ``[2 H, 3, S, S]`` in [-1, 1].
            noise: ``[H, Z]``, makes a code of an encoding.
            codes: ``[M, H, Z]``, see `LatentTerm.draw`.
            progress: the part of the run over.

        Returns:
            All losses, weighted.
        """
        play = self.players.networks
        half = len(noise)
        seen = source[:half]

        # Encode the targets, then generate from their codes and from random ones
        mean, log_variance = play["encoder"](target[:half])
        encoded_codes = reparameterize(mean, log_variance, noise)[None]
        every = torch.cat([encoded_codes, codes]).flatten(0, 1)
        fakes = self.generate(seen.repeat(len(codes) + 1, 1, 1, 1), every)
        encoded, random = fakes[:half], fakes[half:]

        # Generator and encoder: fool both discriminators, reconstruct, stay near N(0, 1)
        losses = self._main_losses(seen, target[:half], encoded, random[:half])
        divergence = kl_divergence(mean, log_variance)
        reduced = divergence.mean() if self.options.kl_reduction == "mean" else divergence.sum()
        losses["kl"] = self.options.kl_weight * reduced
        self.players.backward(total_of(losses), "generator", "encoder", keep=True)

        # Generator alone: its outputs must tell their codes
        recovered = play["encoder"](random)[0].unflatten(0, codes.shape[:2])
        latent = self.options.latent.losses(recovered, codes)
        self.players.backward(total_of(latent), "generator")
        self.players.step("generator", "encoder", progress=progress)

        # Discriminators: judge what was generated before that step
        judged = self._discriminator_losses(source, target, encoded, random[:half])
        judges = dict.fromkeys(self._judges)
        self.players.backward(total_of(judged), *judges)
        self.players.step(*judges, progress=progress)
        return {**losses, **latent, **judged}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {"players": self.players.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.players.load_state_dict(state["players"])
        self.generator.set_state(state["generator"])

    @property
    def _judges(self) -> list[str]:
        """The discriminator of encoded codes, then that of random ones: two names, or twice one."""
        second = "discriminator" if self.options.shared_discriminator else "discriminator2"
        return ["discriminator", second]

    def _main_losses(
        self, seen: Tensor, target: Tensor, encoded: Tensor, random: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        fooled = [
            gan_loss(
                self.players.networks[name](self._shown(seen, fake)),
                real=True,
                mode=options.gan_mode,
            )
            for name, fake in zip(self._judges, (encoded, random), strict=True)
        ]
        return {
            "gan": options.gan_weight * fooled[0],
            "gan2": options.gan2_weight * fooled[1],
            "l1": options.l1_weight * functional.l1_loss(encoded, target),
        }

    def _discriminator_losses(
        self, source: Tensor, target: Tensor, encoded: Tensor, random: Tensor
    ) -> dict[str, Tensor]:
        seen = source[: len(encoded)]
        halves = self._shown(source, target).chunk(2)
        return {
            loss: real_and_fake_loss(
                self.players.networks[name],
                real,
                self._shown(seen, fake),
                mode=self.options.gan_mode,
            )
            for loss, name, real, fake in zip(
                ("discriminator", "discriminator2"),
                self._judges,
                halves,
                (encoded, random),
                strict=True,
            )
        }

    def _shown(self, source: Tensor, image: Tensor) -> Tensor:
        """Return what a discriminator sees of a pair."""
        return torch.cat([source, image], dim=1) if self.options.conditional else image

    def _companions(self, side: int) -> dict[str, nn.Module]:
        """Make encoder and discriminators for targets of a side, which must be 8 * 2^n."""
        options, generator = self.options, self.trained.config
        encoder = EncoderConfig(
            blocks=max(1, round(log2(side / 8))),
            form=options.encoder_form,
            in_channels=generator.out_channels,
            channels=options.encoder_channels,
            code_channels=generator.code_channels,
        )
        discriminator = DiscriminatorConfig(
            in_channels=generator.out_channels
            + (generator.in_channels if options.conditional else 0),
            channels=options.discriminator_channels,
            layers=options.discriminator_layers,
        )
        made: dict[str, nn.Module] = {"encoder": Encoder(encoder)}
        for name in self._judges:
            made[name] = MultiscaleDiscriminator(discriminator, scales=options.discriminator_scales)
        return {
            name: companion(network, beside=self.trained, generator=self.generator)
            for name, network in made.items()
        }
