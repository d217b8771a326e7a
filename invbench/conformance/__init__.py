"""Does a sampler, or a task, keep what it promises? Asked of a few images, one property at a time.

`check_sampler` and `check_task` return a `Finding` for each property. A run of the suite asks some
of the same questions, by the same functions (`evaluation.contract`), of every image it measures.
"""

from __future__ import annotations

from invbench.conformance.properties import Finding
from invbench.conformance.samplers import check_sampler
from invbench.conformance.tasks import check_task

__all__ = ["Finding", "check_sampler", "check_task"]
