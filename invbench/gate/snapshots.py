"""One side of a comparison: a run's folder, or the file that a run was promoted to."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.runs import CaseRecord, RunStore, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASELINE_SCHEMA = "invbench.baseline/1"
TIMING_SCHEMA = "invbench.timing/1"
SCORE_DECIMALS = 6  # the smallest tolerance is 5000 times as large
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
        facts: what ``run.json`` says.
        cases: id -> record.
        timings: id -> timing, of the cases that were timed.
    """

    name: str
    profile: str
    device: str
    facts: Mapping[str, Any]
    cases: Mapping[str, CaseRecord]
    timings: Mapping[str, Timing]


def read_snapshot(path: Path) -> Snapshot:
    """Read a run's folder, or a baseline's file.

    Raises:
        MissingDataError: if there is neither.
        InvalidRecordError: if a file is damaged.
    """
    return _read_baseline(path) if path.is_file() else _read_run(path)


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
    """Return a record as the JSON that a baseline holds: numbers rounded, checks left out."""
    entry: dict[str, Any] = json.loads(to_json(record))
    for part in ("validity", "interval"):
        entry[part] = _rounded(entry[part], lambda number: round(number, SCORE_DECIMALS))
    entry["throughput"] = _rounded(
        entry["throughput"], lambda number: float(f"{number:.{TIMING_DIGITS}g}")
    )
    return entry | {"checks": [], "wall_s": 0.0}


def from_entry(entry: Any) -> CaseRecord:
    """Return the record that an entry holds.

    Raises:
        InvalidRecordError: if it is incomplete or was edited.
    """
    return from_json(json.dumps(entry))


def to_timing_entry(timing: Timing) -> dict[str, Any]:
    """Return a timing as JSON."""
    return _rounded(asdict(timing), lambda number: float(f"{number:.{TIMING_DIGITS}g}"))  # type: ignore[no-any-return]


def _read_run(folder: Path) -> Snapshot:
    store = RunStore(folder)
    facts = store.read_run()
    records = [record for name in store.case_ids() if (record := store.read_case(name))]
    cases = {record.case_id: from_entry(to_entry(record)) for record in records}
    file = folder / "timing.json"
    timings = {
        name: Timing(
            environment_key=record.throughput.environment_key,
            samples_per_round=record.throughput.samples_per_round,
            seconds=(record.throughput.seconds_per_round,),
        )
        for name, record in cases.items()
        if record.throughput
    }
    if file.is_file():
        timings |= _timings(_read_json(file, TIMING_SCHEMA).get("cases", {}), file)
    return _snapshot(folder, facts, cases, timings)


def _read_baseline(file: Path) -> Snapshot:
    raw = _read_json(file, BASELINE_SCHEMA)
    try:
        cases = {name: from_entry(entry) for name, entry in raw["cases"].items()}
        return _snapshot(file, raw["run"], cases, _timings(raw["timings"], file))
    except (KeyError, AttributeError) as error:
        raise InvalidRecordError(f"{file}: not a baseline, {error} is missing") from error
    except InvalidRecordError as error:
        raise InvalidRecordError(f"{file}: {error}") from error


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


def _read_json(file: Path, schema: str) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text())
    except ValueError as error:
        raise InvalidRecordError(f"{file}: not JSON ({error})") from error
    except OSError as error:
        raise MissingDataError(f"{file}: cannot be read ({error.strerror})") from error
    if not isinstance(raw, dict) or raw.get("schema") != schema:
        raise InvalidRecordError(f"{file}: not of schema {schema}")
    return raw


def _timings(raw: Any, file: Path) -> dict[str, Timing]:
    try:
        return {
            name: Timing(
                environment_key=str(entry["environment_key"]),
                samples_per_round=int(entry["samples_per_round"]),
                seconds=tuple(
                    tuple(float(second) for second in process) for process in entry["seconds"]
                ),
            )
            for name, entry in raw.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRecordError(f"{file}: timings are incomplete ({error!r})") from error


def _rounded(value: Any, to: Any) -> Any:
    if isinstance(value, float):
        return to(value)
    if isinstance(value, dict):
        return {key: _rounded(item, to) for key, item in value.items()}
    return [_rounded(item, to) for item in value] if isinstance(value, (list, tuple)) else value


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
