"""Random seeds that depend on which sample of which image is drawn, and on nothing else."""

from __future__ import annotations

import random
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    rows = [torch.randn(*shape, generator=one) for one in generators]
    return torch.stack(rows).to(device=device, dtype=dtype)


@contextmanager
def global_generators_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let code that knows the global generators alone depend on ``generator`` instead.

    Those of torch on the CPU and on ``device``, of NumPy and of Python are seeded by a number drawn
    from ``generator``, and are afterwards what they were before.

    Example:
        >>> with global_generators_from(generator(0), torch.device("cpu")):
        ...     first = torch.rand(3)
        >>> with global_generators_from(generator(0), torch.device("cpu")):
        ...     torch.equal(torch.rand(3), first)
        True
    """
    seed = int(torch.randint(1 << 62, (), generator=generator))
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002  others draw from it
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cuda):
            torch.default_generator.manual_seed(seed)  # no other device's, which stay as they are
            for each in cuda:
                with torch.cuda.device(each):
                    torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])
