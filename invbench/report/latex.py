"""The tables of a run for a paper, in LaTeX that needs no package but booktabs. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.escaping import latex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.report.score_table import Cell, ScoreTable


def latex_report(tables: Sequence[ScoreTable]) -> str:
    r"""Lay out a table a task: the best in bold, the second underlined, ties with the best marked.

    Example:
        >>> from invbench.report.score_table import Cell, ScoreTable
        >>> rows = ((Cell("a_b"), Cell("28.00", "best")), (Cell("c"), Cell("27.00", "second")))
        >>> print(latex_report([ScoreTable("sr16", ("model", "psnr"), rows)]))
        % Needs \usepackage{booktabs}
        \begin{table}
        \caption{sr16. Best in bold, second underlined.}
        \begin{tabular}{lr}
        \toprule
        model & psnr \\
        \midrule
        a\_b & \textbf{28.00} \\
        c & \underline{27.00} \\
        \bottomrule
        \end{tabular}
        \end{table}
        <BLANKLINE>
    """
    return "\n".join([r"% Needs \usepackage{booktabs}", *map(_table, tables), ""])


def _table(table: ScoreTable) -> str:
    key = latex(table.key).replace("\N{ALMOST EQUAL TO}", r"$\approx$")
    head = " & ".join(map(latex, table.headings))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{latex(table.task)}. {key}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.headings) - 1)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *(rf"{' & '.join(map(_cell, cells))} \\" for cells in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _cell(cell: Cell) -> str:
    command = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[cell.place]
    return command % latex(cell.text) + (r" $\approx$" if cell.tied else "")
