"""A run as Markdown, as GitHub shows it in the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.escaping import markdown
from invbench.report.summary import SPEED_HEADINGS, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def markdown_report(summary: Summary) -> str:
    """Return the report: the verdict, the cases, what failed and why, what was skipped, where."""
    blocks = [f"# invbench: {markdown(summary.title)}", f"**{markdown(summary.verdict)}**"]
    if summary.rows:
        bold = [status not in ("passed", "measured") for _, status in summary.rows]
        blocks.append(_table(summary.headings, [cells for cells, _ in summary.rows], bold))
    for table in summary.shared:
        blocks += [f"## {markdown(table.title)}", _table(table.headings, table.rows)]
    blocks += [
        _list("Failed", (f"{case}: {reason}" for case, reason in summary.failures)),
        _list("Skipped", (f"{reason}: {', '.join(cases)}" for reason, cases in summary.skips)),
        _list("Remarks", summary.remarks),
    ]
    if summary.speed:
        blocks += ["## Speed, in fresh processes", _table(SPEED_HEADINGS, summary.speed)]
    blocks.append(_list("Environment", (f"{name}: {value}" for name, value in summary.facts)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_row(cells: Sequence[str], *, bold: bool = False) -> str:
    """Return a row of a table with its cells escaped, the last one in bold if asked for."""
    *others, last = map(markdown, cells)
    return f"| {' | '.join([*others, f'**{last}**' if bold else last])} |"


def markdown_table(rows: Sequence[Sequence[str]], rule: str, bold: Sequence[bool] = ()) -> str:
    """Lay out a table.

    Args:
        rows: their cells, the headings first.
        rule: what stands below the headings and says how columns are aligned.
        bold: for each row below it, whether its last cell is in bold; none by default.
    """
    head, *body = rows
    marked = bold or [False] * len(body)
    lines = [markdown_row(cells, bold=each) for cells, each in zip(body, marked, strict=True)]
    return "\n".join([markdown_row(head), rule, *lines])


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], bold: Sequence[bool] = ()
) -> str:
    """Lay out a table: the first column to the left, all others to the right."""
    rule = f"| --- |{' ---: |' * (len(headings) - 1)}"
    return markdown_table([headings, *rows], rule, bold)


def _list(heading: str, items: Iterable[str]) -> str:
    lines = [f"- {markdown(item)}" for item in items]
    return "\n".join([f"## {heading}", "", *lines]) if lines else ""
