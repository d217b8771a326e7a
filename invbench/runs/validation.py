"""Finding what is wrong with a run's folder, file by file. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import InvalidRecordError, InvbenchError, MissingDataError
from invbench.runs.records import (
    CASE_SCHEMA,
    RUN_SCHEMA,
    RunRecord,
    from_json,
)
from invbench.runs.store import RunStore
from invbench.runs.timing import TIMING_SCHEMA, TimingRecord
from invbench.runs.typed_json import build, parse

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file or folder of a run.

    Attributes:
        path: the file or folder.
        error: name of the error.
        message: what is wrong, and what to do.
    """

    path: Path
    error: str
    message: str


def validate(path: Path) -> list[Problem]:
    """Check a run's folder, or one file of a run.

    A folder is whole if ``run.json`` and every record follow their schema, records agree with
    their identity and their scores, and every case that the run was to measure has a record.

    Raises:
        MissingDataError: if nothing is there.
    """
    if not path.exists():
        raise MissingDataError(f"{path}: no such file or folder")
    return _folder(path) if path.is_dir() else _file(path)


def _folder(folder: Path) -> list[Problem]:
    store = RunStore(folder)
    problems = []
    try:
        facts = store.read_run()
        selected = build(RunRecord, facts).selected_cases
    except InvbenchError as error:
        problems.append(_problem(folder / "run.json", error))
        selected = ()
    if (folder / "timing.json").exists():
        problems += _file(folder / "timing.json")
    done = store.case_ids()
    for case_id in done:
        try:
            store.read_whole_case(case_id)
        except InvbenchError as error:
            problems.append(_problem(folder / "cases" / f"{case_id}.json", error))
    for case_id in sorted(set(selected) - set(done)):
        unfinished = MissingDataError(f"{case_id} is not done; continue with --invbench-resume")
        problems.append(_problem(folder, unfinished))
    return problems


def _file(path: Path) -> list[Problem]:
    """Check one JSON file by the schema that it names."""
    try:
        text = path.read_text()
        raw = parse(text)
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if schema == CASE_SCHEMA:
            from_json(text)
        elif schema in {RUN_SCHEMA, TIMING_SCHEMA}:
            build(RunRecord if schema == RUN_SCHEMA else TimingRecord, raw)
        else:
            raise InvalidRecordError(
                f"of schema {schema!r}; known: {CASE_SCHEMA}, {RUN_SCHEMA}, {TIMING_SCHEMA}"
            )
    except (InvbenchError, UnicodeDecodeError) as error:
        return [_problem(path, error)]
    return []


def _problem(path: Path, error: Exception) -> Problem:
    message = str(error).removeprefix(f"{path}: ")
    name = type(error).__name__ if isinstance(error, InvbenchError) else "InvalidRecordError"
    return Problem(path, name, message)
