"""What is said of a comparison, and what it means for the exit status."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from invbench.exit_codes import ExitCode
from invbench.files import atomic_write
from invbench.runs import finite

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.gate.timings import Speed

SCHEMA = "invbench.gate/1"
METHOD = "signflip-maxT"
FALSE_DISCOVERY_RATE = 0.1  # of the warning list

Mode = Literal["off", "warn", "regression", "noninferiority"]
MODES: tuple[Mode, ...] = ("off", "warn", "regression", "noninferiority")


class Verdict(StrEnum):
    """What is said of one row."""

    IDENTICAL = "identical"
    PASS = "pass"  # noqa: S105 not a password
    IMPROVED = "improved"
    REGRESSED = "regressed"
    UNDERPOWERED = "underpowered"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of one case. Positive is worse, in the metric's unit.

    Attributes:
        case: id.
        metric: name; "all" where the whole case cannot be compared.
        n: images.
        baseline: mean.
        candidate: mean.
        estimate: by how much the mean got worse.
        ci95: its 95 % confidence interval over images.
        p: of the sign-flip test by itself, one-sided.
        p_adj: adjusted for all rows tested, family-wise.
        q: adjusted for the false discovery rate.
        mde: the effect that this test would have found with a probability of 80 %.
        tolerance: what the estimate has to exceed to matter.
        verdict: the verdict.
        reason: behind it, where the numbers do not say.
    """

    case: str
    metric: str
    verdict: Verdict
    reason: str | None = None
    n: int = 0
    baseline: float | None = None
    candidate: float | None = None
    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None
    p_adj: float | None = None
    q: float | None = None
    mde: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The comparison of two runs.

    Attributes:
        baseline: where it was read from.
        candidate: where it was read from.
        mode: how it was judged.
        alpha: family-wise error rate.
        n_resamples: sign flips looked at.
        family_size: rows tested.
        rows: one for each case and metric.
        missing_cases: only in the baseline.
        new_cases: only in the candidate.
        unmeasured_cases: measured in neither.
        selected: whether only some cases were asked for.
        notes: what else a reader should know.
        speeds: how fast, if that was asked for.
    """

    baseline: str
    candidate: str
    mode: Mode
    alpha: float
    n_resamples: int
    family_size: int
    rows: tuple[Comparison, ...]
    missing_cases: tuple[str, ...] = ()
    new_cases: tuple[str, ...] = ()
    unmeasured_cases: tuple[str, ...] = ()
    selected: bool = False
    notes: tuple[str, ...] = ()
    speeds: tuple[Speed, ...] = ()

    def having(self, *verdicts: Verdict) -> list[Comparison]:
        """Return the rows with one of some verdicts."""
        return [row for row in self.rows if row.verdict in verdicts]

    @property
    def slower(self) -> list[Speed]:
        """Cases that were shown to be slower."""
        return [speed for speed in self.speeds if speed.verdict == "slower"]

    @property
    def suspects(self) -> list[Comparison]:
        """Rows that did not fail but are among the discoveries at a false rate of 10 %."""
        return [row for row in self.rows if _is_suspect(row)]

    @property
    def exit_code(self) -> ExitCode:
        """The exit status; a regression outranks what could not be compared.

        Where non-inferiority is asked for, a row that does not show it fails.
        """
        if self.mode in ("off", "warn"):
            return ExitCode.OK
        if self.having(Verdict.REGRESSED) or self.slower:
            return ExitCode.FAILED
        if self.mode == "noninferiority" and self.having(Verdict.UNDERPOWERED):
            return ExitCode.FAILED
        if not self.rows or self.having(Verdict.INCOMPARABLE, Verdict.UNDERPOWERED):
            return ExitCode.INCOMPARABLE
        return ExitCode.OK


def _is_suspect(row: Comparison) -> bool:
    if row.verdict is Verdict.REGRESSED or row.q is None:
        return False
    return row.q < FALSE_DISCOVERY_RATE and (row.estimate or 0.0) > (row.tolerance or 0.0)


def write_report(report: GateReport, path: Path) -> None:
    """Write ``gate.json``, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    head = {"schema": SCHEMA, "method": METHOD, "exit_code": int(report.exit_code)}
    with atomic_write(path) as stream:
        stream.write(f"{json.dumps(head | finite(asdict(report)), indent=1)}\n".encode())
