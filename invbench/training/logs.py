"""The log of a training run: ``log.jsonl``, a JSON object of numbers a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping  # noqa: TC003  `build` asks for the types of fields
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import InvalidRecordError
from invbench.files import cannot_write, is_there, read_bytes
from invbench.runs.typed_json import build, parse

if TYPE_CHECKING:
    from pathlib import Path


def read_log(folder: Path) -> list[dict[str, float]]:
    """Return the log's lines; a line cut off by a kill is left out.

    Raises:
        InvalidRecordError: if a line is damaged.
    """
    path = folder / "log.jsonl"
    lines = read_bytes(path, InvalidRecordError).split(b"\n")[:-1] if is_there(path) else []
    try:
        return [dict(build(_Line, {"facts": parse(line.decode())}).facts) for line in lines]
    except (InvalidRecordError, UnicodeDecodeError) as error:
        raise InvalidRecordError(
            f"{path}: damaged ({error}); delete it, and curves begin where training goes on"
        ) from error


def cut_log(folder: Path, length: int) -> None:
    """Keep the whole lines among the log's first bytes.

    Raises:
        InvalidRecordError: if it cannot be read.
        StorageError: if it cannot be cut.
    """
    path = folder / "log.jsonl"
    if is_there(path):
        kept = read_bytes(path, InvalidRecordError)[:length]
        try:
            os.truncate(path, kept.rfind(b"\n") + 1)
        except OSError as error:
            raise cannot_write(path, error) from error


@dataclass(frozen=True)
class _Line:
    """A line of the log."""

    facts: Mapping[str, float]


def append_line(folder: Path, line: Mapping[str, float]) -> None:
    """Append a line to the log in a run's folder.

    Raises:
        StorageError: if it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.jsonl"
    try:
        with path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error
