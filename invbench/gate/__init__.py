"""Is a run worse than a baseline? No torch here.

The same weights are compared image by image; other weights by one test of all means, with
photographs as units. `read_snapshot` reads either side, `compare` judges, `promote` makes a run the
baseline. `judging` has the rules, `tolerances` the amounts, `limits` the absolute bounds, `timings`
speed; `ranking` compares the models of one run.
"""

from __future__ import annotations

from invbench.gate.baselines import (
    BaselineError,
    Promotion,
    baseline_file,
    find_baseline,
    promote,
    read_baselines,
    release_name,
)
from invbench.gate.comparison import compare
from invbench.gate.identities import conditions_differ
from invbench.gate.judging import MIN_PHOTOGRAPHS
from invbench.gate.limits import apply_limits, read_limits, write_limits
from invbench.gate.ranking import Pair, Ranking, rank, rank_run, score_names
from invbench.gate.snapshots import BASELINES, Snapshot, Timing, device_slug, read_snapshot
from invbench.gate.statistics import check_alpha
from invbench.gate.timings import Speed, compare_timings
from invbench.gate.tolerances import TOLERANCES
from invbench.gate.verdicts import MODES, Comparison, GateReport, Mode, Verdict, write_report

__all__ = [
    "BASELINES",
    "MIN_PHOTOGRAPHS",
    "MODES",
    "TOLERANCES",
    "BaselineError",
    "Comparison",
    "GateReport",
    "Mode",
    "Pair",
    "Promotion",
    "Ranking",
    "Snapshot",
    "Speed",
    "Timing",
    "Verdict",
    "apply_limits",
    "baseline_file",
    "check_alpha",
    "compare",
    "compare_timings",
    "conditions_differ",
    "device_slug",
    "find_baseline",
    "promote",
    "rank",
    "rank_run",
    "read_baselines",
    "read_limits",
    "read_snapshot",
    "release_name",
    "score_names",
    "write_limits",
    "write_report",
]
