"""Drawing samples: seeds for each sample, chunks, checks and the one rounding to 8 bits."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidSamplesError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.seeding import generator, sample_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.models import Sampler


@torch.inference_mode()
def draw(
    sampler: Sampler,
    observations: Tensor,
    *,
    task: str,
    image_ids: Sequence[str],
    size: tuple[int, int],
    n_samples: int,
    seed: int = 0,
    chunk_size: int = 16,
    first: int = 0,
) -> Tensor:
    """Draw ``n_samples`` for each observation.

    Sample k of an image takes its noise from a generator seeded by (seed, task, image id, k), so it
    is the same whatever the chunk, the order of images or the shard. Samples are rounded to
    8 bits once, here, so that scoring them in memory and from PNG files is the same.

    Args:
        sampler: see `models.Sampler`.
        observations: ``[B, c, h, w]`` in [0, 1].
        task: task id, for the seeds.
        image_ids: B ids, for the seeds.
        size: height and width that samples must have.
        n_samples: K.
        seed: root seed of the run.
        chunk_size: rows given to the sampler at a time.
        first: index k of the first sample.

    Returns:
        ``[B, K, 3, H, W]`` float32, multiples of 1/255 in [0, 1].

    Raises:
        InvalidSamplesError: naming the image and sample that is of the wrong shape, not finite
            or out of range.
    """
    rows = list(product(range(len(image_ids)), range(first, first + n_samples)))
    parts = []
    for start in range(0, len(rows), chunk_size):
        chunk = rows[start : start + chunk_size]
        noise = [generator(sample_seed(seed, task, image_ids[image], k)) for image, k in chunk]
        samples = sampler(observations[[image for image, _ in chunk]], noise)
        _check(samples, [(image_ids[image], k) for image, k in chunk], size)
        parts.append(to_uint8(samples.float()))
    return from_uint8(torch.cat(parts)).reshape(len(image_ids), n_samples, 3, *size)


def _check(samples: Tensor, names: Sequence[tuple[str, int]], size: tuple[int, int]) -> None:
    """Refuse a chunk that breaks the convention, naming the first row that does."""
    expected = (len(names), 3, *size)
    if samples.shape != expected:
        raise InvalidSamplesError(f"samples have shape {tuple(samples.shape)}, not {expected}")
    try:
        check_images(samples, name="samples", error=InvalidSamplesError)
    except InvalidSamplesError:
        for (image_id, k), sample in zip(names, samples, strict=True):
            check_images(sample, name=f"sample {k} of {image_id}", error=InvalidSamplesError)
        raise
