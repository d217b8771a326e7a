"""How is it learnt? One file for each way of learning, one loop; `learners` says who uses which.

No code that samples imports this room.
"""

from __future__ import annotations

from invbench.training.budget import Budget
from invbench.training.cards import write_card
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
