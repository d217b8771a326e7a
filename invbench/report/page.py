"""Everything that the page of a run shows, in the order in which it is read."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import InvalidRecordError
from invbench.report.gate_tables import conclusions, gate_rows, outcome, speed_change_rows
from invbench.report.page_cases import case_section
from invbench.report.page_pictures import make_album
from invbench.report.page_tasks import task_sections
from invbench.report.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.gate import GateReport, Snapshot, Timing
    from invbench.report.page_cases import CaseSection, Rows
    from invbench.report.page_pictures import Album
    from invbench.report.page_tasks import TaskSection
    from invbench.report.paper import PaperTable
    from invbench.report.summary import Summary
    from invbench.runs import CaseRecord, Picture, RunStore, TimingCase


@dataclass(frozen=True, kw_only=True)
class GateSection:
    """What a page says of a run beside a baseline.

    Attributes:
        outcome: in a line.
        conclusions: in sentences.
        tables: what was compared and is neither identical nor shown no worse, and speeds; the
            headings first.
    """

    outcome: str
    conclusions: tuple[str, ...]
    tables: tuple[Rows, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A run as a page shows it.

    Attributes:
        summary: what every report says.
        gate: the run beside a baseline, if one was given.
        tasks: a section each.
        machines: samples a second of each case on each machine, the headings first, if there are
            two machines or more.
        album: of pictures.
        cases: a section each.
    """

    summary: Summary
    gate: GateSection | None
    tasks: tuple[TaskSection, ...]
    machines: Rows
    album: Album
    cases: tuple[CaseSection, ...]


def make_page(
    store: RunStore,
    records: Sequence[CaseRecord],
    *,
    paper: PaperTable | None = None,
    gate: GateReport | None = None,
    baseline: Snapshot | None = None,
) -> Page:
    """Collect what the page of a run shows.

    Args:
        store: of the run.
        records: all of it.
        paper: the study's values, to stand beside the run's.
        gate: the run held against a baseline.
        baseline: that baseline, for its speeds on other machines.

    Raises:
        InvalidRecordError: if a file of the run is damaged; of a picture, only that is left out.
    """
    measured = [record for record in records if record.validity]
    tasks = {record.case_id: str(record.identity["task"]["name"]) for record in measured}
    pictures, damaged = _read_pictures(store, tasks)
    album = make_album(pictures, tasks)
    return Page(
        summary=summarize(store, gate=gate, more_remarks=damaged),
        gate=_gate(gate) if gate else None,
        tasks=tuple(task_sections(measured, paper, album)),
        machines=_machines(store, measured, baseline),
        album=album,
        cases=tuple(case_section(record, album.cases[record.case_id]) for record in measured),
    )


def _read_pictures(
    store: RunStore, cases: Mapping[str, str]
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Read what can be read, and say what cannot."""
    pictures: dict[str, list[Picture]] = {}
    damaged = []
    for case in cases:
        try:
            pictures[case] = store.read_pictures(case)
        except InvalidRecordError as error:
            pictures[case] = []
            damaged.append(f"pictures of {case} are left out: {error}")
    return pictures, damaged


def _gate(report: GateReport) -> GateSection:
    return GateSection(
        outcome=outcome(report),
        conclusions=tuple(conclusions(report)),
        tables=(
            tuple(gate_rows(report, every_row=False)),
            tuple(speed_change_rows(report, every_row=False)),
        ),
    )


def _machines(store: RunStore, records: Sequence[CaseRecord], baseline: Snapshot | None) -> Rows:
    speeds: dict[str, dict[str, float]] = {}
    known = {record.case_id for record in records}
    timing = store.read_timing()
    others: list[Mapping[str, Timing | TimingCase]] = [timing.cases] if timing else []
    others += [baseline.timings] if baseline else []
    for cases in reversed(others):
        for case, one in cases.items():
            if records and case not in known:
                continue  # of the baseline's, only what is also this run's
            medians = [one.samples_per_round / statistics.median(rounds) for rounds in one.seconds]
            speed = statistics.median(medians)
            speeds.setdefault(case, {})[one.environment_key] = speed
    for record in records:
        if record.throughput:
            key, speed = record.throughput.environment_key, record.throughput.samples_per_second
            speeds.setdefault(record.case_id, {}).setdefault(key, speed)
    keys = sorted({key for by_key in speeds.values() for key in by_key})
    if len(keys) < 2:
        return ()
    rows = [
        (case, *(f"{by_key[key]:.1f}" if key in by_key else "-" for key in keys))
        for case, by_key in sorted(speeds.items())
    ]
    return (("case", *keys), *rows)
