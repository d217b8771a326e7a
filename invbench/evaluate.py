"""The one path from a sampler to a record: observe, sample, reobserve, score, calibrate.

The benchmark suite, the command line and worker processes all go through `evaluate`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from invbench.data import digest
from invbench.environment import device_key
from invbench.records import CaseRecord, IntervalRecord, MetricRecord, ThroughputRecord
from invbench.rounds import Stream
from invbench.scoring import LEVEL
from invbench.seeding import SEED_SCHEME
from invbench.tasks import get_task
from invbench.timing import measure
from invbench.uncertainty import (
    RiskCurve,
    cross_calibrate,
    ideal_coverage,
    leave_one_group_out,
    rcps_hb,
    uncertified,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.cases import Case
    from invbench.data import Photo
    from invbench.metrics import Metric
    from invbench.models import Sampler
    from invbench.rounds import Settings
    from invbench.scoring import ImageScores


ALPHA = 0.1  # the risk that calibration allows: 1 - LEVEL


class Measure(Protocol):
    """Times a target in rounds, as `timing.measure` and ``benchmark.pedantic`` do."""

    def __call__(
        self, target: Callable[[], object], *, setup: Callable[[], None], rounds: int
    ) -> object:
        """Call ``setup`` untimed and ``target`` timed, ``rounds`` times or fewer."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A case's record and the scores behind it.

    Attributes:
        record: what is written as JSON.
        scores: name -> array: each metric ``[n, K]``; coverage, width and winkler ``[n]``.
    """

    record: CaseRecord
    scores: Mapping[str, NDArray[np.float64]]


def evaluate(
    case: Case,
    sampler: Sampler,
    photos: Sequence[Photo],
    *,
    settings: Settings,
    metrics: Sequence[Metric],
    model: Mapping[str, Any],
    dataset: str,
    measure_rounds: Measure = measure,
) -> Evaluation:
    """Measure one case: validity, intervals, calibration and speed, from the same samples.

    A round draws all samples of one image, so a run of n images is timed in n rounds while only
    one image's samples are in memory. The first image is drawn once before, untimed.

    Args:
        case: model and task.
        sampler: on ``settings.device``.
        photos: the targets, all of one size.
        settings: how much and where.
        metrics: of validity.
        model: facts on the model for the record's identity: checkpoint, licence.
        dataset: name of the data set, for the record.
        measure_rounds: the clock; ``benchmark.pedantic`` serves.

    Raises:
        InvalidSamplesError: if the sampler breaks the convention, naming image and sample.
    """
    start = time.monotonic()
    stream = Stream(case, sampler, photos, settings, metrics)
    peak_bytes = stream.warm_up()
    measure_rounds(stream.sample, setup=stream.next_image, rounds=len(photos))
    while not stream.finished:  # pytest-benchmark runs one round only when it is disabled
        stream.next_image()
        stream.sample()
    images = stream.scores()
    record = CaseRecord(
        case_id=case.id,
        identity=identify(
            case,
            sampler,
            photos,
            settings=settings,
            metrics=metrics,
            model=model,
            dataset=dataset,
        ),
        status="passed",
        validity={metric.name: _validity(metric, images) for metric in metrics},
        interval=_interval(images, [photo.group for photo in photos], settings),
        throughput=_throughput(stream.seconds, sampler, settings, peak_bytes),
    )
    arrays = {
        metric.name: np.stack([image.validity[metric.name] for image in images])
        for metric in metrics
    }
    for name in ("coverage", "width", "winkler"):
        arrays[name] = np.array([getattr(image, name) for image in images])
    return Evaluation(replace(record, wall_s=time.monotonic() - start), arrays)


def identify(
    case: Case,
    sampler: Sampler,
    photos: Sequence[Photo],
    *,
    settings: Settings,
    metrics: Sequence[Metric],
    model: Mapping[str, Any],
    dataset: str,
) -> dict[str, Any]:
    """Return what the numbers depend on; known before anything is measured. See `evaluate`."""
    task = get_task(case.task)
    return {
        "model": {"name": case.model, **model},
        "task": {
            "name": task.name,
            "version": task.version,
            "operator": {
                "name": task.operator.name,
                "version": task.operator.version,
                "params": task.operator.params,
            },
            "dataset": {
                "name": dataset,
                "sha256": digest(photos),
                "size": photos[0].pixels.shape[-1],
                "image_ids": [photo.id for photo in photos],
                "groups": [photo.group for photo in photos],
            },
        },
        "sampling": {
            "n_samples": settings.n_samples,
            "dtype": settings.dtype,
            "nfe": getattr(sampler, "nfe", None),
            "seed": settings.seed,
            "seed_scheme": SEED_SCHEME,
            "rng_device": "cpu",
        },
        "metrics": {
            metric.name: {"version": metric.version, **metric.parameters} for metric in metrics
        },
    }


def _validity(metric: Metric, images: Sequence[ImageScores]) -> MetricRecord:
    means = np.array([image.validity[metric.name].mean() for image in images])
    spread = means.std(ddof=1) / len(means) ** 0.5 if len(means) > 1 else None
    return MetricRecord(
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        version=metric.version,
        n_images=len(means),
        mean=float(means.mean()),
        stderr=None if spread is None else float(spread),
        n_nonfinite=sum(image.n_nonfinite[metric.name] for image in images),
        per_image=tuple(float(value) for value in means),
    )


def _interval(
    images: Sequence[ImageScores], groups: Sequence[str], settings: Settings
) -> IntervalRecord:
    covered = np.array([image.coverage for image in images], dtype=np.float64)
    widths = np.array([image.width for image in images])
    factors = [image.needed_factors for image in images if image.needed_factors is not None]
    return IntervalRecord(
        level=LEVEL,
        rule=settings.rule,
        n_samples=settings.n_samples,
        ideal_coverage=ideal_coverage(settings.n_samples, LEVEL, settings.rule),
        coverage=float(covered.mean()),
        coverage_per_image=tuple(covered.tolist()),
        mean_width=float(widths.mean()),
        width_per_image=tuple(widths.tolist()),
        winkler=float(np.mean([image.winkler for image in images if image.winkler is not None])),
        calibration=_calibration(RiskCurve(tuple(factors), "additive"), groups),
    )


def _calibration(curve: RiskCurve, groups: Sequence[str]) -> dict[str, Any]:
    """Calibrate with a guarantee on all photographs, and without one on all but the scored.

    The first says what may be claimed of a new photograph: nothing, below 22 of them. The second
    is the study's protocol, by photograph: the factor that reaches 90 % on the others.
    """
    record: dict[str, Any] = {
        "guaranteed": asdict(rcps_hb(curve.select(range(len(groups)), groups), alpha=ALPHA))
    }
    if len(set(groups)) > 1:
        crossed = cross_calibrate(
            curve,
            leave_one_group_out(groups),
            groups=groups,
            calibrator=lambda seen: uncertified(seen, alpha=ALPHA),
        )
        losses = np.concatenate(crossed.losses)
        record["leave_one_photo_out"] = {
            "coverage": float(1 - losses.mean()),
            "mean_lambda": float(crossed.factors(len(groups)).mean()),
        }
    return record


def _throughput(
    seconds: Sequence[float], sampler: Sampler, settings: Settings, peak_bytes: int | None
) -> ThroughputRecord:
    return ThroughputRecord(
        seconds_per_round=tuple(seconds),
        samples_per_round=settings.n_samples,
        samples_per_second=settings.n_samples / float(np.median(seconds)),
        chunk_size=settings.chunk_size,
        nfe=getattr(sampler, "nfe", None),
        peak_allocated_bytes=peak_bytes,
        environment_key=device_key(settings.device, settings.dtype),
    )
