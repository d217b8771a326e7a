"""Random seeds that depend on which sample of which image is drawn, and on nothing else."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SEED_SCHEME = "blake2b(seed/task/image_id/k)"


def sample_seed(seed: int, task: str, image_id: str, index: int) -> int:
    """Return the seed of sample ``index`` of an image: 63 bits of a hash of all four.

    The model is left out on purpose, so that two models compared on one image share their noise.

    >>> sample_seed(0, "sr16", "astronaut-0", 0) == sample_seed(0, "sr16", "astronaut-0", 0)
    True
    """
    return text_seed(f"{seed}/{task}/{image_id}/{index}")


def text_seed(text: str) -> int:
    """Return 63 bits of a hash of a text, as a seed of what is named by it."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int) -> torch.Generator:
    """Return a CPU generator; noise is drawn there so that every device gets the same."""
    return torch.Generator().manual_seed(seed)


def randn(
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw standard normal noise ``[len(generators), *shape]``, row k from generator k alone."""
    rows = [
        torch.randn(*shape, generator=one, dtype=torch.float32, device="cpu") for one in generators
    ]
    return torch.stack(rows).to(device=device, dtype=dtype)
