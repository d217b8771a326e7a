"""Runs of a plan go round by round, worst first, and side by side in processes of their own."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from invbench.models import Case, save_checkpoint
from invbench.training import schedule
from invbench.training.budget import Budget
from invbench.training.plan import PlannedRun
from invbench.training.schedule import run_plan


def plan(*stems, minutes=8.0):
    return [PlannedRun(stem, (Case("msgan", "sr16"),), Budget(minutes=minutes)) for stem in stems]


def write_skill(folder, stem, skill):
    save_checkpoint(
        folder / f"{stem}.safetensors",
        {"weight": torch.zeros(1)},
        method="msgan",
        stem=stem,
        config=Budget(),
        card={"validation": {} if skill is None else {"skill": skill}},
    )


@pytest.fixture
def taken(monkeypatch):
    """Let runs do nothing but be noted as (stem, minutes)."""
    taken = []
    monkeypatch.setattr(schedule, "run_recipe", lambda recipe, **_: taken.append(recipe.noted))
    return taken


def recipes(folder):
    return lambda run: SimpleNamespace(output=folder, noted=(run.stem, run.budget.minutes))


def test_rounds_double_the_budgets(tmp_path, taken):
    list(run_plan(plan("a", "b"), recipes(tmp_path), rounds=3))
    assert taken == [("a", 2), ("b", 2), ("a", 4), ("b", 4), ("a", 8), ("b", 8)]


def test_the_least_skilled_come_first_and_the_unknown_before_them(tmp_path, taken):
    for stem, skill in (("a", 0.2), ("b", -0.3), ("c", None), ("d", -0.1)):
        write_skill(tmp_path, stem, skill)
    list(run_plan(plan(*"abcde"), recipes(tmp_path), order="skill"))
    assert [stem for stem, _ in taken] == ["c", "e", "b", "d", "a"]


def test_the_order_of_a_round_is_that_of_the_skill_after_the_last(tmp_path, monkeypatch):
    taken = []

    def run(recipe, **_):
        stem, minutes = recipe.noted
        taken.append(stem)
        write_skill(tmp_path, stem, {"a": 0.5, "b": 0.1}[stem] if minutes == 4 else 1)

    monkeypatch.setattr(schedule, "run_recipe", run)
    list(run_plan(plan("a", "b"), recipes(tmp_path), rounds=2, order="skill"))
    assert taken == ["a", "b", "b", "a"]


def test_a_process_ends_with_the_one_that_started_it(monkeypatch):
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(schedule, "_PARENT_CHECK_SECONDS", 0)

    class EndedError(Exception):
        pass

    def end(code):
        assert code
        raise EndedError

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(EndedError):
        schedule._end_with(7)
    assert next(parents, None) is None
