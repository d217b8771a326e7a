"""Finding what is wrong with a run's folder, file by file. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from invbench.errors import (
    ConflictingRunsError,
    InvalidRecordError,
    InvbenchError,
    MissingDataError,
)
from invbench.files import is_folder, is_there
from invbench.runs.merging import disagreements
from invbench.runs.records import (
    CASE_SCHEMA,
    RUN_SCHEMA,
    from_parsed,
    of_schema,
    read_facts,
)
from invbench.runs.store import RunStore
from invbench.runs.timing import TIMING_SCHEMA, TimingRecord
from invbench.runs.typed_json import AGAIN, build, named, read_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    CASE_SCHEMA: from_parsed,
    RUN_SCHEMA: read_facts,
    TIMING_SCHEMA: partial(build, TimingRecord),
}


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
    their identity, their scores and each other, and every case that the run was to measure has one.

    Raises:
        MissingDataError: if nothing is there.
    """
    if not is_there(path):
        raise MissingDataError(f"{path}: no such file or folder")
    return _folder(path) if is_folder(path) else _file(path)


def _folder(folder: Path) -> list[Problem]:
    store = RunStore(folder)
    problems = []
    try:
        selected = store.read_run().get("selected_cases", ())
    except InvbenchError as error:
        problems.append(_problem(folder / "run.json", error))
        selected = ()
    if is_there(folder / "timing.json"):
        problems += _file(folder / "timing.json")
    done = store.case_ids()
    whole = []
    for case_id in done:
        try:
            whole += [store.read_whole_case(case_id)]
        except InvbenchError as error:
            problems.append(_problem(folder / "cases" / f"{case_id}.json", error))
        try:
            store.read_pictures(case_id)
        except InvbenchError as error:
            problems.append(_problem(folder / "pictures" / case_id, error))
    for case_id, found in disagreements(record for record in whole if record).items():
        mixed = ConflictingRunsError(f"{found}; measure again what is of another run")
        problems.append(_problem(folder / "cases" / f"{case_id}.json", mixed))
    for case_id in sorted(set(selected) - set(done)):
        unfinished = MissingDataError(f"{case_id} is not done; go on by `invbench run --resume`")
        problems.append(_problem(folder, unfinished))
    return problems


def _file(path: Path) -> list[Problem]:
    """Check one JSON file by the schema that it names."""
    try:
        raw = read_json(path)
        schema = raw.get("schema") if isinstance(raw, dict) else None
        kind = str(schema).partition("/")[0]
        ours = [known for known in READERS if known.partition("/")[0] == kind]
        if not ours:
            unknown = InvalidRecordError(f"of schema {schema!r}; known: {', '.join(READERS)}")
            return [_problem(path, unknown)]
        READERS[ours[0]](of_schema(raw, ours[0]))
    except InvalidRecordError as error:
        return [_problem(path, named(error, path, AGAIN))]
    except InvbenchError as error:
        return [_problem(path, error)]
    return []


def _problem(path: Path, error: InvbenchError) -> Problem:
    return Problem(path, type(error).__name__, str(error).removeprefix(f"{path}: "))
