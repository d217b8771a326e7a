"""How far is a run? Cases done of all, images done of a case, and about how long the rest takes."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from invbench.errors import InvbenchError
from invbench.gate import BASELINES, read_baselines
from invbench.suite.places import suite_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SILENT_SECONDS = 30.0
"""Between two lines where there is no terminal."""

SCORING_SECONDS = 0.02
"""That a sample takes beside being drawn, about."""


class Display(Protocol):
    """Where progress is shown."""

    def show(self, text: str) -> None:
        """Show where the run is now."""

    def clear(self) -> None:
        """Make room for what others write."""


class NoDisplay:
    """Shows nothing."""

    def show(self, text: str) -> None:
        """Leave it."""

    def clear(self) -> None:
        """Leave it."""


@dataclass(frozen=True)
class TerminalDisplay:
    """Keeps one line below the cursor, which stays where pytest writes.

    Attributes:
        write: to the terminal.
    """

    write: Callable[[str], object]

    def show(self, text: str) -> None:
        """Make sure that there is a line below, and write there between saving the cursor."""
        text = text[: shutil.get_terminal_size().columns - 1]
        self.write(f"\x1bD\x1bM\x1b7\r\n{text}\x1b[K\x1b8")

    def clear(self) -> None:
        """Empty the line below."""
        self.show("")


@dataclass
class LineDisplay:
    """Writes a line now and then, for files and logs.

    Attributes:
        write_line: to them.
        clock: of seconds.
        said: when the last line was written; the first is late as well.
    """

    write_line: Callable[[str], object]
    clock: Callable[[], float] = time.monotonic
    said: float | None = None

    def show(self, text: str) -> None:
        """Write a line if none was written for a while."""
        now = self.clock()
        if self.said is None:
            self.said = now
        elif now >= self.said + SILENT_SECONDS:
            self.said = now
            self.write_line(text)

    def clear(self) -> None:
        """Leave it: lines are in nobody's way."""


@dataclass
class Progress:
    """Follows a run from case to case.

    What was measured tells how long the rest takes, in proportion to what the cases are known to
    take; one that is not known counts as the mean of those that are.

    Attributes:
        display: where it is shown.
        clock: of seconds.
        pending: case id -> relative cost, of the cases that have not ended.
        n_cases: that there are.
        measured: sum of the costs of the cases that were measured.
        seconds: that these took.

    Example:
        >>> times = iter([0.0, 10.0, 20.0])
        >>> shown = LineDisplay(print, clock=iter([0.0, 40.0, 80.0]).__next__)
        >>> progress = Progress(shown, clock=lambda: next(times))
        >>> progress.begin(["chimle-sr16", "ndm-sr16"], {"chimle-sr16": 1.0, "ndm-sr16": 3.0})
        >>> with progress.case("chimle-sr16") as on_image:
        ...     on_image(1, 2)
        case 1 of 2, chimle-sr16: image 1 of 2, about 01:10 left
    """

    display: Display = field(default_factory=NoDisplay)
    clock: Callable[[], float] = time.monotonic
    pending: dict[str, float] = field(default_factory=dict)
    n_cases: int = 0
    measured: float = 0.0
    seconds: float = 0.0

    def begin(self, selected: Sequence[str], costs: Mapping[str, float]) -> None:
        """Take down the cases that are to be measured, and what they cost by `known_costs`."""
        known = [costs[case_id] for case_id in selected if case_id in costs]
        usual = fmean(known) if known else 1.0
        self.pending = {case_id: costs.get(case_id, usual) for case_id in selected}
        self.n_cases = len(self.pending)

    @contextmanager
    def case(self, case_id: str) -> Iterator[Callable[[int, int], None]]:
        """Show a case while it is measured; the function that is given is told of each image."""
        start, cost = self.clock(), self.pending.get(case_id, 0.0)
        place = f"case {self.n_cases - len(self.pending) + 1} of {self.n_cases}, {case_id}"
        told = False

        def on_image(done: int, of: int) -> None:
            nonlocal told
            told = True
            part = cost * done / of
            seconds = self.seconds + self.clock() - start
            left = self._left(seconds, self.measured + part, part)
            self.display.show(f"{place}: image {done} of {of}{left}")

        self.display.show(place + self._left(self.seconds, self.measured, 0.0))
        try:
            yield on_image
        finally:
            self.display.clear()
            self.left_out(case_id)
            if told:  # a record that an earlier session stored says nothing of speed
                self.measured += cost
                self.seconds += self.clock() - start

    def left_out(self, case_id: str) -> None:
        """Count a case as done, for one that is not measured."""
        self.pending.pop(case_id, None)

    def _left(self, seconds: float, measured: float, part: float) -> str:
        """Say how long the rest takes, once something was measured."""
        if not measured:
            return ""
        rest = seconds / measured * (sum(self.pending.values()) - part)
        return f", about {tqdm.format_interval(rest)} left"


def known_costs() -> dict[str, float]:
    """Return about how many seconds a sample of each case takes on a CPU in the smallest profile.

    That is in the baseline that comes with the suite. Other profiles and devices have other
    speeds, but much the same slow methods.
    """
    try:
        baseline = read_baselines([suite_folder() / BASELINES], "cpu", "tiny")
    except InvbenchError:  # the gate says what is wrong with it
        return {}
    return {
        case_id: SCORING_SECONDS + 1 / record.throughput.samples_per_second
        for case_id, record in (baseline.cases if baseline else {}).items()
        if record.throughput and record.throughput.samples_per_second
    }
