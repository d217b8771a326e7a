"""What the gate found, as plain text for a terminal and as Markdown for a review."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.gate import Verdict
from invbench.report.tables import align

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from invbench.gate import Comparison, GateReport, Speed

GATE_HEADINGS = (
    *("case", "metric", "n", "baseline", "candidate", "worse by", "95 % interval", "p adj."),
    *("mde", "tolerated", "verdict"),
)
SPEED_HEADINGS = ("case", "speed", "95 % interval", "processes", "p adj.", "tolerated", "verdict")


def gate_lines(report: GateReport, *, every_row: bool = True) -> list[str]:
    """Lay a report out for a terminal: a line a row, then what follows from them.

    Args:
        report: what to show.
        every_row: whether to show rows that passed or are identical.
    """
    quiet = () if every_row else (Verdict.PASS, Verdict.IDENTICAL)
    rows = [row for row in report.rows if row.verdict not in quiet]
    lines = align([GATE_HEADINGS, *map(_row, rows)]) if rows else []
    if report.speeds:
        lines += ["", *align([SPEED_HEADINGS, *map(_speed, report.speeds)])]
    return [*lines, *([""] if lines else []), *conclusions(report)]


def gate_markdown(report: GateReport) -> str:
    """Lay a report out as Markdown: conclusions first, tables below."""
    tables = [_markdown([GATE_HEADINGS, *map(_row, report.rows)])]
    if report.speeds:
        tables.append(_markdown([SPEED_HEADINGS, *map(_speed, report.speeds)]))
    points = "\n".join(f"- {line}" for line in conclusions(report))
    return "\n\n".join([f"## Gate: {_outcome(report)}", points, *tables]) + "\n"


def conclusions(report: GateReport) -> list[str]:
    """Say in sentences what was compared, what was not, and what follows."""
    counts = Counter(row.verdict for row in report.rows)
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    lines = [
        f"baseline {report.baseline}, candidate {report.candidate}",
        f"{listed or 'nothing to compare'} ({_test(report)})",
    ]
    lines += _listed("new, not compared", report.new_cases)
    lines += _listed("missing in the candidate", report.missing_cases)
    lines += _listed("measured in neither", report.unmeasured_cases)
    lines += report.notes
    suspects = [f"{row.case} {row.metric}" for row in report.suspects]
    lines += _listed("warning, worse at a false discovery rate of 10 %", suspects)
    lines += _speed_conclusions(report.speeds)
    if report.mode != "off":
        lines.append(f"gate ({report.mode}): {_outcome(report)}")
    return lines


def _outcome(report: GateReport) -> str:
    regressed = len(report.having(Verdict.REGRESSED)) + len(report.slower)
    open_rows = len(report.having(Verdict.INCOMPARABLE, Verdict.UNDERPOWERED))
    if regressed:
        outcome = f"{regressed} regressed"
    elif not report.rows:
        outcome = "nothing was compared"
    elif open_rows:
        outcome = f"{open_rows} not comparable or not tested"
    else:
        outcome = "passed"
    failed = report.exit_code is not ExitCode.OK
    return f"{'FAILED, ' if failed else ''}{outcome}"


def _test(report: GateReport) -> str:
    scope = "the selected cases" if report.selected else "all cases"
    if report.family_size == 0:
        return f"no row of {scope} could be tested, or had to be"
    return (
        f"sign-flip max-T over {report.family_size} rows of {scope}, {report.n_resamples} flips, "
        f"family-wise error {report.alpha:g}; positive is worse"
    )


def _speed_conclusions(speeds: Sequence[Speed]) -> list[str]:
    untested = [speed for speed in speeds if speed.verdict == "untested"]
    lines = [
        f"speed of {count} cases is shown and not judged: {reason}"
        for reason, count in Counter(speed.reason for speed in untested).items()
    ]
    keys = {
        (s.baseline_key, s.candidate_key) for s in untested if s.baseline_key != s.candidate_key
    }
    return lines + [f"speed of {new} in units of {old}" for old, new in sorted(keys)]


def _row(row: Comparison) -> tuple[str, ...]:
    verdict = f"{row.verdict} ({row.reason})" if row.reason else str(row.verdict)
    return (
        row.case,
        row.metric,
        str(row.n or "-"),
        _number(row.baseline),
        _number(row.candidate),
        _number(row.estimate, sign=True),
        _interval(row.ci95, sign=True),
        _number(row.p_adj),
        _number(row.mde),
        _number(row.tolerance),
        verdict,
    )


def _speed(speed: Speed) -> tuple[str, ...]:
    old, new = speed.n_processes
    return (
        speed.case,
        "-" if speed.ratio is None else f"x{speed.ratio:.3f}",
        _interval(speed.ci95),
        f"{old}/{new}",
        _number(speed.p_adj),
        "-" if speed.tolerance is None else f"{speed.tolerance:.1%}",
        speed.verdict,
    )


def _number(value: float | None, *, sign: bool = False) -> str:
    """Show three decimals of what is large, four of what is small, integers whole."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:+d}" if sign else str(value)
    digits = 3 if abs(value) >= 1 else 4
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _interval(bounds: tuple[float, float] | None, *, sign: bool = False) -> str:
    if bounds is None:
        return "-"
    low, high = (_number(bound, sign=sign) for bound in bounds)
    return f"{low} .. {high}"


def _listed(what: str, names: Iterable[str]) -> list[str]:
    text = ", ".join(names)
    return [f"{what}: {text}"] if text else []


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    rule = "|" + "---|" * 2 + "---:|" * (len(rows[0]) - 3) + "---|"
    return "\n".join([head, rule, *body])
