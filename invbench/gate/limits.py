"""Limits that a record must keep, from a TOML file. No torch here.

The file states what was measured and how far below that a result may fall::

    [slack]
    psnr = 0.5

    [tiny.chimle-sr16]
    psnr = 27.9
    expected = "under"

``expected`` declares a case whose samples are known to be spread too little ("under") or too much
("over"); a case with limits and no such line is expected to be calibrated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping  # noqa: TC003  `build` asks for the types of fields
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.escaping import toml_key
from invbench.files import atomic_write
from invbench.runs import CalibrationVerdict, CaseRecord, Check, IntervalRecord, build
from invbench.runs.typed_json import named, read_toml

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.runs import RunStore

# Coverage, and scores that no other intervals than the true ones can win (proper scores). Width is
# none: a sampler that learnt more has narrower intervals, one that is too sure has them as well.
OF_INTERVALS = {"coverage": True, "winkler": False, "crps": False}  # whether higher is better

# A sampler this valid errs in a few single roundings to 8 bits, which another CPU may turn
CEILINGS = {"psnr": 50.0}

EXPECTED = "expected"


NO_LIMITS = ", no limits; make them with `invbench limits RUN FILE`"
NO_SLACK = "; begin it with a table [slack]: how much of each quantity may be lost"


def read_limits(path: Path, *, hint: str = NO_LIMITS) -> dict[str, Any]:
    """Read a limits file; the hint says what to do if there is none.

    Raises:
        MissingDataError: if there is none.
        InvalidRecordError: if it is not TOML, or a measured quantity has no slack.
    """
    limits = read_toml(path, hint=hint)
    try:
        _check_values(limits)
    except InvalidRecordError as error:
        raise named(error, path, "mend it, as in fixtures/thresholds.toml") from error
    for profile, cases in limits.items():
        names = {name for case in cases.values() for name in case} if profile != "slack" else set()
        if missing := names - {*limits["slack"], EXPECTED}:
            raise InvalidRecordError(f"{path}: no slack for {', '.join(sorted(missing))}")
    return limits


def _check_values(limits: dict[str, Any]) -> None:
    """Refuse what is not a table of finite numbers, by profile and case."""
    build(_Slack, limits)
    for profile in limits.keys() - {"slack"}:
        for case, values in build(_Cases, {"cases": limits[profile]}, profile).cases.items():
            numbers = {name: value for name, value in values.items() if name != EXPECTED}
            build(_Slack, {"slack": numbers}, f"{profile}.{case}")
            declared = {"verdict": values.get(EXPECTED, "calibrated")}
            build(CalibrationVerdict, declared, f"{profile}.{case}")


@dataclass(frozen=True)
class _Slack:
    """A table of numbers."""

    slack: Mapping[str, float]


@dataclass(frozen=True)
class _Cases:
    """The tables of a profile."""

    cases: Mapping[str, Mapping[str, Any]]


def write_limits(path: Path, store: RunStore) -> int:
    """Replace the limits of a run's cases by what it measured; slack and all others are kept.

    Comments at the top of the file are kept, others are not. No PSNR above 50 dB is asked for,
    however high it was.

    Returns:
        The number of cases written.

    Raises:
        MissingDataError: if the run has no measured case, there is no limits file, or the file
            states no slack for something that was measured.
        StorageError: if the file cannot be written.
    """
    limits = read_limits(path, hint=NO_SLACK)
    records = store.read_cases()
    cases = {
        record.case_id: {
            name: min(round(value, 4), CEILINGS.get(name, math.inf))
            for name, (value, _) in quantities(record).items()
            if value
        }
        | _declaration(record)
        for record in records
        if record.validity
    }
    if not cases:
        raise MissingDataError(f"{store.folder}: no case was measured")
    if unknown := set().union(*cases.values()) - {*limits["slack"], EXPECTED}:
        raise MissingDataError(
            f"{path}: state in [slack] how much of {', '.join(sorted(unknown))} may be lost"
        )
    profile = store.read_run()["profile"]
    limits[profile] = limits.get(profile, {}) | cases
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    head = "".join(takewhile(lambda line: line.strip()[:1] in ("", "#"), lines))
    with atomic_write(path) as stream:
        stream.write(f"{head}{_to_toml(limits)}".encode())
    return len(cases)


def quantities(record: CaseRecord) -> dict[str, tuple[float | None, bool]]:
    """Return what limits can be set on: name -> (value, whether higher is better)."""
    found = {name: (m.mean, m.higher_is_better) for name, m in record.validity.items()}
    if record.interval:
        scores = record.interval.scores
        measured = {
            "coverage": record.interval.coverage,
            "winkler": record.interval.winkler,
            "crps": scores["crps"]["value"] if "crps" in scores else None,
        }
        found |= {name: (measured[name], higher) for name, higher in OF_INTERVALS.items()}
    return found


def apply_limits(
    record: CaseRecord, limits: Mapping[str, Any], *, profile: str, source: str
) -> CaseRecord:
    """Check a record against the limits of its case; the direction is the metric's own.

    Only quantities that stand in the file under this profile and case are checked: a score made
    with other LPIPS weights has another name, and so no limit. Where coverage has a limit it has
    another one above, see `_excess`. Without any limit a record stays what it is: measured.
    """
    expected = limits.get(profile, {}).get(record.case_id, {})
    measured = quantities(record)
    checks = []
    for name, value in expected.items():
        if name not in measured:  # as what is declared
            continue
        found, higher_is_better = measured[name]
        slack = limits["slack"][name]
        limit = value - slack if higher_is_better else value + slack
        passed = found is not None and (found >= limit if higher_is_better else found <= limit)
        family = "interval" if name in OF_INTERVALS else "validity"
        checks.append(
            Check(
                id=f"{family}/{name}",
                value=found,
                op=">=" if higher_is_better else "<=",
                limit=limit,
                limit_source=source,
                passed=passed,
            )
        )
    if "coverage" in expected and record.interval and record.interval.coverage_band:
        checks.append(_excess(record.interval, expected["coverage"], limits, source))
    if not checks:
        return replace(record, checks=())
    failed = [check for check in checks if not check.passed]
    reason = "; ".join(f"{c.id} {_shown(c.value)}, limit {c.op} {c.limit:.4g}" for c in failed)
    return replace(
        record,
        checks=tuple(checks),
        status="failed" if failed else "passed",
        calibration=record.calibration
        and replace(record.calibration, expected=expected.get(EXPECTED, "calibrated")),
        reason=reason or record.reason,
    )


def _declaration(record: CaseRecord) -> dict[str, str]:
    """Declare what a record says of the spread, if that is not that it is calibrated."""
    verdict = record.calibration.verdict if record.calibration else None
    return {EXPECTED: verdict} if verdict in ("under", "over") else {}


def _excess(
    interval: IntervalRecord, stated: float, limits: Mapping[str, Any], source: str
) -> Check:
    """Check that samples are not spread too much: coverage may be too high as well as too low.

    More coverage than stated is welcome up to what an ideal sampler reaches, the upper end of the
    record's band; beyond that it can only come from intervals that are too wide. Weights whose
    stated coverage is beyond it already must not get worse. Both bounds are given the slack.
    """
    band = interval.coverage_band or (0.0, 1.0)
    limit = max(band[1], stated) + limits["slack"]["coverage"]
    return Check(
        id="interval/coverage_excess",
        value=interval.coverage,
        op="<=",
        limit=limit,
        limit_source=f"{source} and the ideal sampler's band",
        passed=interval.coverage <= limit,
    )


def _to_toml(limits: Mapping[str, Any]) -> str:
    tables = [("slack", limits["slack"])]
    tables += [
        (f"{toml_key(profile)}.{toml_key(case)}", values)
        for profile, cases in limits.items()
        if profile != "slack"
        for case, values in sorted(cases.items())
    ]
    return "\n".join(
        "\n".join(
            [f"[{name}]", *(f"{toml_key(k)} = {json.dumps(v)}" for k, v in values.items()), ""]
        )
        for name, values in tables
    )


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
