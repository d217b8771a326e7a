"""Which inverse problems, and how large?

A `Task` is a family of problems, one for each size of image: an operator, its linear twin and its
noise. A `Problem` is one of them; samplers are built for it. `TASKS` holds the study's three,
`find_task` knows the built-in ones by name, `linear_task` makes one of any linear function. A
profile (tiny, small, paper) fixes the size of the targets and how many images and samples.
"""

from __future__ import annotations

from invbench.problems.families import FAMILIES, Family, find_task
from invbench.problems.functions import linear_task
from invbench.problems.noise import Noise
from invbench.problems.problem import ExactDenoiser, Problem
from invbench.problems.profiles import PROFILES, Profile, get_profile
from invbench.problems.tasks import TASKS, Task, get_task

__all__ = [
    "FAMILIES",
    "PROFILES",
    "TASKS",
    "ExactDenoiser",
    "Family",
    "Noise",
    "Problem",
    "Profile",
    "Task",
    "find_task",
    "get_profile",
    "get_task",
    "linear_task",
]
