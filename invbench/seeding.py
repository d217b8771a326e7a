"""Random seeds that depend on which sample of which image is drawn, and on nothing else."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

SEED_SCHEME = "blake2b(seed/task/image_id/k), masks of bits"
_LARGE = 2**16  # values that are worth a thread


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
    pinned = torch.device(device).type == "cuda"
    noise = torch.empty(
        len(generators), *shape, dtype=torch.float32, device="cpu", pin_memory=pinned
    )
    draw = partial(torch.randn, dtype=torch.float32, device="cpu")
    fill_rows(noise, generators, lambda row, one: draw(row.shape, generator=one, out=row))
    return to_device(noise, device).to(dtype)


def fill_rows(
    noise: Tensor,
    generators: Sequence[torch.Generator],
    fill: Callable[[Tensor, torch.Generator], object],
) -> None:
    """Fill row k of a tensor by generator k, large rows in as many threads as torch has."""
    inference = torch.is_inference_mode_enabled()

    def fill_in_thread(row: Tensor, one: torch.Generator) -> None:
        with torch.inference_mode(inference):  # which every thread enters for itself
            fill(row, one)

    threads = min(len(generators), torch.get_num_threads())
    alone = len({id(one) for one in generators}) < len(generators)  # drawn from in turns
    if threads < 2 or alone or noise[0].numel() < _LARGE:
        for row, one in zip(noise, generators, strict=True):
            fill(row, one)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill_in_thread, noise, generators))


def to_device(noise: Tensor, device: torch.device | str) -> Tensor:
    """Move what was drawn on the CPU to a device, without waiting for what a GPU has yet to do."""
    if torch.device(device).type == "cuda":
        return noise.pin_memory().to(device, non_blocking=True)
    return noise.to(device)


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
