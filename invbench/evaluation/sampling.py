"""From an image to samples: observe it, seed and draw each sample, check it, round it to 8 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.errors import InvalidSamplesError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.machine import release_memory
from invbench.seeding import generator, sample_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.data import Photo
    from invbench.evaluation.experiment import Settings
    from invbench.models import Sampler
    from invbench.problems import Problem


@dataclass(frozen=True, eq=False)
class Observed:
    """An image that was observed: what a sampler may see, and the target behind it.

    Attributes:
        problem: by which it was observed, at this observation.
        image_id: of the photograph.
        target: ``[3, H, W]`` in [0, 1].
        observation: ``[c, h, w]`` in [0, 1], but for its noise.
    """

    problem: Problem
    image_id: str
    target: Tensor
    observation: Tensor

    @property
    def compared(self) -> Tensor:
        """Return what reobservations are compared with: no mask that the observation carries."""
        channels, _, _ = self.problem.operator.observation_shape(*self.target.shape[-2:])
        return self.observation[:channels]


def observe(photo: Photo, problem: Problem, device: torch.device) -> Observed:
    """Observe a photograph on a device, by a problem's operator and with its noise."""
    target = from_uint8(photo.pixels.to(device))
    observation = problem.observe(target, photo.id)
    return Observed(problem.at(observation), photo.id, target, observation)


def draw_samples(
    sampler: Sampler, observed: Observed, settings: Settings, *, first: int = 0
) -> Tensor:
    """Draw the K samples of one image, seeded so that every caller gets the same ones.

    Args:
        sampler: see `models.Sampler`.
        observed: the image.
        settings: how many samples, and how they are drawn.
        first: index of the first; those from 0 to K - 1 are the ones that are scored.

    Returns:
        ``[K, 3, H, W]`` float32, multiples of 1/255 in [0, 1].

    Raises:
        InvalidSamplesError: see `draw`.
    """
    rows = [(0, k) for k in range(first, first + settings.n_samples)]
    return draw_rows(sampler, [observed], rows, settings)


def draw_within_memory(
    sampler: Sampler, observed: Observed, settings: Settings, *, first: int = 0
) -> tuple[Tensor, Settings]:
    """Draw the K samples of one image, fewer at a time where memory runs out; see `draw_samples`.

    The samples are the same, since none depends on the others of its call.

    Returns:
        The samples, and the settings whose chunk size was small enough.

    Raises:
        torch.OutOfMemoryError: if there is not enough for a single sample.
    """
    while True:
        try:
            return draw_samples(sampler, observed, settings, first=first), settings
        except torch.OutOfMemoryError as error:
            size = min(settings.chunk_size, settings.n_samples) // 2
            if size == 0:
                raise
            release_memory(error)
        settings = replace(settings, chunk_size=size)


def draw_rows(
    sampler: Sampler,
    images: Sequence[Observed],
    rows: Sequence[tuple[int, int]],
    settings: Settings,
    *,
    chunk_size: int | None = None,
) -> Tensor:
    """Draw any samples of some images of one problem, in any order.

    Args:
        sampler: see `models.Sampler`.
        images: of one size.
        rows: for each sample the number of its image and its index k.
        settings: how samples are drawn.
        chunk_size: rows given to the sampler at a time; the settings' by default.

    Returns:
        ``[len(rows), 3, H, W]`` float32, multiples of 1/255 in [0, 1].

    Raises:
        InvalidSamplesError: see `draw`.
    """
    return _draw(
        sampler,
        torch.stack([image.observation for image in images]),
        rows,
        task=images[0].problem.name,
        image_ids=[image.image_id for image in images],
        size=(images[0].target.shape[-2], images[0].target.shape[-1]),
        seed=settings.seed,
        chunk_size=chunk_size or settings.chunk_size,
    )


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
    samples = _draw(
        sampler,
        observations,
        list(product(range(len(image_ids)), range(first, first + n_samples))),
        task=task,
        image_ids=image_ids,
        size=size,
        seed=seed,
        chunk_size=chunk_size,
    )
    return samples.reshape(len(image_ids), n_samples, 3, *size)


@torch.no_grad()
def _draw(
    sampler: Sampler,
    observations: Tensor,
    rows: Sequence[tuple[int, int]],
    *,
    task: str,
    image_ids: Sequence[str],
    size: tuple[int, int],
    seed: int,
    chunk_size: int,
) -> Tensor:
    """Draw the rows chunk by chunk, each from the generator of its image and k.

    A sampler that needs gradients can enable them: its inputs are plain tensors.
    """
    parts = []
    for start in range(0, len(rows), chunk_size):
        chunk = rows[start : start + chunk_size]
        noise = [generator(sample_seed(seed, task, image_ids[image], k)) for image, k in chunk]
        samples = _as_tensor(sampler(observations[[image for image, _ in chunk]], noise))
        _check(samples, [(image_ids[image], k) for image, k in chunk], size)
        parts.append(to_uint8(samples.float()))
    return from_uint8(torch.cat(parts))


def _as_tensor(samples: object) -> Tensor:
    """Take a batch as it is, or as NumPy has it, and let go of the graph that led to it."""
    if isinstance(samples, np.ndarray) and samples.dtype.kind in "fiu":
        samples = torch.from_numpy(np.ascontiguousarray(samples))
    if not isinstance(samples, torch.Tensor):
        kind = f" of {samples.dtype}" if isinstance(samples, np.ndarray) else ""
        raise InvalidSamplesError(
            f"samples are of type {type(samples).__name__}{kind}; "
            "return one tensor [N, 3, H, W] with values in [0, 1]",
            "tensor",
        )
    plain = samples.layout is torch.strided and samples.device.type != "meta"
    if not plain or samples.is_complex() or samples.is_quantized:
        raise InvalidSamplesError(
            f"samples are {samples.dtype}, {samples.layout}, on {samples.device}; return a dense "
            "tensor [N, 3, H, W] of real numbers in [0, 1]",
            "tensor",
        )
    return samples.detach()


def _check(samples: Tensor, names: Sequence[tuple[str, int]], size: tuple[int, int]) -> None:
    """Refuse a chunk that breaks the convention, naming the first row that does."""
    expected = (len(names), 3, *size)
    if samples.shape != expected:
        shape = tuple(samples.shape)
        raise InvalidSamplesError(f"samples have shape {shape}, not {expected}", "shape")
    try:
        check_images(samples, name="samples", error=InvalidSamplesError)
    except InvalidSamplesError:
        for (image_id, k), sample in zip(names, samples, strict=True):
            check_images(sample, name=f"sample {k} of {image_id}", error=InvalidSamplesError)
        raise
