"""A run as Markdown, as GitHub shows it in the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.report.summary import SPEED_HEADINGS, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def markdown_report(summary: Summary) -> str:
    """Return the report: the verdict, the cases, what failed and why, what was skipped, where."""
    blocks = [f"# invbench: {_cell(summary.title)}", f"**{summary.verdict}**"]
    if summary.rows:
        blocks.append(_table(summary.headings, (_marked(*row) for row in summary.rows)))
    for table in summary.shared:
        blocks += [f"## {_cell(table.title)}", _table(table.headings, table.rows)]
    blocks.append(
        _list("Failed", (f"`{case}`: {_cell(reason)}" for case, reason in summary.failures))
    )
    blocks.append(
        _list(
            "Skipped",
            (f"{_cell(reason)}: {', '.join(cases)}" for reason, cases in summary.skips),
        )
    )
    blocks.append(_list("Remarks", map(_cell, summary.remarks)))
    if summary.speed:
        blocks += ["## Speed, in fresh processes", _table(SPEED_HEADINGS, summary.speed)]
    facts = (f"{name}: {_cell(value)}" for name, value in summary.facts)
    blocks.append(_list("Environment", facts))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table: the first column to the left, all others to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    body = [[_cell(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*lines, *body])


def _list(heading: str, items: Iterable[str]) -> str:
    lines = [f"- {item}" for item in items]
    return "\n".join([f"## {heading}", "", *lines]) if lines else ""


def _marked(cells: tuple[str, ...], status: str) -> tuple[str, ...]:
    return cells if status in ("passed", "measured") else (*cells[:-1], f"**{cells[-1]}**")


def _cell(text: str) -> str:
    """Keep text on one line and inside its cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
