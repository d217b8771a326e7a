"""The folder of a run: a killed process or a full disk loses no case but the one being measured.

::

    <run>/run.json            what was asked for, and the environment
    <run>/cases/<case>.json   a record; its existence means that the case is done
    <run>/scores/<case>.npz   the scores behind it
    <run>/timing.json         speed measured in fresh processes, if it was
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from invbench.errors import ExistingRunError, InvalidRecordError, MissingDataError
from invbench.files import atomic_write
from invbench.runs.plain_json import differences, finite
from invbench.runs.records import (
    RUN_SCHEMA,
    CaseRecord,
    from_json,
    of_schema,
    to_json,
)
from invbench.runs.timing import TIMING_SCHEMA, TimingRecord
from invbench.runs.typed_json import build

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

PROBE_BYTES = 1 << 16  # what a disk must have room for before a run begins


@dataclass(frozen=True)
class RunStore:
    """Reads and writes one run's folder."""

    folder: Path

    @property
    def run_id(self) -> str:
        """The folder's name, also where it was given as ``.``."""
        return self.folder.resolve().name

    def begin(self, *, resume: bool = False, fresh: bool = False, remedy: str = "") -> None:
        """Make the folder ready for a run before anything is measured.

        Files that a killed process left half written are removed. Files that no store wrote stay.

        Args:
            resume: keep the records that are there.
            fresh: delete the records that are there.
            remedy: what else than another folder the user may ask for, to say in the error.

        Raises:
            ExistingRunError: if there are records and neither is chosen.
            StorageError: if the folder cannot be written to.
        """
        stored = [path for path in self._files() if path.is_file()]
        if stored and not (resume or fresh):
            raise ExistingRunError(
                f"{self.folder}: holds {len(stored)} files of a run; name another folder{remedy}"
            )
        for folder in (self.folder, self.folder / "cases", self.folder / "scores"):
            probe = folder / ".probe"
            with atomic_write(probe) as stream:
                stream.write(bytes(PROBE_BYTES))
            with suppress(OSError):
                for path in (probe, *folder.glob(".*.part")):
                    path.unlink(missing_ok=True)
        if fresh:
            for path in stored:
                path.unlink(missing_ok=True)

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """Write ``run.json``.

        Raises:
            StorageError: if the folder cannot be written to.
        """
        text = json.dumps({"schema": RUN_SCHEMA} | finite(dict(facts)), indent=1)
        with atomic_write(self.folder / "run.json") as stream:
            stream.write(f"{text}\n".encode())

    def read_run(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises:
            MissingDataError: if the folder is not a run's.
            InvalidRecordError: if the file is damaged.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise MissingDataError(f"{self.folder}: not a run, there is no run.json")
        return _read(path, RUN_SCHEMA)

    def write_timing(self, record: TimingRecord) -> None:
        """Write ``timing.json``.

        Raises:
            StorageError: if it cannot be written.
        """
        with atomic_write(self.folder / "timing.json") as stream:
            stream.write(f"{json.dumps(finite(asdict(record)), indent=1)}\n".encode())

    def read_timing(self) -> TimingRecord | None:
        """Read ``timing.json``, or None if speed was not measured in processes of its own.

        Raises:
            InvalidRecordError: if the file is damaged.
        """
        path = self.folder / "timing.json"
        if not path.is_file():
            return None
        raw = _read(path, TIMING_SCHEMA)
        try:
            record: TimingRecord = build(TimingRecord, raw)
        except InvalidRecordError as error:
            raise InvalidRecordError(f"{path}: {error}") from error
        return record

    def write_case(
        self, record: CaseRecord, scores: Mapping[str, NDArray[np.float64]] | None = None
    ) -> None:
        """Write a case's scores, then its record. No file is ever left half written.

        Raises:
            StorageError: if they cannot be written; cases written before are intact.
        """
        if scores:
            with atomic_write(self._scores(record.case_id)) as stream:
                np.savez_compressed(stream, **dict(scores))  # type: ignore[arg-type]  # stubs
        with atomic_write(self._case(record.case_id)) as stream:
            stream.write(to_json(record).encode())

    def read_case(self, case_id: str) -> CaseRecord | None:
        """Read a case's record, or None if the case is not done.

        Raises:
            InvalidRecordError: if the record is damaged.
        """
        path = self._case(case_id)
        if not path.is_file():
            return None
        try:
            return from_json(path.read_text())
        except (InvalidRecordError, UnicodeDecodeError) as error:
            raise InvalidRecordError(f"{path}: {error}") from error

    def read_whole_case(
        self, case_id: str, identity: Mapping[str, Any] | None = None
    ) -> CaseRecord | None:
        """Read a case's record and compare it with its scores; None if the case is not done.

        Args:
            case_id: which case.
            identity: what it must have measured, if that is known.

        Raises:
            InvalidRecordError: if record or scores are damaged, do not agree with each other, or
                are those of something else.
        """
        record = self.read_case(case_id)
        if record is None:
            return None
        path = self._case(case_id)
        if record.case_id != case_id:
            raise InvalidRecordError(f"{path}: is the record of {record.case_id}")
        if record.validity:
            other = differences(record.identity, record.identity if identity is None else identity)
            if other:
                raise InvalidRecordError(f"{path}: measured with another {', '.join(other)}")
            self._check_scores(record)
        return record

    def read_scores(self, case_id: str) -> dict[str, NDArray[np.float64]]:
        """Read the scores behind a case's record.

        Raises:
            MissingDataError: if there are none.
            InvalidRecordError: if the file is damaged.
        """
        path = self._scores(case_id)
        if not path.is_file():
            raise MissingDataError(f"{path}: no scores for {case_id}")
        try:
            with path.open("rb") as stream, np.load(stream) as arrays:  # closed if it is damaged
                return dict(arrays)
        except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as error:
            raise InvalidRecordError(f"{path}: damaged ({error})") from error

    def case_ids(self) -> list[str]:
        """Return the ids of the cases that are done, sorted."""
        return sorted(path.stem for path in (self.folder / "cases").glob("*.json"))

    def _check_scores(self, record: CaseRecord) -> None:
        """Refuse scores whose means over samples are not those in the record."""
        path = self._scores(record.case_id)
        try:
            scores = self.read_scores(record.case_id)
        except MissingDataError as error:
            raise InvalidRecordError(str(error)) from error
        for name, metric in record.validity.items():
            if name not in scores:
                raise InvalidRecordError(f"{path}: no scores of {name}")
            means = _means(scores[name], scores.get("sample_counts"))
            stated = np.array(metric.per_image, dtype=np.float64)  # None becomes NaN
            if means.shape != stated.shape or not np.allclose(
                np.where(np.isfinite(means), means, np.nan), stated, rtol=1e-9, equal_nan=True
            ):
                raise InvalidRecordError(f"{path}: {name} is not what the record says")

    def _files(self) -> list[Path]:
        return [
            self.folder / "run.json",
            self.folder / "timing.json",
            *(self.folder / "cases").glob("*.json"),
            *(self.folder / "scores").glob("*.npz"),
        ]

    def _case(self, case_id: str) -> Path:
        return self.folder / "cases" / f"{case_id}.json"

    def _scores(self, case_id: str) -> Path:
        return self.folder / "scores" / f"{case_id}.npz"


def _means(scores: NDArray[np.float64], counts: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Average rows, of which only the first counts are filled where images differ in samples."""
    if counts is None or len(counts) != len(scores):
        return np.asarray(scores.mean(axis=-1))
    rows = zip(scores, counts.astype(int), strict=True)
    return np.array([row[:count].mean() for row, count in rows])


def _read(path: Path, schema: str) -> dict[str, Any]:
    """Read a JSON file of a schema; errors name the file."""
    try:
        return of_schema(path.read_text(), schema)
    except (InvalidRecordError, UnicodeDecodeError) as error:
        raise InvalidRecordError(f"{path}: {error}") from error
