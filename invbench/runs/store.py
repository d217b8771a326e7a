"""The folder of a run: a killed process or a full disk loses no case but the one being measured.

::

    <run>/run.json            what was asked for, and the environment
    <run>/cases/<case>.json   a record; its existence means that the case is done
    <run>/scores/<case>.npz   the scores behind it
    <run>/pictures/<case>/    what the first images look like
    <run>/timing.json         speed measured in fresh processes, if it was
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from invbench.errors import ExistingRunError, InvalidRecordError, MissingDataError
from invbench.escaping import counted, plain
from invbench.files import (
    atomic_write,
    claim_folder,
    is_file,
    is_folder,
    is_there,
)
from invbench.runs.pictures import Picture, read_picture, write_picture
from invbench.runs.plain_json import differences, finite
from invbench.runs.records import (
    RUN_SCHEMA,
    CaseRecord,
    from_parsed,
    of_schema,
    read_facts,
    to_json,
)
from invbench.runs.score_files import check_scores, read_scores
from invbench.runs.timing import TIMING_SCHEMA, TimingRecord
from invbench.runs.typed_json import AGAIN, build, damaged, named, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from invbench.files import Claim

PROBE_BYTES = 1 << 16  # what a disk must have room for before a run begins


@dataclass(frozen=True)
class RunStore:
    """Reads and writes one run's folder."""

    folder: Path

    @property
    def run_id(self) -> str:
        """The folder's name, also where it was given as ``.``; bytes that are no text escaped."""
        return plain(self.folder.resolve().name)

    def begin(self, *, resume: bool = False, fresh: bool = False, remedy: str = "") -> Claim:
        """Claim the folder and make it ready for a run, before anything is measured.

        Files that a killed process left half written are removed. Files that no store wrote stay.

        Args:
            resume: keep the records that are there.
            fresh: delete the records that are there.
            remedy: what else than another folder the user may ask for, to say in the error.

        Returns:
            The claim; others are kept out until it is dropped.

        Raises:
            ExistingRunError: if there are records and neither is chosen, or another process is
                writing to the folder.
            StorageError: if the folder cannot be written to.
        """
        claim = claim_folder(self.folder)
        stored = [path for path in self._files() if is_file(path)]
        if stored and not (resume or fresh):
            raise ExistingRunError(
                f"{self.folder}: holds {counted(len(stored), 'file')} of a run; "
                f"name another folder{remedy}"
            )
        for folder in (self.folder, self.folder / "cases", self.folder / "scores"):
            probe = folder / ".probe"
            with atomic_write(probe) as stream:
                stream.write(bytes(PROBE_BYTES))
            with suppress(OSError):
                for path in (probe, *folder.glob(".*.part")):
                    path.unlink(missing_ok=True)
        for path in self.folder.glob("pictures/*/.*.part"):
            path.unlink(missing_ok=True)
        if fresh:
            for path in stored:
                path.unlink(missing_ok=True)
        return claim

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
        if not is_file(path):
            there = is_there(self.folder)
            what = "not a run, there is no run.json" if there else "no such file or folder"
            raise MissingDataError(f"{self.folder}: {what}")
        try:
            return read_facts(of_schema(read_json(path), RUN_SCHEMA))
        except InvalidRecordError as error:
            raise named(error, path, AGAIN) from error

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
        if not is_file(path):
            return None
        try:
            record: TimingRecord = build(TimingRecord, of_schema(read_json(path), TIMING_SCHEMA))
        except InvalidRecordError as error:
            raise named(error, path, AGAIN) from error
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
        if not is_there(path):
            return None
        try:
            return from_parsed(read_json(path))
        except InvalidRecordError as error:
            raise named(error, path, AGAIN) from error

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
            raise damaged(path, f"is the record of {record.case_id}")
        if record.validity:
            other = differences(record.identity, record.identity if identity is None else identity)
            if other:
                raise damaged(path, f"measured with another {', '.join(other)}")
            check_scores(self._scores(case_id), record)
        return record

    def read_cases(self) -> list[CaseRecord]:
        """Read the records of all cases that are done, compared with their scores if these lie by.

        Raises:
            InvalidRecordError: as `read_whole_case` does, at the first.
        """
        records = [
            self.read_whole_case(name) if is_there(self._scores(name)) else self.read_case(name)
            for name in self.case_ids()
        ]
        return [record for record in records if record is not None]

    def read_scores(self, case_id: str) -> dict[str, NDArray[np.float64]]:
        """Read the scores behind a case's record.

        Raises:
            MissingDataError: if there are none.
            InvalidRecordError: if the file is damaged.
        """
        return read_scores(self._scores(case_id), case_id)

    def write_pictures(self, case_id: str, pictures: Sequence[Picture]) -> None:
        """Write what a case's first images look like, in place of what was kept of them.

        Raises:
            StorageError: if they cannot be written.
        """
        for number, picture in enumerate(pictures):
            write_picture(self._pictures(case_id) / f"{number}.png", picture)
        for path in self._picture_files(case_id)[len(pictures) :]:
            path.unlink(missing_ok=True)

    def read_pictures(self, case_id: str) -> list[Picture]:
        """Read what was kept of a case's first images; nothing, if nothing was.

        Raises:
            InvalidRecordError: if a picture is damaged.
        """
        return [read_picture(path) for path in self._picture_files(case_id)]

    def case_ids(self) -> list[str]:
        """Return the ids of the cases that are done, sorted."""
        folder = self.folder / "cases"
        return sorted(path.stem for path in folder.glob("*.json")) if is_folder(folder) else []

    def _files(self) -> list[Path]:
        return [
            self.folder / "run.json",
            self.folder / "timing.json",
            *(self.folder / "cases").glob("*.json"),
            *(self.folder / "scores").glob("*.npz"),
            *(self.folder / "pictures").glob("*/*.png"),
        ]

    def _case(self, case_id: str) -> Path:
        return self.folder / "cases" / f"{case_id}.json"

    def _pictures(self, case_id: str) -> Path:
        return self.folder / "pictures" / case_id

    def _picture_files(self, case_id: str) -> list[Path]:
        files = [path for path in self._pictures(case_id).glob("*.png") if path.stem.isdecimal()]
        return sorted(files, key=lambda path: int(path.stem))

    def _scores(self, case_id: str) -> Path:
        return self.folder / "scores" / f"{case_id}.npz"
