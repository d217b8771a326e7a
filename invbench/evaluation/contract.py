"""What every number of a sampler rests on, checked while the sampler is measured.

Sample k of an image must hang on its observation and on its own generator alone, and differ from
the other samples. A sampler that breaks this may look valid and calibrated, and its numbers mean
something else. Each check is one function that returns a `Breach`, or None if it finds nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from invbench.evaluation.sampling import draw_rows
from invbench.runs import Breach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.evaluation.experiment import Settings
    from invbench.evaluation.sampling import Observed
    from invbench.models import Sampler

# Root mean square difference that a device may cause which computes other batches in another order:
# one level of 8 bits, and a few where numbers have no more than 8 bits throughout
ROUNDING = {"float32": 1 / 255, "bfloat16": 4 / 255}
FEATURES = 4  # a sample is looked at as that many squares a side
DRAWS = 999
RATE = 1 / (DRAWS + 1)  # of false alarms of `decided_by_row`


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What was seen of a sampler while it was measured.

    Attributes:
        image_id: of the image that was drawn several times.
        samples: of that image, ``[K, 3, H, W]``.
        again: the same, drawn once more.
        touched: the global random generators that drawing left in another state.
        batched: what `draw_in_other_batches` says.
        features: of the samples of all images, ``[n, K, d]``, see `features`.
        distinct: image id -> how many of its K samples differ from each other.
        stochastic: whether samples of one observation are meant to differ.
        tolerance: root mean square difference between samples that count as the same.
    """

    image_id: str
    samples: Tensor
    again: Tensor
    touched: Sequence[str]
    batched: Mapping[int, Tensor] | Exception
    features: NDArray[np.float64]
    distinct: Mapping[str, int]
    stochastic: bool = True
    tolerance: float = ROUNDING["float32"]


def find_breaches(evidence: Evidence) -> tuple[Breach, ...]:
    """Make all checks; return what they find."""
    changed = irreproducible(evidence)
    found = [changed or depends_on_batch(evidence)]  # what never comes twice depends on anything
    if evidence.stochastic:
        found.append(duplicate_samples(evidence.distinct, len(evidence.samples)))
        found.append(decided_by_row(evidence.features))
    return tuple(breach for breach in found if breach is not None)


def irreproducible(evidence: Evidence) -> Breach | None:
    """Compare the samples of an image with those that the same generators gave once more."""
    seen = changes(evidence.samples, evidence.again, evidence.tolerance)
    if seen is None:
        return None
    names = " and ".join(evidence.touched)
    used = f"; the global generator of {names} was used" if names else ""
    return Breach(
        name="irreproducible",
        expected="the same generators give the same samples",
        seen=f"{seen} when {evidence.image_id} was drawn again{used}",
    )


def depends_on_batch(evidence: Evidence) -> Breach | None:
    """Compare the samples of an image with those drawn in other batches."""
    batched = evidence.batched
    if isinstance(batched, Exception):
        seen: str | None = f"{type(batched).__name__}: {batched}"
    else:
        again = torch.stack(list(batched.values()))
        seen = changes(evidence.samples[list(batched)], again, evidence.tolerance)
    if seen is None:
        return None
    return Breach(
        name="depends on its batch",
        expected="a sample is the same in any row of a batch of any size",
        seen=f"{seen} when {evidence.image_id} was drawn in other batches",
    )


def duplicate_samples(distinct: Mapping[str, int], n_samples: int) -> Breach | None:
    """Look for samples of one image that are equal, pixel for pixel.

    Args:
        distinct: image id -> how many of its samples differ from each other.
        n_samples: K.
    """
    few = {image_id: count for image_id, count in distinct.items() if count < n_samples}
    if not few:
        return None
    fewest = min(few, key=lambda image_id: few[image_id])
    return Breach(
        name="duplicate samples",
        expected=f"{n_samples} samples of an image are {n_samples} images",
        seen=f"{few[fewest]} of {n_samples} samples of {fewest} are distinct, "
        f"duplicates in {len(few)} of {len(distinct)} images",
    )


def decided_by_row(features: NDArray[np.float64]) -> Breach | None:
    r"""Ask whether sample k of one image is like sample k of another.

    With generators of their own, the samples of an image could as well stand in any other order. So
    the part of the spread that is common to all samples of one k,

    .. math:: S = \frac{\sum_k \lVert \sum_i r_{ik} \rVert^2}
                        {n \sum_{ik} \lVert r_{ik} \rVert^2},

    is held against its values when the order within each image is drawn at random. It is 1 where
    rows decide everything, and 1 / n on average where they decide nothing.

    Args:
        features: r, ``[n, K, d]``, each image's of mean 0.
    """
    n_images = len(features)
    total = n_images * np.square(features).sum()
    if n_images < 2 or total == 0:
        return None
    rng = np.random.default_rng(0)
    share = np.square(features.sum(axis=0)).sum() / total
    rows = np.arange(n_images)[:, None]
    for _ in range(DRAWS):
        order = rng.random(features.shape[:2]).argsort(axis=1)
        if np.square(features[rows, order].sum(axis=0)).sum() >= share * total:
            return None
    return Breach(
        name="decided by row number",
        expected=f"{1 / n_images:.0%} of the spread is common to all samples of one row, by chance",
        seen=f"{share:.0%}",
    )


def features(samples: Tensor) -> NDArray[np.float64]:
    """Reduce samples ``[K, 3, H, W]`` to ``[K, 48]`` numbers of mean 0 and total square 1.

    Every image counts alike in `decided_by_row`, however far its samples are spread.
    """
    pooled = adaptive_avg_pool2d(samples, FEATURES).flatten(1).double().cpu().numpy()
    centred = pooled - pooled.mean(axis=0)
    scale = np.sqrt(np.square(centred).sum())
    return np.asarray(centred / scale if scale > 0 else centred)


def draw_in_other_batches(
    sampler: Sampler, image: Observed, other: Observed, settings: Settings
) -> Mapping[int, Tensor] | Exception:
    """Draw every second sample of an image again, from the last to the first.

    Batches are half as large and begin with a row of another image, which moves all others.

    Returns:
        k -> sample, or whatever the sampler raised.
    """
    half = max(1, min(settings.chunk_size, settings.n_samples) // 2)
    last = settings.n_samples - 1
    indices = range(last - last % 2, -1, -2)
    rows: list[tuple[int, int]] = []
    for start in range(0, len(indices), half):
        rows += [(1, settings.n_samples), *((0, k) for k in indices[start : start + half])]
    try:
        drawn = draw_rows(sampler, [image, other], rows, settings, chunk_size=half + 1)
    except Exception as error:  # noqa: BLE001  a sampler may raise anything; that is the finding
        return error
    return {k: sample for (number, k), sample in zip(rows, drawn, strict=True) if number == 0}


def global_states() -> dict[str, object]:
    """Return the state of each global random generator, which a sampler must leave alone."""
    name, keys, position, *_ = np.random.get_state()  # noqa: NPY002  a sampler may use it
    states: dict[str, object] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (name, np.asarray(keys).tobytes(), position),
        "random": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states["torch.cuda"] = torch.cuda.get_rng_state().numpy().tobytes()
    return states


def touched(before: Mapping[str, object]) -> list[str]:
    """Name the global generators that have another state than `global_states` had returned."""
    after = global_states()
    return [name for name, state in before.items() if state != after[name]]


def changes(samples: Tensor, again: Tensor, tolerance: float) -> str | None:
    """Say how many samples changed by more than a tolerance, and by how much; None if none did.

    Args:
        samples: ``[K, 3, H, W]``.
        again: the same samples, drawn in another way.
        tolerance: root mean square difference that counts as none, see `ROUNDING`.
    """
    errors = (samples - again.to(samples.device)).square().mean(dim=(1, 2, 3)).sqrt()
    count = int((errors > tolerance).sum())
    if not count:
        return None
    return f"{count} of {len(errors)} samples changed, by up to {errors.max() * 255:.0f} levels"
