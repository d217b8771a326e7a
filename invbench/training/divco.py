"""DivCo's training: `bicyclegan.BicycleLearner` with codes contrasted instead of regressed.

Of K + 2 outputs for one input, the output of a query code must be nearer, in the encoder's eyes, to
the output of a code close by than to those of K codes elsewhere. The released trainer computes
this loss and logs it, but never back-propagates it; ``backward=False`` reproduces that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from invbench.training.bicyclegan import OPTIONS as BICYCLE_OPTIONS

if TYPE_CHECKING:
    from torch import Tensor


def contrastive_loss(
    recovered: Tensor, *, temperature: float = 1.0, normalize: bool = False
) -> Tensor:
    r"""Return the latent-augmented contrastive loss ``[N]`` of each query (DivCo, section 3.2).

    With m_0 for the query's recovered code, m_1 for the positive's and the others for negatives:

    .. math::
        -\log \frac{\exp(m_0 \cdot m_1 / T)}{\sum_{j \ge 1} \exp(m_0 \cdot m_j / T)}

    Args:
        recovered: m, ``[K + 2, N, Z]`` encoder means: queries, positives, K sets of negatives.
        temperature: T.
        normalize: whether codes are first scaled to unit length.
    """
    m = recovered / recovered.norm(dim=-1, keepdim=True) if normalize else recovered
    logits = torch.einsum("nz,knz->nk", m[0], m[1:]) / temperature
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return functional.cross_entropy(logits, first, reduction="none")


def draw_positive(query: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Draw a code within ``radius`` of the query in every entry, uniformly."""
    return query + radius * (2 * torch.rand(query.shape, generator=generator) - 1)


def draw_negative(
    query: Tensor, radius: float, generator: torch.Generator, *, whole_batch: bool = False
) -> Tensor:
    """Draw standard normal codes that differ from the query by ``radius`` or more in every entry.

    Args:
        query: ``[N, Z]``.
        radius: of the neighbourhood that is left out.
        generator: source of randomness.
        whole_batch: draw all codes again while one is too near, as published; the time for that
            grows without bound with the batch. Otherwise only those codes are drawn again.
    """
    negative = torch.randn(query.shape, generator=generator)
    while (near := ((negative - query).abs() < radius).any(dim=1)).any():
        again = torch.ones_like(near) if whole_batch else near
        fresh = torch.randn(int(again.sum()), query.shape[1], generator=generator)
        negative[again] = fresh
    return negative


@dataclass(frozen=True, kw_only=True)
class LatentContrast:
    """DivCo's term on recovered codes; the defaults are the published ones.

    Attributes:
        weight: of the contrastive loss.
        negatives: K.
        radius: R, within which codes are positives.
        temperature: T.
        normalize: whether recovered codes are scaled to unit length.
        reduction: over queries. The published sum equals the mean at the published batch size.
        regression_weight: of mean |recovered - code| over all codes.
        backward: whether the contrastive loss reaches the generator. As released it does not.
        whole_batch_rejection: see `draw_negative`.
    """

    weight: float = 0.3
    negatives: int = 10
    radius: float = 0.01
    temperature: float = 1.0
    normalize: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    regression_weight: float = 0.0
    backward: bool = True
    whole_batch_rejection: bool = False

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Draw queries, positives and negatives; see `LatentTerm`."""
        query = torch.randn(count, length, generator=generator)
        positive = draw_positive(query, self.radius, generator)
        negatives = [
            draw_negative(query, self.radius, generator, whole_batch=self.whole_batch_rejection)
            for _ in range(self.negatives)
        ]
        return torch.stack([query, positive, *negatives])

    def losses(self, recovered: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """See `LatentTerm`."""
        rows = contrastive_loss(recovered, temperature=self.temperature, normalize=self.normalize)
        contrast = self.weight * (rows.mean() if self.reduction == "mean" else rows.sum())
        return {
            "latent": self.regression_weight * functional.l1_loss(recovered, codes),
            "contrast": contrast if self.backward else contrast.detach(),
        }


OPTIONS = {
    "tiny": replace(BICYCLE_OPTIONS["tiny"], latent=LatentContrast(negatives=4)),
    "small": replace(BICYCLE_OPTIONS["small"], latent=LatentContrast()),
    "official": replace(BICYCLE_OPTIONS["official"], latent=LatentContrast()),
}
