"""The one path from a sampler to a record: observe, sample, reobserve, score, calibrate.

The benchmark suite, the command line and worker processes all go through `evaluate`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from invbench.data import digest
from invbench.evaluation.rounds import Stream
from invbench.evaluation.summary import interval_record, per_image
from invbench.machine import device_key, measure
from invbench.problems import get_task
from invbench.runs import CaseRecord, MetricRecord, ThroughputRecord
from invbench.seeding import SEED_SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.data import Photo
    from invbench.evaluation.rounds import Settings
    from invbench.evaluation.scoring import ImageScores
    from invbench.metrics import Metric
    from invbench.models import Case, Sampler


class Measure(Protocol):
    """Times a target in rounds, as `machine.measure` and ``benchmark.pedantic`` do."""

    def __call__(
        self, target: Callable[[], object], *, setup: Callable[[], None], rounds: int
    ) -> object:
        """Call ``setup`` untimed and ``target`` timed, ``rounds`` times or fewer."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A case's record and the scores behind it.

    Attributes:
        record: what is written as JSON.
        scores: name -> array: each metric ``[n, K]``, and what `summary.per_image` says.
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
        interval=interval_record(
            images,
            [photo.group for photo in photos],
            n_samples=settings.n_samples,
            rule=settings.rule,
        ),
        throughput=_throughput(stream.seconds, sampler, settings, peak_bytes),
    )
    arrays = {
        metric.name: np.stack([image.validity[metric.name] for image in images])
        for metric in metrics
    }
    arrays |= per_image(images)
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
