"""How is it learnt? One loss file a family, one loop. Nothing that samples depends on it."""

from __future__ import annotations

from invbench.training.cards import write_card
from invbench.training.loop import Budget
from invbench.training.plan import PlannedRun, plan_runs
from invbench.training.recipes import Recipe, Trained, run_recipe
from invbench.training.schedule import run_plan

__all__ = [
    "Budget",
    "PlannedRun",
    "Recipe",
    "Trained",
    "plan_runs",
    "run_plan",
    "run_recipe",
    "write_card",
]
