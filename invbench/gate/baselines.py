"""Baselines that lie in the repository: ``<folder>/<device>/<profile>.json``, one file a run.

A baseline changes only by a commit that is reviewed: promote a run, look at the file's difference
(a line a case) and at what ``invbench compare`` says of old and new, and commit it. A run that is
only a little worse than the last would pass the gate again and again; a baseline that stays put
catches the sum.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from invbench.errors import InvbenchError, MissingDataError
from invbench.files import atomic_write
from invbench.gate.snapshots import (
    BASELINE_SCHEMA,
    SCORE_DECIMALS,
    read_snapshot,
    to_entry,
    to_timing_entry,
)
from invbench.runs import MEASURED

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.gate.snapshots import Snapshot


RUN_FACTS = ("run_id", "created", "invbench", "profile", "environment")


class BaselineError(InvbenchError, ValueError):
    """A run cannot become a baseline as it is, or not under that name."""


def promote(
    run: Path, folder: Path, *, name: str | None = None, allow_incomplete: bool = False
) -> tuple[Path, int]:
    """Write what the gate needs of a run into one file, scores rounded to 6 decimals.

    Args:
        run: folder of the run.
        folder: of baselines, ``fixtures/baselines``.
        name: of the file, in place of the profile's.
        allow_incomplete: whether a run with failed, skipped or missing cases will do. Failed
            cases were measured and are kept; the others are left out, and are then new cases.

    Returns:
        The file, and the number of cases in it.

    Raises:
        MissingDataError: if there is no run.
        InvalidRecordError: if it is damaged.
        BaselineError: if it is not complete or measured nothing, or the name is no file name.
        StorageError: if the file cannot be written.
    """
    snapshot = read_snapshot(run)
    name = snapshot.profile if name is None else name
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BaselineError(f"{name!r}: a baseline's name is letters, digits, '.', '_' and '-'")
    problems = _problems(snapshot)
    if problems and not allow_incomplete:
        raise BaselineError(
            f"{run}: {'; '.join(problems)}. Complete the run, or give --allow-incomplete"
        )
    cases = {
        case: json.dumps(to_entry(record))
        for case, record in snapshot.cases.items()
        if record.status in MEASURED and record.validity
    }
    if not cases:
        raise BaselineError(f"{run}: no case was measured")
    timings = {
        case: json.dumps(to_timing_entry(timing)) for case, timing in snapshot.timings.items()
    }
    file = baseline_file(folder, snapshot.device, name)
    head = {
        "schema": BASELINE_SCHEMA,
        "score_decimals": SCORE_DECIMALS,
        "run": {key: snapshot.facts[key] for key in RUN_FACTS if key in snapshot.facts},
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    parts += [f'"cases": {_line_each(cases)}', f'"timings": {_line_each(timings)}']
    text = ",\n".join(parts)
    with atomic_write(file) as stream:
        stream.write(f"{{{text}}}\n".encode())
    return file, len(cases)


def baseline_file(folder: Path, device: str, name: str) -> Path:
    """Return where the baseline of a device lies."""
    return folder / device / f"{name}.json"


def find_baseline(chosen: Path, folder: Path, device: str) -> Path:
    """Return what a user means by a baseline: a file, a run, or a name among a device's.

    Raises:
        MissingDataError: if it is none of them, naming those there are.
    """
    named = baseline_file(folder, device, chosen.name)
    if chosen.exists():
        return chosen
    if chosen.name == str(chosen) and named.is_file():
        return named
    known = ", ".join(sorted(path.stem for path in named.parent.glob("*.json"))) or "none"
    raise MissingDataError(f"{chosen}: no such file, run or baseline of {device} (there: {known})")


def _problems(snapshot: Snapshot) -> list[str]:
    """Say which expected cases did not pass."""
    missing = sorted(set(snapshot.facts.get("expected_cases", ())) - set(snapshot.cases))
    states: dict[str, list[str]] = {"missing": missing} if missing else {}
    for case, record in snapshot.cases.items():
        if record.status not in ("passed", "measured"):
            states.setdefault(record.status, []).append(case)
    return [f"{state}: {', '.join(cases)}" for state, cases in states.items()]


def _line_each(entries: dict[str, str]) -> str:
    lines = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in sorted(entries.items()))
    return f"{{\n{lines}\n}}" if lines else "{}"
