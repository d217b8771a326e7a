"""Is a run worse than a baseline? Paired by image, tested all together. No torch here.

`read_snapshot` reads either side, `compare` judges, `promote` makes a run the baseline.
"""

from __future__ import annotations

from invbench.gate.baselines import BaselineError, baseline_file, find_baseline, promote
from invbench.gate.comparison import MIN_IMAGES, TOLERANCES, compare
from invbench.gate.limits import apply_limits, read_limits, write_limits
from invbench.gate.snapshots import Snapshot, Timing, device_slug, read_snapshot
from invbench.gate.statistics import max_t, mean_intervals, minimum_detectable_effect
from invbench.gate.timings import Speed, compare_timings
from invbench.gate.verdicts import MODES, Comparison, GateReport, Mode, Verdict, write_report

__all__ = [
    "MIN_IMAGES",
    "MODES",
    "TOLERANCES",
    "BaselineError",
    "Comparison",
    "GateReport",
    "Mode",
    "Snapshot",
    "Speed",
    "Timing",
    "Verdict",
    "apply_limits",
    "baseline_file",
    "compare",
    "compare_timings",
    "device_slug",
    "find_baseline",
    "max_t",
    "mean_intervals",
    "minimum_detectable_effect",
    "promote",
    "read_limits",
    "read_snapshot",
    "write_limits",
    "write_report",
]
