"""What the gate found, as plain text for a terminal and as Markdown for a review."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted, markdown
from invbench.files import is_file
from invbench.gate import Verdict
from invbench.gate.verdicts import OPEN
from invbench.report.markdown_tables import markdown_table
from invbench.report.tables import align, fitted, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from invbench.gate import Comparison, GateReport, Speed

GATE_HEADINGS = (
    *("case", "metric", "photos", "baseline", "candidate", "worse by", "95 % interval"),
    *("p flips", "p boot", "mde", "tolerated", "verdict"),
)
GATE_WIDTH = 120
ORDER = (  # in a terminal
    *("case", "metric", "verdict", "worse by", "95 % interval", "tolerated", "mde", "baseline"),
    *("candidate", "photos", "p flips", "p boot"),
)
HIDDEN_FIRST = ("p boot", "p flips", "photos", "candidate", "baseline", "mde")
SPEED_CHANGE_HEADINGS = (
    "case",
    "speed",
    "95 % interval",
    "processes",
    "p adj.",
    "tolerated",
    "verdict",
)


SHOWN_IMAGES = 3


def gate_lines(report: GateReport, *, every_row: bool = True, width: int = GATE_WIDTH) -> list[str]:
    """Lay a report out for a terminal: a line a row, what is behind it, then what follows.

    Args:
        report: what to show.
        every_row: whether to show rows that are identical or no worse.
        width: that lines of the table are to have at most.
    """
    shown = _shown(report, every_row=every_row)
    cells = zip(*(GATE_HEADINGS, *map(_cells, shown)), strict=True)
    columns = dict(zip(GATE_HEADINGS, cells, strict=True))
    lines, hidden = fitted({name: columns[name] for name in ORDER}, HIDDEN_FIRST, width)
    lines = lines if shown else []
    reasons: dict[str, list[str]] = {}
    for row in shown:
        if reason := _reason(row):
            reasons.setdefault(f"{row.verdict} ({reason})", []).append(f"{row.case} {row.metric}")
    for reason, rows in reasons.items():
        lines += wrapped(f"{reason}: {', '.join(rows)}", width)
    if shown and hidden:
        said = f"no room for {', '.join(hidden)}; gate.json has them, and `invbench compare --json`"
        lines += wrapped(said, width)
    if report.speeds:
        lines += ["", *align(speed_change_rows(report))]
    return [*lines, *([""] if lines else []), *conclusions(report)]


def gate_rows(report: GateReport, *, every_row: bool = True) -> list[tuple[str, ...]]:
    """Return the cells of a report's rows, the headings first; nothing if there is no row."""
    rows = [_row(row) for row in _shown(report, every_row=every_row)]
    return [GATE_HEADINGS, *rows] if rows else []


def _shown(report: GateReport, *, every_row: bool) -> list[Comparison]:
    quiet = () if every_row else (Verdict.NO_WORSE, Verdict.IDENTICAL)
    return [row for row in report.rows if row.verdict not in quiet]


def speed_change_rows(report: GateReport, *, every_row: bool = True) -> list[tuple[str, ...]]:
    """Return the cells of a report's speeds, the headings first; nothing if there is none.

    Args:
        report: what to show.
        every_row: whether to show speeds that were not tested.
    """
    rows = [_speed(speed) for speed in report.speeds if every_row or speed.verdict != "untested"]
    return [SPEED_CHANGE_HEADINGS, *rows] if rows else []


def gate_markdown(report: GateReport) -> str:
    """Lay a report out as Markdown: conclusions first, tables below."""
    tables = [_markdown([GATE_HEADINGS, *map(_row, report.rows)])]
    if report.speeds:
        tables.append(_markdown(speed_change_rows(report)))
    points = "\n".join(f"- {markdown(line)}" for line in conclusions(report))
    return "\n\n".join([f"## Gate: {markdown(outcome(report))}", points, *tables]) + "\n"


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
    slight = [f"{row.case} {row.metric} by {_amount(row)}" for row in report.slight_losses]
    lines += _listed("worse, by no more than is tolerated", slight)
    lines += _speed_conclusions(report.speeds)
    if report.mode != "off":
        lines.append(f"gate ({report.mode}): {outcome(report)}")
    return lines


def outcome(report: GateReport) -> str:
    """Say in one line what was shown; passed is what is shown no worse."""
    if report.losses or report.slower:
        return _losses(report)
    if report.nothing_compared:
        return "nothing compared"
    if report.having(*OPEN):
        counts = Counter(row.verdict for row in report.having(*OPEN))
        return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if report.passed:
        return _passed(report)
    improved, unresolved, changed = map(
        report.having, (Verdict.IMPROVED, Verdict.UNRESOLVED, Verdict.CHANGED)
    )
    found = [f"{counted(len(improved), 'row')} improved"] if improved else []
    if unresolved:
        found += [f"{counted(len(unresolved), 'row')} unresolved ({_worst(unresolved)})"]
    if changed:
        found += [f"{counted(len(changed), 'row')} changed by no more than is tolerated"]
    return f"no regression found; {', '.join(found)}"


def _passed(report: GateReport) -> str:
    """Say what was shown, and how to keep what is better."""
    if not report.rows:
        return "passed, no slower"
    improved = report.having(Verdict.IMPROVED)
    if not improved:
        identical = len(report.having(Verdict.IDENTICAL)) == len(report.rows)
        return f"passed, {'identical' if identical else 'shown no worse'}"
    tolerated = " by more than is tolerated" if report.slight_losses else ""
    said = f"passed: {counted(len(improved), 'row')} improved, none worse{tolerated}"
    if is_file(Path(report.candidate)):  # of a baseline, which is kept
        return said
    return f"{said}; promote the run to keep it: `invbench baseline promote {report.candidate}`"


def _losses(report: GateReport) -> str:
    """Count what got worse by its word; only what was shown is a regression."""
    counts = Counter(str(row.verdict) for row in report.losses)
    counts["slower"] = len(report.slower)
    listed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    only_suspects = set(+counts) == {str(Verdict.SUSPECT)}
    return f"{'SUSPECT' if only_suspects else 'REGRESSED'}: {listed}"


def _worst(rows: Sequence[Comparison]) -> str:
    """Name the largest loss that is not excluded, in units of what is tolerated."""

    def excess(row: Comparison) -> float:
        return (row.ci95 or (0.0, 0.0))[1] / (row.tolerance or 1.0)

    worst = max(rows, key=excess)
    bound = (worst.ci95 or (0.0, 0.0))[1]
    unit = f" {worst.unit}" if worst.unit else ""
    return f"worst could be {bound:.3g}{unit}, {worst.metric} of {worst.case}"


def _amount(row: Comparison) -> str:
    return f"{row.estimate:.3g}{f' {row.unit}' if row.unit else ''}"


def _test(report: GateReport) -> str:
    scope = "the selected cases" if report.selected else "all cases"
    if report.family_size == 0:
        return f"no row of {scope} had to be tested, or could be; positive is worse"
    return (
        f"sign flips and bootstrap of photographs, {counted(report.family_size, 'row')} of {scope} "
        "together, "
        f"family-wise error {report.alpha:g}; positive is worse"
    )


def _speed_conclusions(speeds: Sequence[Speed]) -> list[str]:
    untested = [speed for speed in speeds if speed.verdict == "untested"]
    lines = [
        f"speed of {counted(count, 'case')} is shown and not judged: {reason}"
        for reason, count in Counter(speed.reason for speed in untested).items()
    ]
    keys = {
        (s.baseline_key, s.candidate_key)
        for s in untested
        if s.baseline_key and s.candidate_key and s.baseline_key != s.candidate_key
    }
    return lines + [f"speed of {new} in units of {old}" for old, new in sorted(keys)]


def _row(row: Comparison) -> tuple[str, ...]:
    """Return the cells of a row, with what is behind its verdict."""
    *cells, verdict = _cells(row)
    reason = _reason(row)
    return (*cells, f"{verdict} ({reason})" if reason else verdict)


def _reason(row: Comparison) -> str:
    said = [row.reason] if row.reason else []
    if row.images:
        more = f" and {len(row.images) - SHOWN_IMAGES} more" * (len(row.images) > SHOWN_IMAGES)
        worst = f"{_number(row.largest_loss, sign=True)} on {', '.join(row.images[:SHOWN_IMAGES])}"
        said.append(f"{counted(len(row.images), 'image')}, {worst}{more}")
    return "; ".join(said)


def _cells(row: Comparison) -> tuple[str, ...]:
    return (
        row.case,
        row.metric,
        str(row.n or "-"),
        _number(row.baseline),
        _number(row.candidate),
        _number(row.estimate, sign=True),
        _interval(row.ci95, sign=True),
        _number(row.p_flips),
        _number(row.p_resampled),
        _number(row.mde),
        _number(row.tolerance),
        str(row.verdict),
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
    return markdown_table(rows, "|" + "---|" * 2 + "---:|" * (len(rows[0]) - 3) + "---|")
