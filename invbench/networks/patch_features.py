"""The features by which patches are contrasted in CUT and MoNCE: sampled, projected, normalized.

Parameter names are those of the published checkpoints (``mlp_sample``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class PatchProjector(nn.Module):
    """Project each feature map by a small perceptron of its own, and normalize the result.

    Args:
        in_channels: channels of each feature map.
        channels: length of the projected vectors.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        for index, width in enumerate(in_channels):
            perceptron = nn.Sequential(
                nn.Linear(width, channels), nn.ReLU(), nn.Linear(channels, channels)
            )
            self.add_module(f"mlp_{index}", perceptron)

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Project the features at given positions, the same in all images of the batch.

        Args:
            features: maps ``[N, C_l, H_l, W_l]``.
            positions: ``[P_l]`` indices into the H_l * W_l pixels of each map.

        Returns:
            ``[N, P_l, channels]`` of unit length, eps = 1e-7 being added to the norm.
        """
        projected = []
        for module, maps, picked in zip(self.children(), features, positions, strict=True):
            vectors = module(maps.flatten(2)[..., picked].transpose(1, 2))
            projected.append(vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-7))
        return projected
