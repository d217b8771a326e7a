"""How much better than the reference sampler, which has learnt five numbers?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from invbench.errors import DidNotConvergeError
from invbench.evaluation.estimates import estimate
from invbench.evaluation.sampling import draw_samples, observe
from invbench.evaluation.targets import SCORE_CAPS
from invbench.images import to_uint8
from invbench.metrics import psnr
from invbench.models import fitted_prior, has_reference, reference_sampler
from invbench.runs import SkillRecord
from invbench.uncertainty import crps, pool_distances, role_coverage, role_energy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.data import DataSet
    from invbench.evaluation.experiment import Settings
    from invbench.evaluation.sampling import Observed
    from invbench.models import Sampler
    from invbench.problems import Task

SKILLS = ("crps", "energy")


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """Proper scores of the reference sampler, image by image.

    Attributes:
        version: of the reference.
        scores: "crps" and "energy", each ``[n]``.
        means: over images, for the record: "coverage", "crps" and, of problems without noise,
            "psnr" of reobservations, at most 100 dB.
    """

    version: str
    scores: Mapping[str, NDArray[np.float64]]
    means: Mapping[str, float] = field(default_factory=dict)


@lru_cache(maxsize=16)  # the models of a task share them
def reference_scores(task: Task, data: DataSet, settings: Settings) -> ReferenceScores | None:
    """Score the reference sampler on the images that others are measured on.

    Returns:
        None if there is no reference for the task's operator, or none that it can draw in time.
    """
    height, width = data.photos[0].pixels.shape[-2:]
    problem = task.problem((height, width))
    if not has_reference(problem):
        return None
    sampler = reference_sampler(problem)
    observed = (observe(photo, problem, settings.device) for photo in data.photos)
    return joined(reference_row(sampler, image, settings) for image in observed)


def reference_row(
    sampler: Sampler, observed: Observed, settings: Settings
) -> Mapping[str, float] | None:
    """Score the reference sampler on one image; None if it cannot draw its samples in time."""
    try:
        samples = draw_samples(sampler, observed, replace(settings, dtype="float32"))
    except DidNotConvergeError:
        return None
    problem, observation = observed.problem, observed.compared
    levels, target = to_uint8(samples), to_uint8(observed.target)
    row = {
        "crps": float(crps(levels, target)),
        "energy": float(role_energy(pool_distances(levels, target))[0]),
        "coverage": float(role_coverage(levels, target)[0]),
    }
    if not problem.noise:
        validity = psnr(problem.operator(samples), observation)
        row["psnr"] = float(validity.clamp(max=SCORE_CAPS["psnr"]).mean())
    return row


def joined(rows: Iterable[Mapping[str, float] | None]) -> ReferenceScores | None:
    """Put the scores of images together; None at the first image that has none."""
    found: list[Mapping[str, float]] = []
    for row in rows:
        if row is None:
            return None
        found.append(row)
    columns = {name: np.array([row[name] for row in found]) for name in found[0]}
    return ReferenceScores(
        fitted_prior().version,
        {name: columns[name] for name in SKILLS},
        {name: float(column.mean()) for name, column in columns.items() if name != "energy"},
    )


def skill_records(
    arrays: Mapping[str, NDArray[np.float64]], reference: ReferenceScores, groups: Sequence[str]
) -> dict[str, SkillRecord]:
    r"""Compare a sampler's scores with the reference's, for each of `SKILLS`.

    .. math::
        \mathrm{skill} = 1 - \bar s / \bar s_{ref}

    Both scores are means over images; the confidence interval comes from resampling photographs.

    Args:
        arrays: the sampler's scores, ``[n]`` each.
        reference: the reference's, of the same images.
        groups: the photograph that each image is of.
    """
    records = {}
    for name in SKILLS:
        pairs = np.stack([arrays[name], reference.scores[name]], axis=1)
        found = estimate(pairs, groups, lambda own, other: 1 - own / other)
        records[name] = SkillRecord(
            value=found["value"],
            low=found["low"],
            high=found["high"],
            reference=reference.version,
            per_image=tuple(pairs[:, 0].tolist()),
            reference_per_image=tuple(pairs[:, 1].tolist()),
        )
    return records
