"""MoNCE's training: a discriminator, and contrast between patches of the output and of a reference.

The published trainer for images without labels is unpaired: it contrasts the output with the input,
and the discriminator sees any real image. Here pairs are known, so by default the output is
contrasted with its target instead (the idea of the published label-to-image trainer, whose
features come from another network); ``reference="source"`` is the published loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from invbench.images import to_signed
from invbench.models.monce import draw_noise
from invbench.networks import DiscriminatorConfig, PatchDiscriminator, PatchProjector
from invbench.seeding import generator as seeded
from invbench.training.contrast import Cost, monce, patch_nce
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
from invbench.training.monce_paired import PairedMonceOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from invbench.networks import ResnetCatGenerator, ResnetGenerator
    from invbench.training.pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class MonceOptions:
    """How MoNCE learns; the defaults are the published ones but for ``reference``.

    Attributes:
        reference: what outputs are contrasted with: the target, or the source as published.
        identity: whether targets are generated from, too, and contrasted with themselves.
        weights: of negatives: by transport with similar ones heavier ("hard") or lighter
            ("easy"), or all "equal" (CUT).
        regularization: eps of the transport plan.
        negative_weight: mean weight of a negative.
        temperature: of the contrast.
        patches: positions sampled of each feature map, all of it where it has fewer.
        taps: modules of the generator whose outputs are contrasted.
        projected_channels: length of the projected features.
        gan_mode: see `training.gan.gan_loss`.
        gan_weight: of the discriminator's verdict.
        contrast_weight: of the contrast.
        batch_size: images a step.
        learning_rate: of Adam; constant for half of the run, then falling linearly to zero.
        betas: of Adam.
        decay: of the average of the generator's weights, see `Players`.
        warm_up_steps: over which the learning rate rises from zero.
        discriminator_channels: width of the discriminator's first layer.
        discriminator_layers: its layers that halve.
    """

    reference: Literal["target", "source"] = "target"
    identity: bool = True
    weights: Literal["hard", "easy", "equal"] = "hard"
    regularization: float = 1.0
    negative_weight: float = 1.0
    temperature: float = 0.07
    patches: int = 256
    taps: tuple[int, ...] = (0, 4, 8, 12, 16)
    projected_channels: int = 256
    gan_mode: GanMode = "lsgan"
    gan_weight: float = 1.0
    contrast_weight: float = 1.0
    batch_size: int = 1
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0
    warm_up_steps: int = 0
    discriminator_channels: int = 64
    discriminator_layers: int = 3


_TINY = MonceOptions(batch_size=4, patches=64, projected_channels=64, discriminator_channels=24)

OPTIONS: dict[str, MonceOptions | PairedMonceOptions] = {
    "tiny": PairedMonceOptions(),
    "small": replace(_TINY, patches=128),
    "official": MonceOptions(),
}


@dataclass(frozen=True, kw_only=True)
class MonceDraws:
    """The randomness of one step. Noise is keyword arguments of the generator.

    Attributes:
        generated: noise of the pass that generates, for sources and then, with the identity
            term, targets.
        queries: noise of the pass that encodes what was generated.
        keys: noise of the pass that encodes the references.
        positions: pixels of each tapped feature map that are contrasted, ``[P_l]``.
        identity_positions: the same for the identity term.
    """

    generated: Mapping[str, Any]
    queries: Mapping[str, Any]
    keys: Mapping[str, Any]
    positions: list[Tensor]
    identity_positions: list[Tensor]


class MonceLearner:
    """Trains a generator with a discriminator and a projector of features."""

    def __init__(
        self,
        generator: ResnetGenerator | ResnetCatGenerator,
        pairs: Pairs,
        options: MonceOptions,
        *,
        seed: int,
    ) -> None:
        require_batch(pairs, options.batch_size)
        self.trained = generator
        self.pairs = pairs
        self.options = options
        self.generator = seeded(seed)
        judge = DiscriminatorConfig(
            in_channels=generator.config.out_channels,
            channels=options.discriminator_channels,
            layers=options.discriminator_layers,
            blur=True,
        )
        made = {
            "discriminator": PatchDiscriminator(judge),
            "projector": PatchProjector(
                generator.tap_channels(options.taps), options.projected_channels
            ),
        }
        self.players = Players(
            {"generator": generator}
            | {
                name: companion(network, beside=generator, generator=self.generator)
                for name, network in made.items()
            },
            options,
        )
        self.map_sizes = self._map_sizes()

    @property
    def network(self) -> nn.Module:
        """The generator to ship, see `Players.shipped`."""
        return self.players.shipped

    def step(self, progress: float) -> dict[str, float]:
        """Take one step of all players; ``progress`` in [0, 1] is the part of the run over."""
        target, observation = self.pairs.batch(self.options.batch_size, self.generator)
        source = source_of(self.trained, target, observation)
        losses = self.update(source, to_signed(target), draws=self._draw(target), progress=progress)
        return {name: loss.item() for name, loss in losses.items()}

    def update(
        self, source: Tensor, target: Tensor, *, draws: MonceDraws, progress: float
    ) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            source: ``[N, 3, S, S]`` in [-1, 1].
            target: ``[N, 3, S, S]`` in [-1, 1].
            draws: the randomness.
            progress: the part of the run over.

        Returns:
            All losses, weighted.
        """
        options, count = self.options, len(source)
        discriminator = self.players.networks["discriminator"]
        inputs = torch.cat([source, target]) if options.identity else source
        generated = self.trained(inputs, **draws.generated)

        # Discriminator first
        judged = 0.5 * real_and_fake_loss(
            discriminator, target, generated[:count], mode=options.gan_mode
        )
        self.players.backward(judged, "discriminator")
        self.players.step("discriminator", progress=progress)

        # Generator and projector against the stepped discriminator
        reference = target if options.reference == "target" else source
        references = torch.cat([reference, target]) if options.identity else reference
        terms = self._contrast(generated, references, draws)
        fooled = gan_loss(discriminator(generated[:count]), real=True, mode=options.gan_mode)
        weight = options.contrast_weight / len(terms)
        losses = {"gan": options.gan_weight * fooled}
        losses |= {name: weight * term for name, term in terms.items()}
        self.players.backward(total_of(losses), "generator", "projector")
        self.players.step("generator", "projector", progress=progress)
        return {**losses, "discriminator": judged}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {"players": self.players.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.players.load_state_dict(state["players"])
        self.generator.set_state(state["generator"])

    def _contrast(
        self, generated: Tensor, references: Tensor, draws: MonceDraws
    ) -> dict[str, Tensor]:
        """Return the unweighted contrast, and that of the identity term if there is one."""
        taps = self.options.taps
        count = len(generated) // (2 if self.options.identity else 1)
        queries = self.trained.features(generated, taps, **draws.queries)
        with torch.no_grad():
            keys = self.trained.features(references, taps, **draws.keys)
        project = self.players.networks["projector"]
        terms = {}
        parts = [("contrast", slice(0, count), draws.positions)]
        if self.options.identity:
            parts.append(("identity", slice(count, None), draws.identity_positions))
        for name, rows, positions in parts:
            projected = project([maps[rows] for maps in queries], positions)
            with torch.no_grad():
                wanted = project([maps[rows] for maps in keys], positions)
            layers = [self._layer_loss(*pair) for pair in zip(projected, wanted, strict=True)]
            terms[name] = torch.stack(layers).mean()
        return terms

    def _layer_loss(self, queries: Tensor, keys: Tensor) -> Tensor:
        options = self.options
        if options.weights == "equal":
            return patch_nce(queries, keys, temperature=options.temperature).mean()
        cost: Cost = options.weights
        return monce(
            queries,
            keys,
            temperature=options.temperature,
            regularization=options.regularization,
            cost=cost,
            negative_mass=(queries.shape[1] - 1) * options.negative_weight,
        ).mean()

    def _draw(self, target: Tensor) -> MonceDraws:
        """Draw a step's noise: once for its images, or for each pass if it is dropout."""
        rows = len(target) * (2 if self.options.identity else 1)
        passes = [
            draw_noise(
                self.trained, [self.generator] * rows, target.shape[-2:], device=target.device
            )
            for _ in range(3)
        ]
        if "masks" not in passes[0]:
            passes = passes[:1] * 3
        positions = [
            [
                torch.randperm(size, generator=self.generator)[: self.options.patches].to(
                    target.device
                )
                for size in self.map_sizes
            ]
            for _ in range(2)
        ]
        return MonceDraws(
            generated=passes[0],
            queries=passes[1],
            keys=passes[2],
            positions=positions[0],
            identity_positions=positions[1],
        )

    @torch.no_grad()
    def _map_sizes(self) -> list[int]:
        """Return the pixels of each tapped feature map."""
        weight = next(self.trained.parameters())
        side = self.pairs.targets.shape[-1]
        image = weight.new_zeros(1, self.trained.config.in_channels, side, side)
        noise = draw_noise(self.trained, [torch.Generator()], [side, side], device=weight.device)
        return [
            maps[0, 0].numel() for maps in self.trained.features(image, self.options.taps, **noise)
        ]
