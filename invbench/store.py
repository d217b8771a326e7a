"""One folder a run: written so that a kill or a full disk loses only the case in flight.

::

    <run>/run.json            what was asked for, and the environment
    <run>/cases/<case>.json   a record; its existence means that the case is done
    <run>/scores/<case>.npz   the scores behind it
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.files import atomic_write
from invbench.records import RUN_SCHEMA, CaseRecord, finite, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RunStore:
    """Reads and writes one run's folder."""

    folder: Path

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
        try:
            facts: dict[str, Any] = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise InvalidRecordError(f"{path}: not JSON ({error})") from error
        if facts.get("schema") != RUN_SCHEMA:
            raise InvalidRecordError(f"{path}: not of schema {RUN_SCHEMA}")
        return facts

    def write_case(
        self, record: CaseRecord, scores: Mapping[str, NDArray[np.float64]] | None = None
    ) -> None:
        """Write a case's scores, then its record, each whole or not at all.

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
        except InvalidRecordError as error:
            raise InvalidRecordError(f"{path}: {error}") from error

    def read_scores(self, case_id: str) -> dict[str, NDArray[np.float64]]:
        """Read the scores behind a case's record.

        Raises:
            MissingDataError: if there are none.
        """
        path = self._scores(case_id)
        if not path.is_file():
            raise MissingDataError(f"{path}: no scores for {case_id}")
        with np.load(path) as arrays:
            return dict(arrays)

    def case_ids(self) -> list[str]:
        """Return the ids of the cases that are done, sorted."""
        return sorted(path.stem for path in (self.folder / "cases").glob("*.json"))

    def _case(self, case_id: str) -> Path:
        return self.folder / "cases" / f"{case_id}.json"

    def _scores(self, case_id: str) -> Path:
        return self.folder / "scores" / f"{case_id}.npz"
