"""Queries, keys and values are laid out as fused kernels take them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from invbench.networks import guided_unet, paired_unet, simple_unet


def plain(query, key, value):
    """Attention as its formula says, one position after the other."""
    weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return weights @ value


@pytest.mark.parametrize(
    ("attention", "heads"),
    [
        (guided_unet.Attention(64, 16), 4),
        (simple_unet.Attention(64), 1),
        (paired_unet.Attention(64), 1),
    ],
    ids=["guided", "simple", "paired"],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_attention_can_take_the_layout(attention, heads, layout, monkeypatch):
    torch.manual_seed(0)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    features = torch.randn(2, 64, 4, 6).to(memory_format=layout)
    seen = []

    def watched(query, key, value):
        seen.extend([query, key, value])
        return plain(query, key, value)

    with torch.no_grad():
        fused = attention(features)
        monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
        torch.testing.assert_close(fused, attention(features), rtol=1e-4, atol=1e-4)
    assert [tuple(each.shape) for each in seen] == [(2, heads, 24, 64 // heads)] * 3
    assert all(each.stride(-1) == 1 for each in seen)
