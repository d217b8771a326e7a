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
    q: Tensor,
    k: Tensor,
    *,
    temperature: float = 0.07,
    log_weights: Tensor | None = None,
    log_gain: Tensor | None = None,
    whole_batch: bool = False,
) -> Tensor:
    r"""Return the contrastive loss ``[N, P]`` of each query patch against its image's key patches.

    With weights w and gains g, all 1 where they are left out:

    .. math::
        s_{ij} = q_i \cdot k_j / T, \qquad p_i = g_i e^{s_{ii}}, \qquad
        -\log \frac{p_i}{p_i + \sum_{j \ne i} w_{ij} e^{s_{ij}}}

    As published, the diagonal stays among the negatives with a similarity of -10, whose share is
    below exp(-128). Gradients reach the queries only.

    Args:
        q: queries ``[N, P, D]``, unit vectors.
        k: keys ``[N, P, D]``, unit vectors; key i is the positive of query i.
        temperature: T.
        log_weights: log w, ``[N, P, P]``.
        log_gain: log g, ``[N, P]``.
        whole_batch: whether the patches of the other images are negatives, too.
    """
    shape = q.shape[:2]
    if whole_batch:
        q, k = q.flatten(0, 1)[None], k.flatten(0, 1)[None]
    s = q @ k.detach().transpose(1, 2) / temperature
    positive, negatives = s.diagonal(dim1=1, dim2=2), s
    if log_weights is not None:
        negatives = negatives + log_weights
    if log_gain is not None:
        positive = positive + log_gain
    negatives = _without_self(negatives, _SELF / temperature)
    logits = torch.cat([positive[..., None], negatives], dim=2)
    return (logits.logsumexp(dim=2) - positive).reshape(shape)


def monce(
    q: Tensor,
    k: Tensor,
    *,
    temperature: float = 0.07,
    regularization: float = 1.0,
    cost: Cost = "hard",
    negative_mass: float | None = None,
    raise_positive: bool = False,
) -> Tensor:
    r"""Return `patch_nce` with negatives weighted by optimal transport (MoNCE, section 3.2).

    With the transport plan Pi and the sum Q of a row's weights:

    .. math::
        w_{ij} = Q \Pi_{ij} + 10^{-8}

    The gradient flows through the plan into the queries.

    Args:
        q: queries ``[N, P, D]``, unit vectors.
        k: keys ``[N, P, D]``, unit vectors.
        temperature: T.
        regularization: eps of the transport plan.
        cost: see `transport_plan`.
        negative_mass: Q; P - 1, the default, is that of PatchNCE. The published code takes P from
            an option even where a feature map has fewer positions.
        raise_positive: whether each positive is multiplied by its row's largest weight, as on the
            last map of the published trainer for pairs.
    """
    Q = q.shape[1] - 1 if negative_mass is None else negative_mass
    similarity = q @ k.detach().transpose(1, 2)
    Pi = transport_plan(similarity, regularization=regularization, cost=cost)
    log_weights = (Pi * Q + 1e-8).log()
    return patch_nce(
        q,
        k,
        temperature=temperature,
        log_weights=log_weights,
        log_gain=log_weights.amax(dim=2) if raise_positive else None,
    )


def transport_plan(
    similarity: Tensor, *, regularization: float, cost: Cost = "hard", iterations: int = 50
) -> Tensor:
    r"""Return the entropic optimal transport plan ``[N, P, P]`` whose rows and columns sum to 1.

    It is `sinkhorn` of the kernel

    .. math::
        K = e^{C / \epsilon}

    with C the similarity for "hard" (similar negatives weigh more), or 1 less the similarity for
    "easy", and C_ii = -10. A small epsilon is worked out in logarithms.
    """
    C = _without_self(similarity if cost == "hard" else 1 - similarity, _SELF)
    log_K = C / regularization
    if regularization < _LOG_DOMAIN_BELOW:
        return sinkhorn_in_logarithms(log_K, iterations)
    # Scaling a row by a constant leaves every iterate's plan as it is, and avoids overflow
    shift = log_K.detach().amax(dim=2, keepdim=True)
    return sinkhorn((log_K - shift).exp(), iterations)


def sinkhorn(K: Tensor, iterations: int = 50) -> Tensor:
    r"""Scale rows, then columns, of positive matrices ``[N, P, Q]`` to sum 1, again and again.

    From u = v = 1 (Cuturi 2013):

    .. math::
        u \leftarrow 1 / (K v), \qquad v \leftarrow 1 / (K^T u), \qquad
        \Pi = \mathrm{diag}(u) \, K \, \mathrm{diag}(v)
    """
    v = K.new_ones(len(K), K.shape[2], 1)
    for _ in range(iterations):
        u = 1 / (K @ v)
        v = 1 / (K.transpose(1, 2) @ u)
    return u * K * v.transpose(1, 2)


def sinkhorn_in_logarithms(log_K: Tensor, iterations: int = 50) -> Tensor:
    """Return `sinkhorn` of exp(log_K), which may itself under- or overflow."""
    log_v = log_K.new_zeros(len(log_K), 1, log_K.shape[2])
    for _ in range(iterations):
        log_u = -(log_K + log_v).logsumexp(dim=2, keepdim=True)
        log_v = -(log_K + log_u).logsumexp(dim=1, keepdim=True)
    return (log_u + log_K + log_v).exp()


def _without_self(scores: Tensor, value: float) -> Tensor:
    """Return ``scores`` ``[N, P, P]`` with another diagonal."""
    diagonal = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    return scores.masked_fill(diagonal, value)
