"""What is asked? The three inverse problems, and at which sizes a profile poses them."""

from __future__ import annotations

from invbench.problems.profiles import PROFILES, Profile, get_profile
from invbench.problems.tasks import TASKS, Task, get_task

__all__ = ["PROFILES", "TASKS", "Profile", "Task", "get_profile", "get_task"]
