"""The runs of a board: found, checked one by one, and read. What is wrong with one is stated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import InvbenchError, MissingDataError
from invbench.runs import RunStore, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from invbench.runs import CaseRecord


@dataclass(frozen=True)
class BoardRun:
    """A run that is shown.

    Attributes:
        slug: its folder in the site.
        store: the run's own folder.
        facts: what ``run.json`` says.
        records: of its cases.
        unfinished: what it was to measure and did not.
    """

    slug: str
    store: RunStore
    facts: Mapping[str, Any]
    records: tuple[CaseRecord, ...]
    unfinished: tuple[str, ...]

    @property
    def created(self) -> str:
        """When it began, to the second."""
        return str(self.facts["created"])[:19].replace("T", " ")

    @property
    def commit(self) -> str:
        """The commit that was measured, shortened; a plus says that files differed from it."""
        git = (self.facts.get("environment") or {}).get("git") or {}
        commit = str(git.get("commit") or "")[:10]
        return f"{commit}{'+' if commit and git.get('dirty') else ''}" or "-"


@dataclass(frozen=True)
class Refused:
    """A folder that is not shown.

    Attributes:
        name: of the folder.
        problems: what is wrong with it, a line each.
    """

    name: str
    problems: tuple[str, ...]


def read_runs(paths: Sequence[Path]) -> tuple[list[BoardRun], list[Refused]]:
    """Check and read runs; a damaged one costs itself alone.

    Args:
        paths: folders of runs, or folders that hold folders of runs.

    Returns:
        The runs, oldest first, and what was refused.
    """
    runs: list[BoardRun] = []
    refused = []
    taken: set[str] = set()
    for folder in _folders(paths):
        problems = _problems(folder)
        damaged = [text for text, unfinished in problems if not unfinished]
        if damaged:
            refused.append(Refused(folder.resolve().name, tuple(damaged)))
            continue
        store = RunStore(folder)
        records = [store.read_case(name) for name in store.case_ids()]
        runs.append(
            BoardRun(
                slug=slug(store.run_id, taken),
                store=store,
                facts=store.read_run(),
                records=tuple(record for record in records if record),
                unfinished=tuple(text for text, _ in problems),
            )
        )
    return sorted(runs, key=lambda run: (run.created, run.slug)), refused


def slug(name: str, taken: set[str]) -> str:
    """Return a name for a file or folder of the site, unlike those taken on any file system.

    >>> taken = set()
    >>> slug("../my run", taken), slug("My-Run", taken)
    ('my-run', 'My-Run-2')
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)[:80].strip(".-") or "run"
    found, number = plain, 2
    while found.lower() in taken:
        found, number = f"{plain}-{number}", number + 1
    taken.add(found.lower())
    return found


def _folders(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each folder of a run once; a folder without one stands for itself, to be refused."""
    seen = set()
    for path in paths:
        inside = [] if (path / "run.json").exists() else sorted(path.glob("*/run.json"))
        for folder in [file.parent for file in inside] or [path]:
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder


def _problems(folder: Path) -> list[tuple[str, bool]]:
    """Return what is wrong with a folder, and whether it is only that a case was not done."""
    try:
        found = validate(folder)
    except InvbenchError as error:
        return [(f"{type(error).__name__}: {error}", False)]
    unfinished = MissingDataError.__name__
    return [
        (
            f"{one.path.relative_to(folder)}: {one.error}: {one.message}",
            one.path == folder and one.error == unfinished,
        )
        for one in found
        if not one.path.is_relative_to(folder / "pictures")  # the page leaves those out and says so
    ]
