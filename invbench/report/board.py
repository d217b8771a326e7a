"""A static site of many runs: who leads, how each model changed, and the report of every run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import ConflictingRunsError, InvbenchError, MissingDataError
from invbench.files import atomic_write
from invbench.gate import rank_run
from invbench.report.board_history import histories, size
from invbench.report.board_runs import Refused, read_runs, slug
from invbench.report.html import html_report, render
from invbench.report.shared import scope_parts
from invbench.report.tables import HEADINGS, case_row
from invbench.runs.plain_json import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from invbench.gate import Ranking
    from invbench.report.board_runs import BoardRun
    from invbench.runs import CaseRecord

RANKED_BESIDE_VALIDITY = ("crps", "energy", "winkler")


@dataclass(frozen=True)
class Standing:
    """The newest record of each model under the same conditions, and who can be told apart.

    Attributes:
        task: id.
        conditions: what is the same for all of them, in words.
        latest: the newest record of each case and its run, in alphabetical order.
        rankings: a score each.
        unranked: why there is none.
    """

    task: str
    conditions: str
    latest: tuple[tuple[CaseRecord, BoardRun], ...]
    rankings: tuple[Ranking, ...]
    unranked: str


@dataclass(frozen=True)
class Board:
    """What was written.

    Attributes:
        index: the first page.
        runs: that are shown, oldest first.
        refused: folders that are not.
    """

    index: Path
    runs: tuple[BoardRun, ...]
    refused: tuple[Refused, ...]


def write_board(paths: Sequence[Path], folder: Path, *, alpha: float = 0.05) -> Board:
    """Write the site; files of an earlier one are replaced, others stay.

    Args:
        paths: folders of runs, or folders that hold such; a damaged run is named in the site.
        folder: ``index.html``, ``models/`` and ``runs/<run>/report.html`` are written there.
        alpha: family-wise error rate of each ranking.

    Raises:
        MissingDataError: if no run could be read.
        StorageError: if the folder cannot be written to.
    """
    runs, refused = read_runs(paths)
    reports: dict[str, str] = {}
    for run in runs:
        try:
            reports[run.slug] = html_report(run.store)
        except InvbenchError as error:
            problem = f"{type(error).__name__}: {error}"
            refused.append(Refused(run.store.run_id, (problem,)))
    runs = [run for run in runs if run.slug in reports]
    if not runs:
        said = "; ".join(f"{one.name}: {one.problems[0]}" for one in refused)
        raise MissingDataError(f"no run to show: {said}")
    taken: set[str] = set()
    found = histories(runs)
    pages = {model: f"models/{slug(model, taken)}.html" for model in found}
    written = {
        "index.html": render(
            "board.html.j2",
            standings=standings(runs, alpha=alpha),
            runs=runs[::-1],
            counts={run.slug: _counts(run) for run in runs},
            refused=refused,
            headings=HEADINGS,
            row=case_row,
            size=size,
            pages=pages,
            alpha=alpha,
        )
    }
    for model, page in pages.items():
        written[page] = render("board_model.html.j2", model=model, cases=found[model])
    written |= {f"runs/{name}/report.html": report for name, report in reports.items()}
    for name, text in sorted(written.items(), reverse=True):
        with atomic_write(folder / name) as stream:
            stream.write(text.encode())
    return Board(folder / "index.html", tuple(runs), tuple(refused))


def standings(runs: Sequence[BoardRun], *, alpha: float = 0.05) -> list[Standing]:
    """Collect each model's newest record by conditions, those of most models first in each task.

    Records are held against each other only if task, images, sampling and versions of metrics are
    the same; the machine need not be, since validity does not depend on it.

    Args:
        runs: oldest first.
        alpha: family-wise error rate of each ranking.
    """
    groups: dict[tuple[str, str], dict[str, tuple[CaseRecord, BoardRun]]] = {}
    for run in runs:
        for record in run.records:
            if record.validity or record.interval:
                task = str(record.identity["task"]["name"])
                groups.setdefault((task, _conditions(record)), {})[record.case_id] = (record, run)
    found = [
        _standing(task, tuple(by_case[case] for case in sorted(by_case)), alpha)
        for (task, _), by_case in groups.items()
    ]
    return sorted(found, key=lambda one: (one.task, -len(one.latest)))


def _standing(task: str, latest: tuple[tuple[CaseRecord, BoardRun], ...], alpha: float) -> Standing:
    cases = {record.case_id: record for record, _ in latest}
    scores = [*dict.fromkeys(n for one in cases.values() for n in one.validity)]
    rankings: Sequence[Ranking] = ()
    unranked = "" if len(cases) > 1 else "one model alone"
    try:
        rankings = rank_run(cases, alpha=alpha, scores=[*scores, *RANKED_BESIDE_VALIDITY])
    except (ConflictingRunsError, MissingDataError) as error:
        unranked = str(error)
    return Standing(task, _in_words(latest[0][0]), latest, tuple(rankings), unranked)


def _conditions(record: CaseRecord) -> str:
    """Return what must agree for two models' records to be held against each other."""
    identity = record.identity
    sampling = {k: v for k, v in identity.get("sampling", {}).items() if k != "nfe"}
    return canonical_json([identity["task"], sampling, identity.get("metrics", {})])


def _in_words(record: CaseRecord) -> str:
    """Say over what a record's numbers are, and what else models must share."""
    sampling = record.identity.get("sampling", {})
    drawn = (f"{name} {sampling[name]}" for name in ("seed", "dtype") if name in sampling)
    return ", ".join([*filter(None, scope_parts(record)), *drawn])


def _counts(run: BoardRun) -> str:
    counts = Counter(record.status for record in run.records)
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "timings only"
