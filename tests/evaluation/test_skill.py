"""Skill is one minus a ratio of means, and zero for the reference itself."""

from __future__ import annotations

import numpy as np
import pytest

from invbench.data import DataSet
from invbench.data.photos import photos
from invbench.evaluation import Experiment, Settings, Subject, evaluate, reference_scores
from invbench.evaluation.skill import ReferenceScores, skill_records
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import Case, reference_sampler
from invbench.problems import Task, get_task

DATA = DataSet("test", photos(64, 3))
SETTINGS = Settings(n_samples=6, chunk_size=4)
TASK = get_task("colorization")
GROUPS = ["a", "a", "b", "c"]


def records(own, other):
    reference = ReferenceScores("7", {"crps": np.array(other), "energy": np.array(other)})
    return skill_records({"crps": np.array(own), "energy": np.array(own) / 2}, reference, GROUPS)


def test_is_of_means_not_a_mean_of_ratios():
    found = records([1.0, 2.0, 3.0, 4.0], [4.0, 4.0, 4.0, 8.0])
    assert found["crps"].value == pytest.approx(1 - 10 / 20)
    assert found["energy"].value == pytest.approx(1 - 5 / 20)
    assert found["crps"].low < 0.5 < found["crps"].high
    assert (found["crps"].reference, found["crps"].per_image) == ("7", (1.0, 2.0, 3.0, 4.0))
    assert found["crps"].reference_per_image == (4.0, 4.0, 4.0, 8.0)


def test_worse_than_the_reference_is_below_zero():
    assert records([2.0, 2.0, 4.0, 2.0], [1.0, 2.0, 1.0, 1.0])["crps"].value == -1


def test_the_reference_is_scored_as_anyone_else():
    found = reference_scores(TASK, DATA, SETTINGS)
    sampler = reference_sampler(TASK.problem((64, 64)))
    experiment = Experiment(
        case=Case("reference", "colorization"),
        task=TASK,
        subject=Subject(sampler),
        data=DATA,
        settings=SETTINGS,
        metrics=validity_metrics(load_lpips())[:1],
        reference=found,
    )
    evaluation = evaluate(experiment)
    own = {"crps": evaluation.scores["crps"], "energy": evaluation.scores["role_energy"][:, 0]}
    for name in ("crps", "energy"):
        assert found.scores[name] == pytest.approx(own[name])
        assert evaluation.scores[f"reference_{name}"] == pytest.approx(found.scores[name])
        skill = evaluation.record.skill[name]
        assert (skill.value, skill.low, skill.high) == pytest.approx((0, 0, 0), abs=1e-9)
    record = evaluation.record
    assert record.reference == pytest.approx(
        {
            "psnr": record.validity["psnr"].mean,
            "coverage": record.interval.coverage,
            "crps": own["crps"].mean(),
        }
    )
    assert reference_scores(TASK, DATA, SETTINGS) is found


def test_an_operator_without_a_reference_has_none():
    class Negative:
        name = "negative"

        def observation_shape(self, height, width):
            return 3, height, width

        def __call__(self, images):
            return 1 - images

    task = Task(name="negative", version="1", operator=Negative())
    assert reference_scores(task, DATA, SETTINGS) is None
