"""Columns that no run has are refused, and none that a run has."""

from __future__ import annotations

import pytest

from invbench.errors import InvalidOptionError, UnknownNameError
from invbench.evaluation import evaluate
from invbench.models import REFERENCE, Case
from invbench.report import numbers_of
from invbench.suite import Options
from invbench.suite.columns import check_columns, known_columns
from invbench.suite.resolve import Suite


@pytest.mark.parametrize("task", ["sr16", "denoise25"])
def test_every_number_of_a_case_is_known(task):
    suite = Suite(Options(images=2, samples=2, device="cpu", task=[task]))
    case = Case(REFERENCE, task)
    numbers = numbers_of(evaluate(suite.experiment(case, suite.subject(case))).record)
    assert {"target_lpips_best", "crps_skill", "nfe"} <= numbers.keys()
    assert numbers.keys() <= known_columns()
    check_columns(Options(columns=",".join(numbers)))


def test_names_of_other_weights_are_known_and_others_refused():
    check_columns(Options(columns="lpips_vgg, target_lpips_random_best,"))
    with pytest.raises(UnknownNameError, match="did you mean crps_skill"):
        check_columns(Options(columns="psnr,crps_skil"))
    with pytest.raises(UnknownNameError, match=r"known: chi_squared, .*, winkler"):
        check_columns(Options(columns="fid"))


def test_all_columns_are_chosen_alone():
    check_columns(Options(columns="all"))
    with pytest.raises(InvalidOptionError, match="alone"):
        check_columns(Options(columns="psnr,all"))
