"""Which inverse problems, and how large? `TASKS` pairs a name with an operator.

A profile (tiny, small, paper) fixes the size of the targets and how many images and samples.
"""

from __future__ import annotations

from invbench.problems.profiles import PROFILES, Profile, get_profile
from invbench.problems.tasks import TASKS, Task, get_task

__all__ = ["PROFILES", "TASKS", "Profile", "Task", "get_profile", "get_task"]
