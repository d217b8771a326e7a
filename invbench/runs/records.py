"""What a run leaves behind: frozen records that are JSON on disk. No torch here.

Numbers are plain floats in SI units named in the key; what is not finite is null, never NaN.
Within one version of a schema, keys may be added and are never removed. A record of another version
is refused by name; its case is measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  readers ask for the types of fields
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from invbench.errors import InvalidRecordError
from invbench.runs.plain_json import canonical_json, finite
from invbench.runs.typed_json import build, parse

CASE_SCHEMA = "invbench.case/2"
RUN_SCHEMA = "invbench.run/1"

NOTICEABLE = 0.1  # share of a round that repeating its input may save; more was not worked for

Status = Literal["passed", "failed", "measured", "skipped", "error"]
MEASURED = ("passed", "failed", "measured")  # the states of a case that has scores
Spread = Literal["calibrated", "under", "over", "not tested"]


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """One validity metric of a case: the mean over images of the mean over samples.

    Attributes:
        unit: of the score.
        higher_is_better: its direction.
        version: of the implementation and what it depends on.
        n_images: images averaged over.
        mean: over images.
        stderr: of that mean, between images.
        n_nonfinite: scores that were infinite and entered at the metric's cap.
        per_image: mean over samples for each image, in the order of the data set's ids.
        squared_error_per_image: of a PSNR the mean squared error in levels of 255, likewise: finite
            where samples reobserve exactly and their PSNR is infinite.
    """

    unit: str
    higher_is_better: bool
    version: str
    n_images: int
    mean: float | None
    stderr: float | None
    n_nonfinite: int
    per_image: tuple[float | None, ...]
    squared_error_per_image: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IntervalRecord:
    """Intervals of a case, raw and calibrated.

    Attributes:
        level: nominal level, 0.9 for 5-95 %.
        rule: quantile rule.
        n_samples: K.
        ideal_coverage: what exact posterior samples would cover with that rule and K.
        coverage: mean over images of the fraction of values covered.
        coverage_per_image: the same for each image.
        coverage_ci95: confidence interval of the coverage, over photographs; null for one.
        coverage_band: where the coverage lies with probability 0.975 if the target could be any of
            the sampler's own samples: an ideal sampler's, for these images and this K.
        energy_band: the same of the energy score.
        mean_width: mean over images of upper - lower.
        width_per_image: the same for each image.
        winkler: mean interval score, lower is better.
        winkler_per_image: the same for each image.
        scores: name -> value and its 95 % confidence interval, low and high, over photographs:
            winkler, crps and energy (lower is better, in units of the [0, 1] range; the energy
            score over the root of the number of values), spread_skill (ideally 1),
            null_space_width (of intervals of reobservations, ideally 0), duplicate_fraction, and
            the risk in the quarters of an image's values with the shortest to longest intervals.
        rank_histogram: share of the targets' values by their rank among the K samples, ideally
            flat: K+1 shares, means over images.
        tarp_per_image: share of samples nearer to another photograph than the target is; uniform
            over images for an ideal sampler.
        calibration: the calibration's own record.
    """

    level: float
    rule: str
    n_samples: int
    ideal_coverage: float
    coverage: float
    coverage_per_image: tuple[float, ...]
    mean_width: float
    width_per_image: tuple[float, ...]
    winkler: float
    calibration: Mapping[str, Any]
    coverage_ci95: tuple[float | None, float | None] | None = None
    coverage_band: tuple[float, float] | None = None
    energy_band: tuple[float, float] | None = None
    winkler_per_image: tuple[float, ...] = ()
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    rank_histogram: tuple[float, ...] = ()
    tarp_per_image: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SkillRecord:
    """How much better a proper score is than the reference sampler's, on the same images.

    Attributes:
        value: 1 - score / the reference's score: 0 is no better, 1 would be perfect.
        low: lower end of its 95 % confidence interval over photographs; null for one photograph.
        high: its upper end.
        reference: version of the reference sampler.
        per_image: the score for each image.
        reference_per_image: the reference's.
    """

    value: float | None
    low: float | None
    high: float | None
    reference: str
    per_image: tuple[float, ...]
    reference_per_image: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ThroughputRecord:
    """How fast a case sampled.

    Attributes:
        seconds_per_round: one round is all samples of one image.
        samples_per_round: K.
        samples_per_second: K over the median round.
        chunk_size: samples drawn in one call.
        nfe: network evaluations a sample, where the sampler says so.
        peak_allocated_bytes: on a GPU, of an untimed round.
        environment_key: timings compare only within one key.
        first_call_s: seconds of the untimed round before, in which work may be done once for all.
        saved_by_repeating: share of a new round's time that a repeated one saves. A sampler that
            keeps results saves nearly all; its speed is that of new rounds all the same.
    """

    seconds_per_round: tuple[float, ...]
    samples_per_round: int
    samples_per_second: float
    chunk_size: int
    nfe: int | None
    peak_allocated_bytes: int | None
    environment_key: str
    first_call_s: float | None = None
    saved_by_repeating: float | None = None

    @property
    def keeps_results(self) -> bool:
        """Tell whether a repeated round is noticeably faster."""
        return self.saved_by_repeating is not None and self.saved_by_repeating > NOTICEABLE


@dataclass(frozen=True, kw_only=True)
class CalibrationVerdict:
    """Whether samples are spread as the target is.

    Attributes:
        verdict: "calibrated" where coverage and energy score lie within their bands, "under" where
            the sampler is too sure, "over" where its samples vary too much.
        reason: why it was not tested.
        expected: what the limits file declares of the case; null where it has no limits.
    """

    verdict: Spread
    reason: str | None = None
    expected: str | None = None


@dataclass(frozen=True, kw_only=True)
class Breach:
    """Something that a sampler does and that makes its numbers mean something else.

    Attributes:
        name: of the breach, as "irreproducible".
        expected: of any sampler.
        seen: of this one.
    """

    name: str
    expected: str
    seen: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One limit and whether the measured value keeps it.

    Attributes:
        id: what is checked, as ``validity/psnr``.
        value: what was measured.
        op: ``>=`` or ``<=``.
        limit: the bound.
        limit_source: where the bound stands.
        passed: the verdict.
    """

    id: str
    value: float | None
    op: Literal[">=", "<="]
    limit: float
    limit_source: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """Everything measured of one case.

    Attributes:
        case_id: ``<model>-<task>``.
        identity: what the numbers depend on: model, task, data, sampling, metric versions.
        status: "passed" or "failed" where there are limits, else "measured"; or why there is
            nothing to see. A breach of the contract fails where that is asked for.
        reason: why it failed or was skipped.
        validity: metric name -> scores of reobservations.
        target: name -> scores against the target: each metric's mean over samples, "_of_mean" that
            of the samples' mean, "_best" that of the best sample, and "diversity".
        skill: "crps" and "energy" -> how much better than the reference sampler's.
        interval: intervals, if they were measured.
        calibration: what the intervals say of the samples' spread.
        contract: what the sampler does against its contract; null if nobody looked.
        throughput: speed, if it was measured.
        checks: limits and verdicts.
        not_measured: part -> why it was left out, as throughput under pytest-xdist.
        wall_s: seconds the whole case took.
    """

    case_id: str
    identity: Mapping[str, Any]
    status: Status
    reason: str | None = None
    validity: Mapping[str, MetricRecord] = field(default_factory=dict)
    target: Mapping[str, MetricRecord] = field(default_factory=dict)
    skill: Mapping[str, SkillRecord] = field(default_factory=dict)
    interval: IntervalRecord | None = None
    calibration: CalibrationVerdict | None = None
    contract: tuple[Breach, ...] | None = None
    throughput: ThroughputRecord | None = None
    checks: tuple[Check, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)
    wall_s: float = 0.0
    schema: str = CASE_SCHEMA

    @property
    def key(self) -> str:
        """Return the SHA-256 of the identity; cases compare only if it agrees."""
        return sha256(canonical_json(self.identity).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What was asked for, and where: ``run.json``.

    Attributes:
        run_id: name of the run's folder.
        created: when the run, or its latest session, began; ISO 8601, UTC.
        invbench: version.
        argv: the command.
        profile: name of the profile.
        environment: see `machine.describe_environment`.
        expected_cases: ids of all cases there are.
        selected_cases: ids of those that this run was to measure.
        shard: ``i/n``, where this run is one of n parts.
        earlier: sessions that this run resumed: created, invbench, argv and environment of each.
        merged_from: ids of the runs that were merged into this one.
    """

    run_id: str
    created: str
    invbench: str
    argv: tuple[str, ...]
    profile: str
    environment: Mapping[str, Any]
    expected_cases: tuple[str, ...]
    selected_cases: tuple[str, ...] = ()
    shard: str | None = None
    earlier: tuple[Mapping[str, Any], ...] = ()
    merged_from: tuple[str, ...] = ()
    schema: str = RUN_SCHEMA


def to_json(record: CaseRecord) -> str:
    """Return a record as JSON text, with null for what is not finite."""
    return json.dumps({"key": record.key} | finite(asdict(record)), indent=1) + "\n"


def from_json(text: str) -> CaseRecord:
    """Read a record; unknown keys are ignored.

    Raises:
        InvalidRecordError: if it is not JSON, of another schema, incomplete or inconsistent.
    """
    raw = of_schema(text, CASE_SCHEMA)
    record: CaseRecord = build(CaseRecord, raw)
    if raw.get("key") != record.key:
        raise InvalidRecordError("the key is not that of the identity; the record was edited")
    return record


def of_schema(text: str, schema: str) -> dict[str, Any]:
    """Read strict JSON that says it follows a schema.

    Raises:
        InvalidRecordError: if it is not JSON, or of another schema.
    """
    raw = parse(text)
    found = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or found != schema:
        raise InvalidRecordError(f"not of schema {schema} but of {found}; measure it again")
    return raw
