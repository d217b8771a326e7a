"""Baselines that lie in the repository: ``<folder>/<device>/<profile>.json``.

A baseline changes only by a commit that is reviewed: promote a run, look at the file's difference
(a line a case) and at what ``invbench compare`` says of old and new, and commit it. A run that is
only a little worse than the last would pass the gate again and again; a baseline that is pinned at
a release and stays put catches the sum.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from invbench.errors import InvbenchError, MissingDataError
from invbench.files import atomic_write, is_file, is_there
from invbench.gate.snapshots import (
    BASELINE_SCHEMA,
    SCORE_DECIMALS,
    read_snapshot,
    to_entry,
    to_timing_entry,
)
from invbench.runs import MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from invbench.gate.snapshots import Snapshot
    from invbench.runs import CaseRecord

RUN_FACTS = ("run_id", "created", "invbench", "profile", "environment")


class BaselineError(InvbenchError, ValueError):
    """A run cannot become a baseline as it is, or not under that name."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What became of a run that was promoted.

    Attributes:
        file: the baseline.
        cases: ids that the run measured, now in the file as it measured them.
        kept: ids that were in the file before and that the run did not measure.
    """

    file: Path
    cases: tuple[str, ...]
    kept: tuple[str, ...]


def promote(
    run: Path,
    folder: Path,
    *,
    name: str | None = None,
    release: str | None = None,
    allow_incomplete: bool = False,
) -> Promotion:
    """Write what the gate needs of a run into one file, scores rounded to 6 decimals.

    Cases that the file holds and the run did not measure stay as they are, so a run of one's own
    samplers joins the others.

    Args:
        run: folder of the run.
        folder: of baselines, `BASELINES`.
        name: of the file, in place of the profile's.
        release: name of a release: the file is the one of releases, ``<profile>.release.json``,
            which the gate compares with as well.
        allow_incomplete: whether a run in which selected cases failed, were skipped or are missing
            will do. Failed cases were measured and are taken; the others are left out.

    Raises:
        MissingDataError: if there is no run.
        InvalidRecordError: if it, or the file that is there, is damaged.
        BaselineError: if it is not complete or measured nothing, or the name is no file name.
        StorageError: if the file cannot be written.
    """
    snapshot = read_snapshot(run)
    if name is None:
        name = release_name(snapshot.profile) if release else snapshot.profile
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BaselineError(f"{name!r}: a baseline's name is of a-z, A-Z, 0-9, '.', '_' and '-'")
    measured = _measured(snapshot, allow_incomplete=allow_incomplete)
    file = baseline_file(folder, snapshot.device, name)
    before = read_snapshot(file) if is_file(file) else None
    kept = sorted(before.cases.keys() - measured.keys()) if before else []
    facts = {key: snapshot.facts[key] for key in RUN_FACTS if key in snapshot.facts}
    facts |= {"release": release} if release else {}
    with atomic_write(file) as stream:
        stream.write(_text(replace(snapshot, cases=measured, facts=facts), before, kept).encode())
    return Promotion(file=file, cases=tuple(sorted(measured)), kept=tuple(kept))


def _measured(snapshot: Snapshot, *, allow_incomplete: bool) -> dict[str, CaseRecord]:
    """Return what was measured of the cases that were asked for."""
    problems = _problems(snapshot)
    if problems and not allow_incomplete:
        raise BaselineError(
            f"{snapshot.name}: {'; '.join(problems)}. Complete the run, or give --allow-incomplete"
        )
    measured = {
        case: record
        for case, record in snapshot.cases.items()
        if record.status in MEASURED and record.validity
    }
    if not measured:
        raise BaselineError(f"{snapshot.name}: no case was measured")
    return measured


def release_name(profile: str) -> str:
    """Return the name of the baseline that a profile's release is pinned in."""
    return f"{profile}.release"


def baseline_file(folder: Path, device: str, name: str) -> Path:
    """Return where the baseline of a device lies."""
    return folder / device / f"{name}.json"


def find_baseline(chosen: Path, folders: Sequence[Path], device: str) -> Path:
    """Return what a user means by a baseline: a file, a run, or a name among a device's.

    Raises:
        MissingDataError: if it is none of them, naming those there are.
    """
    if is_there(chosen):
        return chosen
    for folder in folders:
        named = baseline_file(folder, device, chosen.name)
        if chosen.name == str(chosen) and is_file(named):
            return named
    known = sorted({path.stem for folder in folders for path in (folder / device).glob("*.json")})
    raise MissingDataError(
        f"{chosen}: no such file, run or baseline of {device} (there: {', '.join(known) or 'none'})"
    )


def read_baselines(folders: Sequence[Path], device: str, name: str) -> Snapshot | None:
    """Read a device's baseline from the folders that hold one, or return None.

    A case is taken from the first folder that has it: one's own baseline comes before the one that
    lies with the suite, which still holds for the cases of the suite.
    """
    files = dict.fromkeys(baseline_file(folder, device, name).resolve() for folder in folders)
    found = [read_snapshot(file) for file in files if is_file(file)]
    if not found:
        return None
    joined = found[0]
    for other in found[1:]:
        joined = replace(
            joined,
            name=f"{joined.name} and {other.name}",
            cases={**other.cases, **joined.cases},
            timings={**other.timings, **joined.timings},
            sources={**other.sources, **joined.sources},
        )
    return joined


def _text(snapshot: Snapshot, before: Snapshot | None, kept: Sequence[str]) -> str:
    """Return the file: a line a case, its run's facts stated once."""
    runs: dict[str, Mapping[str, Any]] = {}

    def name_of(facts: Mapping[str, Any]) -> str:
        known = [name for name, stated in runs.items() if stated == facts]
        name = str(facts.get("run_id"))
        while not known and name in runs:
            name += "'"
        runs.setdefault(known[0] if known else name, facts)
        return known[0] if known else name

    cases, timings = {}, dict(snapshot.timings)
    for case, record in snapshot.cases.items():
        cases[case] = {"run": name_of(snapshot.facts), **to_entry(record)}
    if before:
        for case in kept:
            cases[case] = {"run": name_of(before.facts_of(case)), **to_entry(before.cases[case])}
        timings = {**before.timings, **timings}
    head = {"schema": BASELINE_SCHEMA, "score_decimals": SCORE_DECIMALS, "runs": runs}
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    parts.append(f'"cases": {_line_each(cases)}')
    parts.append(f'"timings": {_line_each({c: to_timing_entry(t) for c, t in timings.items()})}')
    return "{" + ",\n".join(parts) + "}\n"


def _problems(snapshot: Snapshot) -> list[str]:
    """Say which of the cases that were to be measured did not pass."""
    facts = snapshot.facts
    asked = set(facts.get("selected_cases") or facts.get("expected_cases") or ())
    missing = sorted(asked - set(snapshot.cases))
    states: dict[str, list[str]] = {"missing": missing} if missing else {}
    for case, record in snapshot.cases.items():
        if record.status not in ("passed", "measured", "declined"):
            states.setdefault(record.status, []).append(case)
    return [f"{state}: {', '.join(cases)}" for state, cases in states.items()]


def _line_each(entries: Mapping[str, Any]) -> str:
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(entries.items())
    )
    return f"{{\n{lines}\n}}" if lines else "{}"
