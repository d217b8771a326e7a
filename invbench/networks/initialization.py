"""How the networks of the adversarial methods are initialized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import torch

_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def initialize_xavier(
    network: nn.Module, *, gain: float = 0.02, generator: torch.Generator | None = None
) -> None:
    """Draw convolutions and linear layers from Xavier's normal law, with zero biases, in place.

    A weight of F_in inputs and F_out outputs has deviation gain * sqrt(2 / (F_in + F_out)); batch
    normalization gets gains N(1, gain). The published gain of 0.02 makes all activations tiny, and
    leaves it to instance normalization to bring them back to size.

    Args:
        network: changed in place.
        gain: see above.
        generator: a CPU generator for networks on the CPU; torch's own where it is left out.
    """
    for module in network.modules():
        if isinstance(module, _WEIGHTED):
            nn.init.xavier_normal_(module.weight, gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain, generator=generator)
            nn.init.zeros_(module.bias)
