"""How is one case measured? Observe, sample, reobserve, score, calibrate.

`evaluate` is the one path from a sampler to a record; `score_folder` scores samples that somebody
else drew and left on disk.
"""

from __future__ import annotations

from invbench.evaluation.disk import Question, score_folder
from invbench.evaluation.evaluate import Evaluation, Measure, evaluate, identify
from invbench.evaluation.rounds import Settings
from invbench.evaluation.sampling import draw
from invbench.evaluation.scoring import score_image
from invbench.evaluation.summary import calibrate_on_others, interval_record

__all__ = [
    "Evaluation",
    "Measure",
    "Question",
    "Settings",
    "calibrate_on_others",
    "draw",
    "evaluate",
    "identify",
    "interval_record",
    "score_folder",
    "score_image",
]
