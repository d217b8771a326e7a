"""How is one case measured? Observe, sample, reobserve, score, calibrate.

`evaluate` is the one path from an `Experiment` (who is measured, on what and how) to a record;
`contract` looks for what a sampler does that makes its numbers mean something else; `score_samples`
scores samples that somebody else drew and left on disk.
"""

from __future__ import annotations

from invbench.evaluation.evaluate import Evaluation, Measure, evaluate
from invbench.evaluation.experiment import Experiment, Facts, Settings, Subject
from invbench.evaluation.folder import score_samples
from invbench.evaluation.noise_fit import NoiseFit
from invbench.evaluation.partners import Question
from invbench.evaluation.sampling import (
    Observed,
    draw,
    draw_samples,
    draw_within_memory,
    observe,
)
from invbench.evaluation.scoring import score_image
from invbench.evaluation.skill import ReferenceScores, reference_scores
from invbench.evaluation.summary import calibrate_on_others, interval_record

__all__ = [
    "Evaluation",
    "Experiment",
    "Facts",
    "Measure",
    "NoiseFit",
    "Observed",
    "Question",
    "ReferenceScores",
    "Settings",
    "Subject",
    "calibrate_on_others",
    "draw",
    "draw_samples",
    "draw_within_memory",
    "evaluate",
    "interval_record",
    "observe",
    "reference_scores",
    "score_image",
    "score_samples",
]
