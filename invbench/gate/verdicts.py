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

SCHEMA = "invbench.gate/2"
METHOD = "signflip-maxT and studentized-bootstrap-maxT over photographs"

Mode = Literal["off", "warn", "regression", "noninferiority"]
MODES: tuple[Mode, ...] = ("off", "warn", "regression", "noninferiority")


class Verdict(StrEnum):
    """What is said of one row."""

    IDENTICAL = "identical"  # no image differs by more than another machine makes it
    CHANGED = "changed"  # the same weights and seeds gave other scores
    IMPROVED = "improved"  # shown to be better, or no changed image is worse
    NO_WORSE = "no worse"  # a loss as large as the tolerance is excluded
    UNRESOLVED = "unresolved"  # no loss was shown, and none that matters excluded
    SUSPECT = "suspect"  # a loss was shown if differences are symmetric
    LOST = "lost"  # single images lost far more than the others vary by
    REGRESSED = "regressed"  # a loss was shown
    UNDERPOWERED = "underpowered"  # too few photographs for any test
    INCOMPARABLE = "incomparable"  # measured under other conditions, or not at all


PASSED = (Verdict.IDENTICAL, Verdict.IMPROVED, Verdict.NO_WORSE)
FAILED = (Verdict.REGRESSED, Verdict.LOST, Verdict.SUSPECT)
OPEN = (Verdict.INCOMPARABLE, Verdict.UNDERPOWERED)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of one case. Positive is worse, in the metric's unit.

    Attributes:
        case: id.
        metric: name; "all" where the whole case cannot be compared.
        unit: of the numbers, as ``dB``.
        n: photographs.
        baseline: mean over images.
        candidate: mean over images.
        estimate: by how much the mean got worse.
        ci95: its 95 % confidence interval over photographs.
        p_flips: of the sign-flip test, one-sided, adjusted for all rows tested.
        p_resampled: of the bootstrap test, likewise; it has to be below a tenth of alpha.
        mde: the effect that both tests would have found with a probability of 80 %.
        tolerance: what the estimate has to exceed to matter.
        images: those that changed or were lost, the largest loss first.
        largest_loss: of a single image among them.
        photographs_needed: about how many would have decided, if differences stay as they are.
        verdict: the verdict.
        reason: behind it, where the numbers do not say.
    """

    case: str
    metric: str
    verdict: Verdict
    reason: str | None = None
    unit: str = ""
    n: int = 0
    baseline: float | None = None
    candidate: float | None = None
    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    p_flips: float | None = None
    p_resampled: float | None = None
    mde: float | None = None
    tolerance: float | None = None
    images: tuple[str, ...] = ()
    largest_loss: float | None = None
    photographs_needed: int | None = None

    @property
    def is_loss(self) -> bool:
        """Whether something got worse by more than is tolerated: a mean, or a changed image."""
        if self.verdict is Verdict.CHANGED:
            return (self.largest_loss or 0.0) > (self.tolerance or 0.0)
        return self.verdict in FAILED


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The comparison of two runs.

    Attributes:
        baseline: where it was read from.
        candidate: where it was read from.
        mode: how it was judged.
        alpha: family-wise error rate of either test.
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
    def losses(self) -> list[Comparison]:
        """Rows that fail the gate of regressions."""
        return [row for row in self.rows if row.is_loss]

    @property
    def slight_losses(self) -> list[Comparison]:
        """Rows whose mean was shown to be worse, by no more than is tolerated."""
        return [
            row
            for row in self.rows
            if not row.is_loss
            and row.p_flips is not None
            and row.p_flips < self.alpha
            and 0 < (row.estimate or 0.0) <= (row.tolerance or 0.0)
        ]

    @property
    def slower(self) -> list[Speed]:
        """Cases that were shown to be slower."""
        return [speed for speed in self.speeds if speed.verdict == "slower"]

    @property
    def nothing_compared(self) -> bool:
        """Whether neither a score nor a speed of the two runs was held against the other."""
        judged = [speed for speed in self.speeds if speed.verdict != "untested"]
        return not judged and len(self.having(Verdict.INCOMPARABLE)) == len(self.rows)

    @property
    def passed(self) -> bool:
        """Whether every row is identical, or shown to be no worse than tolerated."""
        shown = len(self.having(*PASSED)) == len(self.rows)
        return shown and not self.nothing_compared and not self.slower

    def fails(self, row: Comparison) -> bool:
        """Tell whether a row by itself keeps the exit status from being 0."""
        if self.mode in ("off", "warn"):
            return False
        unshown = self.mode == "noninferiority" and row.verdict is Verdict.UNRESOLVED
        return row.is_loss or row.verdict in OPEN or unshown

    @property
    def exit_code(self) -> ExitCode:
        """The exit status; a loss outranks what could not be compared.

        Where non-inferiority is asked for, a row that does not show it fails.
        """
        if self.mode in ("off", "warn"):
            return ExitCode.OK
        if self.losses or self.slower:
            return ExitCode.FAILED
        unshown = self.having(Verdict.UNRESOLVED, Verdict.UNDERPOWERED)
        if self.mode == "noninferiority" and unshown:
            return ExitCode.FAILED
        if self.nothing_compared or self.having(*OPEN):
            return ExitCode.INCOMPARABLE
        return ExitCode.OK


def write_report(report: GateReport, path: Path) -> None:
    """Write ``gate.json``, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    head = {"schema": SCHEMA, "method": METHOD, "exit_code": int(report.exit_code)}
    with atomic_write(path) as stream:
        stream.write(f"{json.dumps(head | finite(asdict(report)), indent=1)}\n".encode())
