"""Networks in bfloat16: what they compute inside is narrow, what they take and give is not."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def narrow(network: nn.Module, device: torch.device | str) -> None:
    """Have a network compute under autocast to bfloat16 and return float32.

    Nothing else of a sampler does: in eight bits, linear algebra, a Fourier transform, a codec or a
    step of diffusion would lose far more than the network's own errors.

    Example:
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> _ = layer.weight.data.fill_(1.001)
        >>> narrow(layer, "cpu")
        >>> layer(torch.ones(1, 1)).tolist(), layer(torch.ones(1, 1)).dtype
        ([[1.0]], torch.float32)
    """
    forward, kind = network.forward, torch.device(device).type

    @wraps(forward)
    def narrow_forward(*arguments: Any, **named: Any) -> Any:
        with torch.autocast(kind, torch.bfloat16):
            return _widened(forward(*arguments, **named))

    network.forward = narrow_forward


def _widened(output: Any) -> Any:
    """Return a network's output in float32: a tensor, or several."""
    if isinstance(output, torch.Tensor):
        return output.float()
    return type(output)(_widened(part) for part in output)
