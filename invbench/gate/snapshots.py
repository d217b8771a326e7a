"""One side of a comparison: a run's folder, or the file that a run was promoted to."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping  # noqa: TC003  readers ask for the types of fields
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.files import is_file, is_there
from invbench.runs import CaseRecord, RunStore, build, to_json
from invbench.runs.plain_json import canonical_json
from invbench.runs.records import from_parsed, of_schema
from invbench.runs.relied import RunFacts  # noqa: TC001  readers ask for the types of fields
from invbench.runs.typed_json import named, read_json

BASELINES = Path("fixtures", "baselines")  # below the folder that one works in, and the suite's
BASELINE_SCHEMA = "invbench.baseline/2"
PROMOTE = "restore the file, or promote a run again"
SCORE_DECIMALS = 6  # the smallest tolerance is 5000 times as large
MEAN_ERROR = 2e-6  # between a rounded mean and the mean of rounded scores, relative above 1
TIMING_DIGITS = 6  # significant


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds that a case's rounds took, by process.

    Attributes:
        environment_key: timings compare only within one key.
        samples_per_round: samples drawn in a round.
        seconds: for each process its rounds.
    """

    environment_key: str
    samples_per_round: int
    seconds: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the gate needs of a run. Scores are rounded to `SCORE_DECIMALS` on either side.

    Attributes:
        name: where it was read from.
        profile: of the run.
        device: slug of what scores may depend on, see `device_slug`.
        facts: what ``run.json`` says; of a baseline, the run that was promoted last.
        cases: id -> record.
        timings: id -> timing, of the cases that were timed.
        sources: id -> what ``run.json`` said of the run that a case of a baseline is from.
    """

    name: str
    profile: str
    device: str
    facts: Mapping[str, Any]
    cases: Mapping[str, CaseRecord]
    timings: Mapping[str, Timing]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def facts_of(self, case: str) -> Mapping[str, Any]:
        """Return what ``run.json`` said of the run that measured a case."""
        return self.sources.get(case, self.facts)


def read_snapshot(path: Path) -> Snapshot:
    """Read a run's folder, or a baseline's file.

    Raises:
        MissingDataError: if there is neither, naming the baselines below where the user works.
        InvalidRecordError: if a file is damaged.
    """
    if not is_there(path):
        known = ", ".join(map(str, sorted(BASELINES.glob("*/*.json"))))
        hint = f"; baselines here: {known}" if known else ""
        raise MissingDataError(f"{path}: no such file or folder{hint}")
    return _read_baseline(path) if is_file(path) else _read_run(path)


def device_slug(environment: Mapping[str, Any]) -> str:
    """Return the folder name of a device: the GPU's name, or ``cpu``.

    Scores of one seed differ between CPUs by float rounding, far below any tolerance, so all CPUs
    share a baseline. GPUs choose among algorithms and get one for each kind. Versions of CUDA and
    torch are left out: that they change nothing is for the gate to find.

    >>> device_slug({"gpu": {"name": "NVIDIA H100 80GB HBM3"}}), device_slug({"gpu": None})
    ('nvidia-h100-80gb-hbm3', 'cpu')
    """
    gpu = environment.get("gpu")
    return _slug(gpu["name"]) if gpu else "cpu"


def to_entry(record: CaseRecord) -> dict[str, Any]:
    """Return a record as the JSON that a baseline holds: numbers rounded, checks left out.

    ``digest`` is the SHA-256 of all the rest, so that an edit is noticed.
    """
    entry: dict[str, Any] = json.loads(to_json(record))
    for part in ("validity", "interval", "skill"):
        entry[part] = _rounded(entry[part], lambda number: round(number, SCORE_DECIMALS))
    entry["throughput"] = _rounded(
        entry["throughput"], lambda number: float(f"{number:.{TIMING_DIGITS}g}")
    )
    entry |= {"checks": [], "wall_s": 0.0}
    return entry | {"digest": _digest(entry)}


def from_entry(entry: Any) -> CaseRecord:
    """Return the record that an entry holds.

    Raises:
        InvalidRecordError: if it is incomplete or was edited, or a mean is not that of its scores.
    """
    if not isinstance(entry, dict) or entry.get("digest") != _digest(entry):
        name = entry.get("case_id") if isinstance(entry, dict) else "an entry"
        raise InvalidRecordError(f"{name}: does not agree with its digest; it was edited")
    record = from_parsed(entry)
    _check_means(record)
    return record


def to_timing_entry(timing: Timing) -> dict[str, Any]:
    """Return a timing as JSON."""
    return _rounded(asdict(timing), lambda number: float(f"{number:.{TIMING_DIGITS}g}"))  # type: ignore[no-any-return]


def _read_run(folder: Path) -> Snapshot:
    store = RunStore(folder)
    facts = store.read_run()
    records = store.read_cases()
    cases = {record.case_id: from_entry(to_entry(record)) for record in records}
    apart = store.read_timing()
    timings = {
        name: Timing(
            environment_key=record.throughput.environment_key,
            samples_per_round=record.throughput.samples_per_round,
            seconds=(record.throughput.seconds_per_round,),
        )
        for name, record in cases.items()
        if record.throughput
    }
    for name, timed in (apart.cases if apart else {}).items():
        timings[name] = Timing(
            environment_key=timed.environment_key,
            samples_per_round=timed.samples_per_round,
            seconds=timed.seconds,
        )
    return _snapshot(folder, facts, cases, timings)


def _read_baseline(file: Path) -> Snapshot:
    try:
        raw = of_schema(read_json(file), BASELINE_SCHEMA)
        held: _Baseline = build(_Baseline, raw)
        cases = {name: from_entry(entry) for name, entry in held.cases.items()}
        sources = {name: raw["runs"][entry["run"]] for name, entry in held.cases.items()}
        latest = max(raw["runs"].values(), key=lambda facts: str(facts.get("created")))
        found = _snapshot(file, latest, cases, held.timings)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InvalidRecordError):
            raise named(error, file, PROMOTE) from error
        raise InvalidRecordError(
            f"{file}: not a baseline, a run is not stated; {PROMOTE}"
        ) from error
    return replace(found, sources=sources)


@dataclass(frozen=True, kw_only=True)
class _Baseline:
    """A baseline's file, see `baselines.promote`."""

    runs: Mapping[str, RunFacts]
    cases: Mapping[str, Mapping[str, Any]]
    timings: Mapping[str, Timing]


def _digest(entry: dict[str, Any]) -> str:
    """Return the digest of an entry; which run it is from is said by the file around it."""
    content = {key: value for key, value in entry.items() if key not in ("digest", "run")}
    return sha256(canonical_json(content).encode()).hexdigest()


def _check_means(record: CaseRecord) -> None:
    """Refuse a record in which a mean is not the mean of the scores of its images."""
    stated = {name: (metric.mean, metric.per_image) for name, metric in record.validity.items()}
    if record.interval:
        stated["coverage"] = record.interval.coverage, record.interval.coverage_per_image
        if record.interval.winkler_per_image:
            stated["winkler"] = record.interval.winkler, record.interval.winkler_per_image
    for name, (mean, values) in stated.items():
        finite = [value for value in values if value is not None]
        if mean is None or len(finite) < len(values) or not finite:
            continue
        found = math.fsum(finite) / len(finite)
        if abs(mean - found) > MEAN_ERROR * max(1.0, abs(found)):
            raise InvalidRecordError(
                f"{record.case_id}: {name} {mean:g} is not the mean of its images, {found:g}"
            )


def _snapshot(
    path: Path,
    facts: Mapping[str, Any],
    cases: Mapping[str, CaseRecord],
    timings: Mapping[str, Timing],
) -> Snapshot:
    try:
        profile, device = str(facts["profile"]), device_slug(facts["environment"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRecordError(f"{path}: profile or environment is not stated") from error
    return Snapshot(
        name=str(path), profile=profile, device=device, facts=facts, cases=cases, timings=timings
    )


def _rounded(value: Any, to: Any) -> Any:
    if isinstance(value, float):
        return to(value)
    if isinstance(value, dict):
        return {key: _rounded(item, to) for key, item in value.items()}
    return [_rounded(item, to) for item in value] if isinstance(value, (list, tuple)) else value


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
