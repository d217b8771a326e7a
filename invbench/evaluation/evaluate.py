"""The one path from a sampler to a record: observe, sample, reobserve, score, calibrate.

The benchmark suite, the command line and worker processes all go through `evaluate`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from invbench.evaluation.contract import find_breaches
from invbench.evaluation.experiment import FEWEST_SAMPLES
from invbench.evaluation.known import world_records
from invbench.evaluation.rounds import Rounds
from invbench.evaluation.skill import skill_records
from invbench.evaluation.summary import (
    calibration_verdict,
    interval_record,
    per_image,
    spread_records,
    target_records,
    validity_record,
)
from invbench.machine import device_key, measure
from invbench.models import MOST_MEASUREMENTS
from invbench.runs import CaseRecord, ThroughputRecord
from invbench.uncertainty.errors import TooFewSamplesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.evaluation.experiment import Experiment, Settings
    from invbench.evaluation.noise_fit import NoiseFit
    from invbench.evaluation.scoring import ImageScores
    from invbench.evaluation.skill import ReferenceScores
    from invbench.metrics import Metric
    from invbench.runs import Picture
    from invbench.uncertainty import Rule

NO_REFERENCE = (
    "no reference sampler for this operator, or none in time; a linear function of unknown "
    f"structure has one up to {MOST_MEASUREMENTS} measurements"
)


class Measure(Protocol):
    """A clock that times a function in rounds: `machine.measure` or ``benchmark.pedantic``."""

    def __call__(
        self, target: Callable[[], object], *, setup: Callable[[], None], rounds: int
    ) -> object:
        """Call ``setup`` untimed and ``target`` timed, ``rounds`` times or fewer."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A case's record and the scores behind it.

    Attributes:
        record: what is written as JSON.
        scores: name -> array: each metric ``[n, K]``, and what `summary.per_image` says; where
            images differ in K, ``sample_counts`` says how much of each row is filled.
        pictures: of the first images, as many as were asked for, and of the worst.
    """

    record: CaseRecord
    scores: Mapping[str, NDArray[np.float64]]
    pictures: Sequence[Picture] = ()


def evaluate(
    experiment: Experiment,
    *,
    measure_rounds: Measure = measure,
    on_image: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Measure one case: validity, intervals, calibration, speed and contract.

    A round draws all samples of one image, so a run of n images is timed in n rounds while only
    one image's samples are in memory. Other samples are drawn once before, untimed; the first
    image's are drawn again after it, to see whether they are the same in any batch and whether
    the sampler keeps results.

    Args:
        experiment: who is measured, on what and how.
        measure_rounds: the clock; ``benchmark.pedantic`` serves.
        on_image: told after each image, outside of what is timed, how many are done of how many.

    Raises:
        InvalidSamplesError: if the sampler breaks the convention, naming image and sample.
        TooFewSamplesError: if a single sample is to be drawn of each image.
    """
    if experiment.settings.n_samples < FEWEST_SAMPLES:
        raise TooFewSamplesError(f"scores need at least {FEWEST_SAMPLES} samples of an image")
    start = time.monotonic()
    rounds = Rounds(experiment, on_image)
    peak_bytes = rounds.warm_up()
    measure_rounds(rounds.sample, setup=rounds.next_image, rounds=len(experiment.data.photos))
    rounds.finish()
    saved, evidence = rounds.repeat()
    settings = experiment.settings
    evaluation = assess(
        rounds.scores,
        case_id=experiment.case.id,
        identity=experiment.identity(),
        metrics=experiment.metrics,
        groups=experiment.data.groups,
        n_samples=settings.n_samples,
        rule=settings.rule,
        reference=experiment.reference,
        noise_fit=experiment.noise_fit,
    )
    throughput = replace(
        _throughput(experiment, rounds.settings, rounds.seconds, peak_bytes),
        first_call_s=rounds.first_call_s,
        saved_by_repeating=saved,
    )
    if experiment.world is not None:
        worlds = world_records(experiment, experiment.world)
        evaluation = replace(evaluation, record=replace(evaluation.record, world=worlds))
    record = replace(
        evaluation.record,
        not_measured={} if evaluation.record.skill else {"skill": NO_REFERENCE},
        contract=find_breaches(evidence),
        throughput=throughput,
        wall_s=time.monotonic() - start,
    )
    return replace(evaluation, record=record, pictures=rounds.gallery.pictures)


def assess(
    images: Sequence[ImageScores],
    *,
    case_id: str,
    identity: Mapping[str, Any],
    metrics: Sequence[Metric],
    groups: Sequence[str],
    n_samples: int,
    rule: Rule,
    reference: ReferenceScores | None = None,
    noise_fit: NoiseFit | None = None,
) -> Evaluation:
    """Make a record of what was measured on images, wherever their samples are from.

    Args:
        images: all scored with a target, or none of them.
        case_id: of the record.
        identity: all that the numbers depend on.
        metrics: that the images were scored by.
        groups: the photograph that each image is of.
        n_samples: K, the samples that intervals are made from.
        rule: of the interval's quantiles.
        reference: the reference sampler's scores on the same images, for the skill.
        noise_fit: of a task with noise; it takes the place of the metrics of validity.
    """
    arrays = per_image(images)
    validity_metrics = metrics if noise_fit is None else (noise_fit.metric(),)
    fits = [image.chi_squared for image in images if image.chi_squared is not None]
    record = CaseRecord(
        case_id=case_id,
        identity=identity,
        status="measured",
        validity={metric.name: validity_record(metric, images) for metric in validity_metrics},
        noise_fit=None if noise_fit is None else noise_fit.record(fits, groups),
    )
    if images[0].target:
        record = replace(record, target=target_records(metrics, images))
    if "coverage" in arrays:
        intervals = interval_record(images, groups, n_samples=n_samples, rule=rule)
        verdict = calibration_verdict(intervals, n_photographs=len(set(groups)))
        record = replace(record, interval=intervals, calibration=verdict)
    else:
        record = replace(record, spread=spread_records(arrays))
    if reference is not None:
        own = {"crps": arrays["crps"], "energy": arrays["role_energy"][:, 0]}
        record = replace(
            record, skill=skill_records(own, reference, groups), reference=reference.means
        )
        arrays |= {f"reference_{name}": values for name, values in reference.scores.items()}
    if fits:
        arrays["chi_squared"] = np.stack(fits)
    return Evaluation(record, _by_sample(images, validity_metrics) | arrays)


def _by_sample(
    images: Sequence[ImageScores], metrics: Sequence[Metric]
) -> dict[str, NDArray[np.float64]]:
    """Collect each metric as ``[n, K]``, and where images differ in K, their "sample_counts".

    Rows are filled up with NaN.
    """
    counts = np.array([len(image.validity[metrics[0].name]) for image in images])
    columns = {}
    for metric in metrics:
        columns[metric.name] = np.full((len(images), counts.max()), np.nan)
        for row, image in zip(columns[metric.name], images, strict=True):
            scores = image.validity[metric.name]
            row[: len(scores)] = scores
    return columns if len(set(counts)) == 1 else columns | {"sample_counts": counts.astype(float)}


def _throughput(
    experiment: Experiment, settings: Settings, seconds: Sequence[float], peak_bytes: int | None
) -> ThroughputRecord:
    return ThroughputRecord(
        seconds_per_round=tuple(seconds),
        samples_per_round=settings.n_samples,
        samples_per_second=settings.n_samples / float(np.median(seconds)),
        chunk_size=settings.chunk_size,
        nfe=experiment.subject.nfe,
        peak_allocated_bytes=peak_bytes,
        environment_key=device_key(settings.device, settings.dtype),
    )
