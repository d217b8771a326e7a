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
from invbench.runs.measurements import (  # noqa: TC001  readers ask for the types of fields
    IntervalRecord,
    MetricRecord,
    NoiseFitRecord,
    SkillRecord,
    ThroughputRecord,
    WorldRecord,
)
from invbench.runs.plain_json import canonical_json, finite
from invbench.runs.relied import Environment, Identity, IntervalScores
from invbench.runs.typed_json import UPDATE, build, parse

CASE_SCHEMA = "invbench.case/2"
RUN_SCHEMA = "invbench.run/1"

Status = Literal["passed", "failed", "measured", "skipped", "declined", "error"]
MEASURED = ("passed", "failed", "measured")  # the states of a case that has scores
Spread = Literal["calibrated", "under", "over", "not tested"]


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
class ExecutionRecord:
    """By whom a case was measured, where that was not the process that began the run.

    Attributes:
        executor: "slurm" or "ray".
        node: name of the worker's machine; null if no worker lived to the end.
        environment_key: of that machine, see `machine.device_key`.
        lost_workers: what is known of each worker that died before.
    """

    executor: str
    node: str | None = None
    environment_key: str | None = None
    lost_workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """Everything measured of one case.

    Attributes:
        case_id: ``<model>-<task>``.
        identity: what the numbers depend on: model, task, data, sampling, metric versions.
        status: "passed" or "failed" where there are limits, else "measured"; or why there is
            nothing to see: "skipped" for want of weights, "declined" by a sampler that is not made
            for the problem, or "error". A breach of the contract fails where that is asked for.
        reason: why it failed or was not measured.
        validity: metric name -> scores of reobservations. With noise there is one, the distance of
            chi-squared from 1: more likeness to a noisy observation would be no better.
        noise_fit: chi-squared, where the task has noise.
        target: name -> scores against the target: each metric's mean over samples, "_of_mean" that
            of the samples' mean, "_best" that of the best sample; and
            "diversity", how much nearer the best sample of each pixel comes than the best sample,
            by squared errors.
        skill: "crps" and "energy" -> how much better than the reference sampler's.
        reference: what the reference sampler reaches on the same images, means over them: "psnr",
            "coverage" and "crps".
        world: where images are draws of a known law, "bias", "spread", "coverage" and
            "sliced_wasserstein" of the samples, each beside the band of exact samples.
        interval: intervals, if they were measured.
        calibration: what the intervals say of the samples' spread.
        spread: width, null_space_width and duplicate_fraction, where there is no target to hold
            intervals against; else they are among the intervals.
        contract: what the sampler does against its contract; null if nobody looked.
        throughput: speed, if it was measured.
        checks: limits and verdicts.
        not_measured: part -> why it was left out, as throughput under pytest-xdist.
        left_out: what could not be scored, as files that cannot be read, and why.
        remarks: what else is to be known of the data.
        execution: the worker that measured the case; null for the process that began the run.
        wall_s: seconds the whole case took.
    """

    case_id: str
    identity: Mapping[str, Any]
    status: Status
    reason: str | None = None
    validity: Mapping[str, MetricRecord] = field(default_factory=dict)
    noise_fit: NoiseFitRecord | None = None
    target: Mapping[str, MetricRecord] = field(default_factory=dict)
    skill: Mapping[str, SkillRecord] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    world: Mapping[str, WorldRecord] = field(default_factory=dict)
    interval: IntervalRecord | None = None
    calibration: CalibrationVerdict | None = None
    spread: Mapping[str, MetricRecord] = field(default_factory=dict)
    contract: tuple[Breach, ...] | None = None
    throughput: ThroughputRecord | None = None
    checks: tuple[Check, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    execution: ExecutionRecord | None = None
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
    return from_parsed(parse(text))


def from_parsed(raw: Any) -> CaseRecord:
    """Build a record from parsed JSON, as `from_json` does from text."""
    raw = of_schema(raw, CASE_SCHEMA)
    record: CaseRecord = build(CaseRecord, raw)
    build(Identity, record.identity, "identity")
    if record.interval:
        build(IntervalScores, {"scores": dict(record.interval.scores)}, "interval")
    if raw.get("key") != record.key:
        raise InvalidRecordError("the key is not that of the identity; the record was edited")
    _require_one_an_image(record)
    return record


def _require_one_an_image(record: CaseRecord) -> None:
    """Refuse a record whose lists of one number an image differ in length."""
    metrics = {**record.validity, **record.target, **record.spread}
    data = record.identity["task"].get("dataset") or {}
    lengths = {name: len(metric.per_image) for name, metric in metrics.items()}
    lengths |= {f"n_images of {name}": metric.n_images for name, metric in metrics.items()}
    lengths |= {name: len(data[name]) for name in ("image_ids", "groups") if name in data}
    if record.interval:
        lengths["coverage"] = len(record.interval.coverage_per_image)
    if record.validity and not (len(set(lengths.values())) == 1 and min(lengths.values()) > 0):
        counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidRecordError(f"not one number for each image: {counts}")


def read_facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ``run.json`` says, once every value is of its type.

    Raises:
        InvalidRecordError: naming the place of one that is not.
    """
    build(RunRecord, raw)
    build(Environment, raw["environment"], "environment")
    return dict(raw)


def of_schema(raw: Any, schema: str) -> dict[str, Any]:
    """Return parsed JSON that says it follows a schema.

    Raises:
        InvalidRecordError: if it is of another schema, or none.
    """
    if not isinstance(raw, dict):
        raise InvalidRecordError(f"no object of schema {schema}")
    found = raw.get("schema")
    if found != schema:
        newer = f"; a newer invbench wrote it: {UPDATE}" if _is_newer(found, schema) else ""
        raise InvalidRecordError(f"not of schema {schema} but of {found}{newer}")
    return raw


def _is_newer(found: Any, schema: str) -> bool:
    """Tell whether a schema is a later version of one of ours.

    >>> _is_newer("run/10", "run/9"), _is_newer("run/1", "run/2")
    (True, False)
    """
    name, _, number = str(found).rpartition("/")
    ours, _, known = schema.rpartition("/")
    return name == ours and number.isdecimal() and len(number) < 9 and int(number) > int(known)
