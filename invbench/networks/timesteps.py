"""How diffusion networks read time: as sines and cosines of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def phases(times: Tensor, half: int, *, last: int) -> Tensor:
    """Return ``times * 10000^(-k / last)`` for k in 0, ..., half - 1.

    Networks differ in ``last`` (half, or half - 1 so that the slowest frequency is 1/10000) and in
    whether they put the sines or the cosines of this first (Vaswani et al. 2017, section 3.5).

    Args:
        times: ``[N]``, whole or fractional.
        half: number of frequencies.
        last: index at which the frequency has fallen to 1/10000.

    Returns:
        ``[N, half]`` in radians.

    Example:
        >>> phases(torch.tensor([10.0]), 2, last=1)
        tensor([[1.0000e+01, 1.0000e-03]])
    """
    index = torch.arange(half, dtype=torch.float32, device=times.device)
    return times.float()[:, None] * torch.exp(index * -math.log(10000) / last)
