"""Tables in Markdown, whose cells are text and no markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.escaping import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence


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
