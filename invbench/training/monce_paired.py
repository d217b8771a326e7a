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

from invbench.models.monce import draw_noise
from invbench.networks import PatchDiscriminator
from invbench.training.contrast import monce, patch_nce
from invbench.training.gan import GanLearner, GanOptions, gan_loss, real_and_fake_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from invbench.networks import ResnetCatGenerator, ResnetGenerator
    from invbench.training.pairs import Pairs

    Trunk = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class PairedMonceOptions(GanOptions):
    """How MoNCE learns from pairs; the defaults are ours.

    Attributes:
        patches: positions sampled of each map, all of it where it has fewer.
        temperature: of the contrast.
        contrast_weight: of the contrast.
        feature_weight: of the mean absolute difference of features.
    """

    patches: int = 256
    temperature: float = 0.07
    contrast_weight: float = 1.0
    feature_weight: float = 10.0
    batch_size: int = 4
    learning_rate: float = 1e-3
    decay: float = 0.998
    warm_up_steps: int = 50
    discriminator_channels: int = 24


class PairedMonceLearner(GanLearner["ResnetGenerator | ResnetCatGenerator", PairedMonceOptions]):
    r"""Trains a generator G with a discriminator D, in the features of a fixed trunk T.

    With x for the source, y for the target, z for noise, L for `gan_loss`, w for weights, and C
    for the contrast of `compare_features`:

    .. math::
        \hat y = G(x; z), \qquad \min_D \; \frac{1}{2} (L(D(\hat y), 0) + L(D(y), 1)) \\
        \min_G \; w_{gan} L(D(\hat y), 1) + w_{contrast} C(T(\hat y), T(y))
            + w_{feature} |T(\hat y) - T(y)|

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
        super().__init__(generator, pairs, options, seed=seed)
        self.trunk = trunk

    def update(
        self, x: Tensor, y: Tensor, *, noise: Mapping[str, Any], progress: float
    ) -> dict[str, Tensor]:
        """Take one step; only the positions of the contrast are drawn in it.

        Args:
            x: sources ``[N, 3, S, S]`` in [-1, 1].
            y: targets ``[N, 3, S, S]`` in [-1, 1].
            noise: z, as keyword arguments of the generator.
            progress: the part of the run that is over.
        """
        options, D = self.options, self.players.networks["discriminator"]
        fake = self.trained(x, **noise)

        # Discriminator first
        judged = {"discriminator": 0.5 * real_and_fake_loss(D, y, fake, mode=options.gan_mode)}
        self.players.descend(judged, "discriminator", progress=progress)

        # Generator against the stepped discriminator
        with torch.no_grad():
            wanted = self.trunk(y)
        found = self.trunk(fake)
        orders = [torch.randperm(maps[0, 0].numel(), generator=self.generator) for maps in found]
        positions = [order[: options.patches] for order in orders]
        C, difference = compare_features(found, wanted, positions, temperature=options.temperature)
        losses = {
            "gan": options.gan_weight * gan_loss(D(fake), real=True, mode=options.gan_mode),
            "contrast": options.contrast_weight * C,
            "features": options.feature_weight * difference,
        }
        self.players.descend(losses, "generator", progress=progress)
        return losses | judged

    def draw(self, target: Tensor) -> dict[str, Any]:
        """Draw what makes the generator's outputs differ."""
        rows = [self.generator] * len(target)
        return {"noise": draw_noise(self.trained, rows, target.shape[-2:], device=target.device)}

    def companions(self, side: int) -> dict[str, nn.Module]:  # noqa: ARG002
        """Build a discriminator of targets of any side."""
        judge = self.options.discriminator(self.trained.config.out_channels, blur=True)
        return {"discriminator": PatchDiscriminator(judge)}


def compare_features(
    found: Sequence[Tensor],
    wanted: Sequence[Tensor],
    positions: Sequence[Tensor],
    *,
    temperature: float = 0.07,
) -> tuple[Tensor, Tensor]:
    """Return the contrast and the mean absolute difference of features, means over their maps.

    As published, the contrast is `patch_nce` on all maps but the last, and `monce` there, with
    positives raised and with weights that sum to the number of patches.

    Args:
        found: maps ``[N, C_l, H_l, W_l]`` of the generated images.
        wanted: those of the targets.
        positions: ``[P_l]`` pixels of each map that are contrasted.
        temperature: of the contrast.
    """
    contrasts, differences = [], []
    for ours, theirs, picked in zip(found, wanted, positions, strict=True):
        differences.append(functional.l1_loss(ours, theirs))
        q, k = (
            functional.normalize(maps.flatten(2)[..., picked].transpose(1, 2), dim=-1)
            for maps in (ours, theirs)
        )
        if ours is found[-1]:
            mass = len(picked)
            rows = monce(q, k, temperature=temperature, negative_mass=mass, raise_positive=True)
        else:
            rows = patch_nce(q, k, temperature=temperature)
        contrasts.append(rows.mean())
    return torch.stack(contrasts).mean(), torch.stack(differences).mean()
