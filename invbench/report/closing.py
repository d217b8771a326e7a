"""What a run ends with in a terminal: the columns that matter most, at most 100 characters wide.

What the full table would show beside them stands in lines below, wherever it is not as it should
be.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from invbench.report.shared import scope_parts, shared_tables
from invbench.report.tables import (
    HEADINGS,
    align,
    calibration_cell,
    case_row,
    chosen_table,
    faults,
    first_call_factor,
    fitted,
    headings,
    notes,
    reference_rows,
    world_table,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from invbench.runs import CaseRecord

ALL = "all"  # in the place of names of columns: the full table
WIDTH = 100
SHORT = (
    *("case", "psnr", "ssim", "lpips", "coverage", "ideal", "skill", "width", "samples/s"),
    "verdict",
)
HIDDEN_FIRST = ("ssim", "width", "samples/s", "lpips")  # where a terminal is narrower
SLOW_FIRST_CALL = 10.0  # rounds, from which on the first call is worth a line
CAPPED = "* PSNR of samples that give back the very observation is infinite and counts as 100 dB"


def run_table(
    records: Sequence[CaseRecord], columns: Sequence[str] = (), *, width: int = WIDTH
) -> list[str]:
    """Lay out what a run ends with: what its numbers are over, a line for each case, and notes.

    Validity, coverage beside an ideal sampler's, skill, width, speed and verdict have columns; one
    in which no case has anything is left out. Skill is the CRPS's: 0 for the reference sampler, 1
    would be perfect. A task whose reference was not itself measured gets a line of what is known of
    the reference from the skill, on the same images. An LPIPS made with other weights than the
    official ones is headed by its own name.

    Args:
        records: of a run.
        columns: shown instead, named as in the table of comma-separated values; those that no case
            has are named in a last line. ``["all"]`` stands for the full table of `case_row`.
        width: that lines of the short table are to have at most.
    """
    measured = [record for record in records if record.validity]
    if not measured:
        return []
    full = [headings(records), *map(case_row, measured), *reference_rows(measured)]
    if list(columns) == [ALL]:
        table = align(full)
    elif columns:
        table = [*chosen_table(measured, columns, width=width), *folded(measured, width=width)]
    else:
        table = [*_short_table(full, width), *folded(measured, width=width)]
    lines = [*scope(measured, width=width), *table, *world_table(measured)]
    lines += [f"{record.case_id}: {text}" for record in measured for text in notes(record)]
    for shared in shared_tables(records):
        lines += ["", shared.title, *align([shared.headings, *shared.rows])]
    return lines


def verdict_lines(records: Sequence[CaseRecord]) -> list[str]:
    """Say what is not well, a line each, then how many cases came to which end."""
    lines = []
    for record in records:
        reason = record.reason or ""
        if record.status in ("failed", "error", "declined"):
            lines.append(f"{record.case_id}: {record.status}: {reason}")
        lines += [f"{record.case_id}: {text}" for text in faults(record) if text not in reason]
    counts = Counter(record.status for record in records)
    return [*lines, f"cases: {', '.join(f'{count} {status}' for status, count in counts.items())}"]


def scope(records: Sequence[CaseRecord], *, width: int = WIDTH) -> list[str]:
    """Say what the numbers are over, and which cases differ from the others in that.

    Args:
        records: of cases that were measured.
        width: of the lines.
    """
    own = [scope_parts(record) for record in records]
    usual = [Counter(parts).most_common(1)[0][0] for parts in zip(*own, strict=True)]
    others: dict[str, list[CaseRecord]] = {}
    for record, parts in zip(records, own, strict=True):
        for part, common in zip(parts, usual, strict=True):
            if part != common:
                others.setdefault(part or "not known", []).append(record)
    exceptions: dict[str, list[str]] = {}
    for part, those in others.items():
        exceptions.setdefault(_tasks_or_cases(those, records), []).append(part)
    said = [", ".join(filter(None, usual))]
    said += [f"{names}: {', '.join(parts)}" for names, parts in exceptions.items()]
    return wrapped("; ".join(said), width)


def folded(records: Sequence[CaseRecord], *, width: int = WIDTH) -> list[str]:
    """Say what the short table has no column for, where it is not as it should be.

    Args:
        records: of cases that were measured.
        width: of the lines.
    """
    found: dict[str, list[str]] = {}
    for record in records:
        for what in _remarkable(record):
            found.setdefault(what, []).append(record.case_id)
    names = [record.case_id for record in records]
    return [
        line
        for what, cases in found.items()
        for line in wrapped(f"{what}: {_cases(cases, names)}", width)
    ]


def _remarkable(record: CaseRecord) -> Iterator[str]:
    """Yield what is folded away of a case, unless `notes` say it."""
    for check in record.checks:
        if not check.passed:
            value = "-" if check.value is None else f"{check.value:.4g}"
            yield f"limit broken, {check.id} {value}, not {check.op} {check.limit:g}"
    spread = record.calibration
    if spread and spread.verdict != "calibrated" and spread.expected in (None, spread.verdict):
        yield f"calibration {calibration_cell(spread)}"
    if first_call_factor(record.throughput) >= SLOW_FIRST_CALL:
        yield f"the first call took {SLOW_FIRST_CALL:g} times as long as later ones, or longer"
    of_files = record.identity.get("model", {}).get("source") == "folder"
    for part, reason in () if of_files else record.not_measured.items():
        yield f"{part} was not measured ({reason})"
    equal = record.interval and record.interval.scores.get("duplicate_fraction", {}).get("value")
    if equal and record.contract is None:
        yield "some samples are equal (column duplicate_fraction)"


def _short_table(full: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Choose the columns of `SHORT` that are not empty, as many of them as fit.

    A star takes the place of PSNR's remark.
    """
    chosen = {
        HEADINGS[number]: list(cells)
        for number, cells in enumerate(zip(*full, strict=True))
        if HEADINGS[number] in SHORT and set(cells[1:]) != {"-"}
    }
    remarks = []
    if any(cell.endswith(" inf)") for cell in chosen.get("psnr", ())):
        parts = (cell.partition(" (") for cell in chosen["psnr"])
        chosen["psnr"] = [f"{number}{'*' if remark else ' '}" for number, _, remark in parts]
        remarks = [CAPPED]
    lines, hidden = fitted(chosen, HIDDEN_FIRST, width)
    if hidden:
        remarks.append(f"no room for {', '.join(hidden)}; --columns all shows every column")
    return lines + [line for remark in remarks for line in wrapped(remark, width)]


def _tasks_or_cases(some: Sequence[CaseRecord], records: Sequence[CaseRecord]) -> str:
    """Name tasks all of whose cases are meant, and single cases of others."""

    def ids_of(cases: Sequence[CaseRecord]) -> dict[str, list[str]]:
        tasks: dict[str, list[str]] = {}
        for record in cases:
            task = record.identity.get("task", {}).get("name", "")
            tasks.setdefault(task, []).append(record.case_id)
        return tasks

    every = ids_of(records)
    return ", ".join(
        task if len(ids) > 1 and ids == every[task] else ", ".join(ids)
        for task, ids in ids_of(some).items()
    )


def _cases(some: Sequence[str], names: Sequence[str]) -> str:
    """Name cases, or those that are not meant where these are few."""
    others = [name for name in names if name not in some]
    if len(some) > 1 and not others:
        return "all cases"
    if others and len(others) * 3 < len(some):
        return f"all cases but {', '.join(others)}"
    return ", ".join(some)
