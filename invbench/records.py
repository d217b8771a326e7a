"""What a run leaves behind: frozen records that are JSON on disk. No torch here.

Numbers are plain floats in SI units named in the key; what is not finite is null, never NaN.
Within version 1 of the schema, keys may be added and are never removed.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from invbench.errors import InvalidRecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CASE_SCHEMA = "invbench.case/1"
RUN_SCHEMA = "invbench.run/1"

Status = Literal["passed", "failed", "skipped", "error"]


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
    """

    unit: str
    higher_is_better: bool
    version: str
    n_images: int
    mean: float | None
    stderr: float | None
    n_nonfinite: int
    per_image: tuple[float | None, ...]


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
        mean_width: mean over images of upper - lower.
        width_per_image: the same for each image.
        winkler: mean interval score, lower is better.
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
    """

    seconds_per_round: tuple[float, ...]
    samples_per_round: int
    samples_per_second: float
    chunk_size: int
    nfe: int | None
    peak_allocated_bytes: int | None
    environment_key: str


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
        status: the verdict.
        reason: why it failed or was skipped.
        validity: metric name -> scores of reobservations.
        interval: intervals, if they were measured.
        throughput: speed, if it was measured.
        checks: limits and verdicts.
        wall_s: seconds the whole case took.
    """

    case_id: str
    identity: Mapping[str, Any]
    status: Status
    reason: str | None = None
    validity: Mapping[str, MetricRecord] = field(default_factory=dict)
    interval: IntervalRecord | None = None
    throughput: ThroughputRecord | None = None
    checks: tuple[Check, ...] = ()
    wall_s: float = 0.0
    schema: str = CASE_SCHEMA

    @property
    def key(self) -> str:
        """Return the SHA-256 of the identity; cases compare only if it agrees."""
        return sha256(canonical_json(self.identity).encode()).hexdigest()


def to_json(record: CaseRecord) -> str:
    """Return a record as JSON text, with null for what is not finite."""
    return json.dumps({"key": record.key} | finite(asdict(record)), indent=1) + "\n"


def from_json(text: str) -> CaseRecord:
    """Read a record; unknown keys are ignored.

    Raises:
        InvalidRecordError: if it is not JSON, of another schema, incomplete or inconsistent.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRecordError(f"not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != CASE_SCHEMA:
        raise InvalidRecordError(f"not of schema {CASE_SCHEMA}")
    try:
        record: CaseRecord = _build(CaseRecord, raw)
    except (TypeError, AttributeError) as error:
        raise InvalidRecordError(f"incomplete record: {error}") from error
    if raw.get("key") != record.key:
        raise InvalidRecordError("the key is not that of the identity; the record was edited")
    return record


def canonical_json(value: Any) -> str:
    """Return JSON text that is equal for equal values."""
    return json.dumps(finite(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def finite(value: Any) -> Any:
    """Replace every number that is not finite by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _build(cls: Any, raw: Mapping[str, Any]) -> Any:
    """Build a record class from JSON: lists become tuples, nested records are built in turn."""
    values = {item.name: raw[item.name] for item in fields(cls) if item.name in raw}
    for name, value in values.items():
        nested = _NESTED.get((cls, name))
        if nested is not None and value is not None:
            values[name] = nested(value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return cls(**values)


_NESTED: dict[tuple[Any, str], Callable[[Any], Any]] = {
    (CaseRecord, "validity"): lambda raw: {k: _build(MetricRecord, v) for k, v in raw.items()},
    (CaseRecord, "interval"): lambda raw: _build(IntervalRecord, raw),
    (CaseRecord, "throughput"): lambda raw: _build(ThroughputRecord, raw),
    (CaseRecord, "checks"): lambda raw: tuple(_build(Check, item) for item in raw),
}
