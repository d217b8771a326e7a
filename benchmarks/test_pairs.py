"""Are a model's samples valid, are its intervals reliable, and how fast does it sample?

One case a model and task: observe photographs, sample, reobserve the samples, score, and hold the
result against `fixtures/thresholds.toml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invbench.machine import synchronized_clock

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from invbench.evaluation import Subject
    from invbench.models import Case
    from invbench.suite.session import Session


@pytest.mark.benchmark(timer=synchronized_clock)
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # by a resumed case
def test_pair(case: Case, subject: Subject, session: Session, benchmark: BenchmarkFixture) -> None:
    """A pair is as valid and as calibrated as its limits say, and keeps the contract."""
    benchmark.group = case.task
    record = session.run(case, subject, measure_rounds=benchmark.pedantic)

    scores = {name: metric.mean for name, metric in record.validity.items()}
    if record.interval:
        scores["coverage"] = record.interval.coverage
    benchmark.extra_info.update(scores)
    assert record.status in ("passed", "measured"), record.reason
