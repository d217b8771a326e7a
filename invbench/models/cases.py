"""The 24 cases: eight models on three tasks; and the reference sampler on each task."""

from __future__ import annotations

from dataclasses import dataclass

from invbench.models.reference import REFERENCE
from invbench.models.registry import MODELS
from invbench.problems import TASKS


@dataclass(frozen=True)
class Case:
    """One model on one task.

    >>> Case("chimle", "sr16").id
    'chimle-sr16'
    """

    model: str
    task: str

    @property
    def id(self) -> str:
        """Return the id used in test names, records and baselines."""
        return f"{self.model}-{self.task}"


CASES = tuple(Case(model, task) for model in MODELS for task in TASKS)
REFERENCES = tuple(Case(REFERENCE, task) for task in TASKS)
