"""Contrast of patches: each is to be told apart from the other patches of its image.

PatchNCE (Park et al., ECCV 2020) weights all negatives alike; MoNCE (Zhan et al., CVPR 2022)
weights them by an optimal transport plan between the patches of two images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Cost = Literal["hard", "easy"]

_SELF = -10.0
_LOG_DOMAIN_BELOW = 0.05


def patch_nce(
    queries: Tensor,
    keys: Tensor,
    *,
    temperature: float = 0.07,
    log_weights: Tensor | None = None,
    log_gain: Tensor | None = None,
    whole_batch: bool = False,
) -> Tensor:
    """Return the contrastive loss ``[N, P]`` of each query patch against its image's key patches.

    With s_ij = q_i . k_j, weights w_ij and gains g_i, all 1 where they are left out, and
    p_i = g_i exp(s_ii / T): loss_i = -log( p_i / (p_i + sum over j != i of w_ij exp(s_ij / T)) ).
    As published, the diagonal stays among the negatives with a similarity of -10, whose share is
    below exp(-128). Gradients reach the queries only.

    Args:
        queries: ``[N, P, D]`` unit vectors.
        keys: ``[N, P, D]`` unit vectors; key i is the positive of query i.
        temperature: T.
        log_weights: log w, ``[N, P, P]``.
        log_gain: log g, ``[N, P]``.
        whole_batch: whether the patches of the other images are negatives, too.
    """
    shape = queries.shape[:2]
    if whole_batch:
        queries, keys = queries.flatten(0, 1)[None], keys.flatten(0, 1)[None]
    similarity = queries @ keys.detach().transpose(1, 2)
    positive = similarity.diagonal(dim1=1, dim2=2) / temperature
    negatives = similarity / temperature
    if log_weights is not None:
        negatives = negatives + log_weights
    if log_gain is not None:
        positive = positive + log_gain
    negatives = _without_self(negatives, _SELF / temperature)
    logits = torch.cat([positive[..., None], negatives], dim=2)
    return (logits.logsumexp(dim=2) - positive).reshape(shape)


def monce(
    queries: Tensor,
    keys: Tensor,
    *,
    temperature: float = 0.07,
    regularization: float = 1.0,
    cost: Cost = "hard",
    negative_mass: float | None = None,
    raise_positive: bool = False,
) -> Tensor:
    """Return `patch_nce` with negatives weighted by optimal transport (MoNCE, section 3.2).

    w_ij = plan_ij * negative_mass + 1e-8. The gradient flows through the plan into the queries.

    Args:
        queries: ``[N, P, D]`` unit vectors.
        keys: ``[N, P, D]`` unit vectors.
        temperature: T.
        regularization: eps of the transport plan.
        cost: see `transport_plan`.
        negative_mass: sum of a row's weights; P - 1, the default, is that of PatchNCE. The
            published code takes P from an option even where a feature map has fewer positions.
        raise_positive: whether each positive is multiplied by its row's largest weight (SPADE
            branch, last layer).
    """
    mass = queries.shape[1] - 1 if negative_mass is None else negative_mass
    similarity = queries @ keys.detach().transpose(1, 2)
    plan = transport_plan(similarity, regularization=regularization, cost=cost)
    log_weights = (plan * mass + 1e-8).log()
    return patch_nce(
        queries,
        keys,
        temperature=temperature,
        log_weights=log_weights,
        log_gain=log_weights.amax(dim=2) if raise_positive else None,
    )


def transport_plan(
    similarity: Tensor, *, regularization: float, cost: Cost = "hard", iterations: int = 50
) -> Tensor:
    """Return the entropic optimal transport plan ``[N, P, P]`` whose rows and columns sum to 1.

    The kernel is exp(C / eps), with C = similarity for "hard" (similar negatives weigh more) or
    1 - similarity for "easy", and C_ii = -10. A small eps is worked out in logarithms.
    """
    affinity = similarity if cost == "hard" else 1 - similarity
    log_kernel = _without_self(affinity, _SELF) / regularization
    if regularization < _LOG_DOMAIN_BELOW:
        return sinkhorn_in_logarithms(log_kernel, iterations)
    # Scaling a row by a constant leaves every iterate's plan as it is, and avoids overflow
    shift = log_kernel.detach().amax(dim=2, keepdim=True)
    return sinkhorn((log_kernel - shift).exp(), iterations)


def sinkhorn(kernel: Tensor, iterations: int = 50) -> Tensor:
    """Scale rows, then columns, of positive matrices ``[N, P, Q]`` to sum 1, again and again.

    From u = v = 1: u = 1 / (K v), v = 1 / (K^T u); the plan is diag(u) K diag(v) (Cuturi 2013).
    """
    columns = kernel.new_ones(len(kernel), kernel.shape[2], 1)
    for _ in range(iterations):
        rows = 1 / (kernel @ columns)
        columns = 1 / (kernel.transpose(1, 2) @ rows)
    return rows * kernel * columns.transpose(1, 2)


def sinkhorn_in_logarithms(log_kernel: Tensor, iterations: int = 50) -> Tensor:
    """Return `sinkhorn` of exp(log_kernel), which may itself under- or overflow."""
    log_columns = log_kernel.new_zeros(len(log_kernel), 1, log_kernel.shape[2])
    for _ in range(iterations):
        log_rows = -(log_kernel + log_columns).logsumexp(dim=2, keepdim=True)
        log_columns = -(log_kernel + log_rows).logsumexp(dim=1, keepdim=True)
    return (log_rows + log_kernel + log_columns).exp()


def conce(
    queries: Tensor, keys: Tensor, *, layer: int, weight: float = 256.0, temperature: float = 0.07
) -> Tensor:
    """Return the SPADE branch's loss ``[N, P]`` on VGG features of one of its five layers.

    Layers 0 to 3 are plain PatchNCE; layer 4 is modulated, ``weight`` being the sum of a row's
    weights, and its positives are raised.
    """
    if layer < 4:
        return patch_nce(queries, keys, temperature=temperature)
    return monce(queries, keys, temperature=temperature, negative_mass=weight, raise_positive=True)


def _without_self(scores: Tensor, value: float) -> Tensor:
    """Return ``scores`` ``[N, P, P]`` with another diagonal."""
    diagonal = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    return scores.masked_fill(diagonal, value)
