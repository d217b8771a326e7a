"""The one path from a sampler to a record: observe, sample, reobserve, score, calibrate.

The benchmark suite, the command line and worker processes all go through `evaluate`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from invbench.evaluation.contract import find_breaches
from invbench.evaluation.known import world_records
from invbench.evaluation.rounds import Rounds
from invbench.evaluation.skill import skill_records
from invbench.evaluation.summary import (
    calibration_verdict,
    interval_record,
    per_image,
    target_records,
    validity_record,
)
from invbench.machine import device_key, measure
from invbench.runs import CaseRecord, ThroughputRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.evaluation.experiment import Experiment


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
        scores: name -> array: each metric ``[n, K]``, and what `summary.per_image` says.
    """

    record: CaseRecord
    scores: Mapping[str, NDArray[np.float64]]


def evaluate(experiment: Experiment, *, measure_rounds: Measure = measure) -> Evaluation:
    """Measure one case: validity, intervals, calibration, speed and contract.

    A round draws all samples of one image, so a run of n images is timed in n rounds while only
    one image's samples are in memory. Other samples are drawn once before, untimed; the first
    image's are drawn again after it, to see whether they are the same in any batch and whether
    the sampler keeps results.

    Args:
        experiment: who is measured, on what and how.
        measure_rounds: the clock; ``benchmark.pedantic`` serves.

    Raises:
        InvalidSamplesError: if the sampler breaks the convention, naming image and sample.
    """
    start = time.monotonic()
    rounds = Rounds(experiment)
    peak_bytes = rounds.warm_up()
    measure_rounds(rounds.sample, setup=rounds.next_image, rounds=len(experiment.data.photos))
    rounds.finish()
    images = rounds.scores
    saved, evidence = rounds.repeat()

    metrics, settings, groups = experiment.metrics, experiment.settings, experiment.data.groups
    fits = [image.chi_squared for image in images if image.chi_squared is not None]
    intervals = interval_record(images, groups, n_samples=settings.n_samples, rule=settings.rule)
    record = CaseRecord(
        case_id=experiment.case.id,
        identity=experiment.identity(),
        status="measured",
        validity={m.name: validity_record(m, images) for m in experiment.validity_metrics},
        noise_fit=experiment.noise_fit.record(fits, groups) if experiment.noise_fit else None,
        target=target_records(metrics, images),
        interval=intervals,
        calibration=calibration_verdict(intervals, n_photographs=len(set(groups))),
        contract=find_breaches(evidence),
        throughput=replace(
            _throughput(experiment, rounds.seconds, peak_bytes),
            first_call_s=rounds.first_call_s,
            saved_by_repeating=saved,
        ),
    )
    arrays = per_image(images)
    reference = experiment.reference
    if reference is not None:
        own = {"crps": arrays["crps"], "energy": arrays["role_energy"][:, 0]}
        record = replace(
            record, skill=skill_records(own, reference, groups), reference=reference.means
        )
        arrays |= {f"reference_{name}": values for name, values in reference.scores.items()}
    if experiment.world is not None:
        record = replace(record, world=world_records(experiment, experiment.world))
    by_metric = {
        metric.name: np.stack([image.validity[metric.name] for image in images])
        for metric in experiment.validity_metrics
    } | ({"chi_squared": np.stack(fits)} if fits else {})
    record = replace(record, wall_s=time.monotonic() - start)
    return Evaluation(record, by_metric | arrays)


def _throughput(
    experiment: Experiment, seconds: Sequence[float], peak_bytes: int | None
) -> ThroughputRecord:
    settings = experiment.settings
    return ThroughputRecord(
        seconds_per_round=tuple(seconds),
        samples_per_round=settings.n_samples,
        samples_per_second=settings.n_samples / float(np.median(seconds)),
        chunk_size=settings.chunk_size,
        nfe=experiment.subject.nfe,
        peak_allocated_bytes=peak_bytes,
        environment_key=device_key(settings.device, settings.dtype),
    )
