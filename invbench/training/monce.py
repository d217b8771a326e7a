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

from invbench.models.monce import draw_noise
from invbench.networks import PatchDiscriminator, PatchProjector
from invbench.training.contrast import monce, patch_nce
from invbench.training.gan import GanLearner, GanOptions, gan_loss, real_and_fake_loss
from invbench.training.monce_paired import PairedMonceOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from invbench.networks import ResnetCatGenerator, ResnetGenerator
    from invbench.training.pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class MonceOptions(GanOptions):
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
        contrast_weight: of the contrast.
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
    contrast_weight: float = 1.0


_TINY = MonceOptions(batch_size=4, patches=64, projected_channels=64, discriminator_channels=24)

OPTIONS: dict[str, MonceOptions | PairedMonceOptions] = {
    "tiny": PairedMonceOptions(),
    "small": replace(_TINY, patches=128),
    "official": MonceOptions(),
}


class MonceLearner(GanLearner["ResnetGenerator | ResnetCatGenerator", MonceOptions]):
    r"""Trains a generator G with a discriminator D and a projector P of G's features.

    With x for the source, y for the target, L for `gan_loss`, G_l for the feature map at tap l,
    and w for weights:

    .. math::
        \hat y = G(x), \qquad \min_D \; \frac{1}{2} (L(D(\hat y), 0) + L(D(y), 1)) \\
        \min_{G, P} \; w_{gan} L(D(\hat y), 1)
            + \frac{1}{2} w_{contrast} (C(\hat y, y) + C(G(y), y)) \\
        C(a, b) = \mathrm{mean}_l \; \mathrm{monce}(P_l(G_l(a)), P_l(G_l(b)))

    ``reference="source"`` has C(\hat y, x) in place of C(\hat y, y), and without the identity
    term C(\hat y, y) counts whole.
    """

    def __init__(
        self,
        generator: ResnetGenerator | ResnetCatGenerator,
        pairs: Pairs,
        options: MonceOptions,
        *,
        seed: int,
    ) -> None:
        super().__init__(generator, pairs, options, seed=seed)
        self.map_sizes = self._map_sizes()

    def update(
        self,
        x: Tensor,
        y: Tensor,
        *,
        noise: Sequence[Mapping[str, Any]],
        positions: Sequence[Sequence[Tensor]],
        progress: float,
    ) -> dict[str, Tensor]:
        """Take one step with everything given.

        Args:
            x: sources ``[N, 3, S, S]`` in [-1, 1].
            y: targets ``[N, 3, S, S]`` in [-1, 1].
            noise: keyword arguments of three passes of the generator: the one that generates,
                for sources and then, with the identity term, targets; the one that encodes what
                was generated; and the one that encodes the references.
            positions: ``[P_l]`` pixels of each tapped feature map that are contrasted; and
                the same for the identity term.
            progress: the part of the run that is over.
        """
        options, D = self.options, self.players.networks["discriminator"]
        generated = self.trained(torch.cat([x, y]) if options.identity else x, **noise[0])
        fake = generated[: len(x)]

        # Discriminator first
        judged = {"discriminator": 0.5 * real_and_fake_loss(D, y, fake, mode=options.gan_mode)}
        self.players.descend(judged, "discriminator", progress=progress)

        # Generator and projector against the stepped discriminator
        reference = y if options.reference == "target" else x
        references = torch.cat([reference, y]) if options.identity else reference
        terms = self._contrast(generated, references, noise[1:], positions)
        losses = {"gan": options.gan_weight * gan_loss(D(fake), real=True, mode=options.gan_mode)}
        weight = options.contrast_weight / len(terms)
        losses |= {name: weight * term for name, term in terms.items()}
        self.players.descend(losses, "generator", "projector", progress=progress)
        return losses | judged

    def draw(self, target: Tensor) -> dict[str, Any]:
        """Draw noise, once for a step's images or for each pass if it is dropout, and positions."""
        rows = len(target) * (2 if self.options.identity else 1)
        size, device = target.shape[-2:], target.device
        noise = [
            draw_noise(self.trained, [self.generator] * rows, size, device=device) for _ in range(3)
        ]
        if "masks" not in noise[0]:
            noise = noise[:1] * 3
        orders = [
            [torch.randperm(pixels, generator=self.generator) for pixels in self.map_sizes]
            for _ in range(2)
        ]
        picked = [[order[: self.options.patches].to(device) for order in each] for each in orders]
        return {"noise": noise, "positions": picked}

    def companions(self, side: int) -> dict[str, nn.Module]:  # noqa: ARG002
        """Build a discriminator and a projector for targets of any side."""
        options, generator = self.options, self.trained
        judge = options.discriminator(generator.config.out_channels, blur=True)
        widths = generator.tap_channels(options.taps)
        return {
            "discriminator": PatchDiscriminator(judge),
            "projector": PatchProjector(widths, options.projected_channels),
        }

    def _contrast(
        self,
        generated: Tensor,
        references: Tensor,
        noise: Sequence[Mapping[str, Any]],
        positions: Sequence[Sequence[Tensor]],
    ) -> dict[str, Tensor]:
        """Return the unweighted contrast, and that of the identity term if there is one."""
        taps, P = self.options.taps, self.players.networks["projector"]
        queries = self.trained.features(generated, taps, **noise[0])
        with torch.no_grad():
            keys = self.trained.features(references, taps, **noise[1])
        names = ("contrast", "identity") if self.options.identity else ("contrast",)
        count, terms = len(generated) // len(names), {}
        for part, name in enumerate(names):
            rows = slice(part * count, (part + 1) * count)
            q = P([maps[rows] for maps in queries], positions[part])
            with torch.no_grad():
                k = P([maps[rows] for maps in keys], positions[part])
            layers = [self._layer_loss(*pair) for pair in zip(q, k, strict=True)]
            terms[name] = torch.stack(layers).mean()
        return terms

    def _layer_loss(self, q: Tensor, k: Tensor) -> Tensor:
        options = self.options
        if options.weights == "equal":
            return patch_nce(q, k, temperature=options.temperature).mean()
        return monce(
            q,
            k,
            temperature=options.temperature,
            regularization=options.regularization,
            cost=options.weights,
            negative_mass=(q.shape[1] - 1) * options.negative_weight,
        ).mean()

    @torch.no_grad()
    def _map_sizes(self) -> list[int]:
        """Return the pixels of each tapped feature map."""
        side, device = self.pairs.targets.shape[-1], self.pairs.device
        image = torch.zeros(1, self.trained.config.in_channels, side, side, device=device)
        noise = draw_noise(self.trained, [torch.Generator()], [side, side], device=device)
        features = self.trained.features(image, self.options.taps, **noise)
        return [maps[0, 0].numel() for maps in features]
