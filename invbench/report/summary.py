"""The content of a report of a run, which Markdown and HTML then lay out."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import MissingDataError
from invbench.report.headline import headline
from invbench.report.shared import shared_tables
from invbench.report.tables import case_row, headings, notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.gate import GateReport
    from invbench.report.shared import SharedTable
    from invbench.runs import CaseRecord, RunStore, TimingCase

SPEED_HEADINGS = (
    *("case", "samples/s", "slowest", "fastest", "1st call", "repeated", "processes", "weights"),
    "measured on",
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that a report says about a run.

    Attributes:
        title: name of the run.
        verdict: how many cases passed, failed and were skipped.
        headline: what is asked of a run first, and the answers.
        headings: of the table of cases.
        rows: cells and status of each case that was measured.
        failures: case id and reason of each failed case.
        skips: reason and ids of the cases that were skipped for it.
        remarks: what was left out, or was expected and is not there.
        shared: tables over the images that cases share, where they were measured on different ones.
        speed: rows under `SPEED_HEADINGS`, where speed was measured in fresh processes.
        facts: name and value of what the numbers depend on.
    """

    title: str
    verdict: str
    headline: tuple[tuple[str, str], ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], str], ...]
    failures: tuple[tuple[str, str], ...]
    skips: tuple[tuple[str, tuple[str, ...]], ...]
    remarks: tuple[str, ...]
    shared: tuple[SharedTable, ...]
    speed: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]


def read_records(store: RunStore) -> list[CaseRecord]:
    """Read all records of a run.

    Raises:
        MissingDataError: if there are none.
        InvalidRecordError: if one is damaged.
    """
    records = store.read_cases()
    if not records:
        raise MissingDataError(f"{store.folder}: no case has a record")
    return records


def summarize(
    store: RunStore, *, gate: GateReport | None = None, more_remarks: Sequence[str] = ()
) -> Summary:
    """Read a run and summarize it for a report.

    Args:
        store: of the run.
        gate: the run held against a baseline, for the headline.
        more_remarks: that the summary is to hold besides its own.

    Raises:
        MissingDataError: if the folder is not a run, or holds neither a case nor timings.
        InvalidRecordError: if a file of it is damaged.
    """
    run, timing = store.read_run(), store.read_timing()
    records = [] if timing and not store.case_ids() else read_records(store)
    counts = Counter(record.status for record in records)
    measured = [record for record in records if record.status not in ("skipped", "declined")]
    skips: dict[str, list[str]] = {}
    for record in records:
        if record.status in ("skipped", "declined"):
            skips.setdefault(record.reason or record.status, []).append(record.case_id)
    return Summary(
        title=str(run["run_id"]),
        verdict=", ".join(f"{count} {status}" for status, count in counts.items()),
        headline=tuple(headline(records, gate)),
        headings=headings(records),
        rows=tuple((case_row(record), record.status) for record in measured),
        failures=tuple(
            (record.case_id, record.reason or "")
            for record in records
            if record.status in {"failed", "error"}
        ),
        skips=tuple((reason, tuple(cases)) for reason, cases in skips.items()),
        remarks=(*_remarks(run, records), *more_remarks),
        shared=tuple(shared_tables(records)),
        speed=tuple(speed_rows(timing.cases)) if timing else (),
        facts=tuple(_facts(run)),
    )


def speed_rows(cases: Mapping[str, TimingCase]) -> list[tuple[str, ...]]:
    """Return the cells under `SPEED_HEADINGS`.

    Speeds are the median, the least and the most of the processes' medians. The first call is in
    rounds; a repeated input's is the share of time that it saves, where that is noticeable.
    """
    rows = []
    for case_id, case in cases.items():
        speeds = [case.samples_per_round / statistics.median(rounds) for rounds in case.seconds]
        numbers = (statistics.median(speeds), min(speeds), max(speeds))
        shown = (f"{number:.1f}" for number in numbers)
        first = [
            call / statistics.median(rounds)
            for call, rounds in zip(case.first_call_s, case.seconds, strict=False)
        ]
        rows.append(
            (
                case_id,
                *shown,
                f"{statistics.median(first):.1f}x" if first else "-",
                _saved(case),
                str(len(speeds)),
                case.weights,
                case.environment_key,
            )
        )
    return rows


def _saved(case: TimingCase) -> str:
    if not case.saved_by_repeating:
        return "-"
    share = statistics.median(case.saved_by_repeating)
    return f"saves {share:.0%}" if case.keeps_results else "saves nothing"


def _remarks(run: Mapping[str, Any], records: Sequence[CaseRecord]) -> list[str]:
    done = {record.case_id for record in records}
    missing = [case for case in run.get("selected_cases", ()) if case not in done]
    remarks = [f"selected, but without a record: {', '.join(missing)}"] if missing else []
    reasons: dict[str, list[str]] = {}
    for record in records:
        for part, reason in record.not_measured.items():
            reasons.setdefault(f"{part} was not measured ({reason})", []).append(record.case_id)
        remarks += [f"{record.case_id}: {text}" for text in notes(record)]
    return remarks + [f"{reason}: {', '.join(cases)}" for reason, cases in reasons.items()]


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the environment in words; what is not known is left out."""
    environment = run.get("environment", {})
    gpu, cpu = environment.get("gpu") or {}, environment.get("cpu") or {}
    git, packages = environment.get("git") or {}, environment.get("packages") or {}
    commit = f"{git.get('commit', '')}{' with uncommitted changes' if git.get('dirty') else ''}"
    found = {
        "created": run.get("created"),
        "profile": run.get("profile"),
        "shard": run.get("shard"),
        "invbench": run.get("invbench"),
        "commit": commit,
        "GPU": gpu.get("name"),
        "driver": gpu.get("driver"),
        "CUDA": environment.get("cuda") if gpu else None,
        "cuDNN": environment.get("cudnn") if gpu else None,
        "CPU": f"{cpu.get('name')}, {cpu.get('threads')} threads" if cpu else None,
        "libjpeg": (environment.get("libjpeg") or {}).get("version"),
        "Python": environment.get("python"),
        **packages,
    }
    return [(name, str(value)) for name, value in found.items() if value]
