"""Conjugate gradients (Hestenes & Stiefel 1952) for many right sides at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.errors import DidNotConvergeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

STEPS = 1000


def solve(
    system: Callable[[Tensor], Tensor],
    right: Tensor,
    *,
    tolerance: float,
    inverse: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    r"""Solve ``system(u) = right`` for a symmetric positive definite linear map.

    Each row is solved until its residual is small and then left alone, so that the rows beside it
    do not change it.

    Args:
        system: maps ``[N, d]`` to ``[N, d]``, each row on its own.
        right: ``[N, d]``.
        tolerance: of the residual's norm, relative to the right side's.
        inverse: an approximate inverse of the system, symmetric and positive definite too, which
            makes steps longer; none by default.

    Raises:
        DidNotConvergeError: if a row is not solved after 1000 steps.

    Example:
        >>> import torch
        >>> solve(lambda u: 4 * u, torch.ones(1, 2), tolerance=1e-6)
        tensor([[0.2500, 0.2500]])
    """
    u, r = right * 0, right
    p = z = inverse(r) if inverse else r
    rz = (r * z).sum(1, keepdim=True)
    limit = tolerance**2 * r.square().sum(1, keepdim=True)
    for _ in range(STEPS):
        running = r.square().sum(1, keepdim=True) > limit
        if not running.any():
            return u
        s = system(p)
        alpha = (rz / (p * s).sum(1, keepdim=True)).where(running, 0)
        u, r = u + alpha * p, r - alpha * s
        z = inverse(r) if inverse else r
        before, rz = rz, (r * z).sum(1, keepdim=True)
        p = z + (rz / before).where(running, 0) * p
    raise DidNotConvergeError(f"not solved to {tolerance} after {STEPS} steps")
