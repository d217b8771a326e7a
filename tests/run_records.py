"""Records of a case, for tests."""

from __future__ import annotations

from dataclasses import asdict

from invbench.runs.records import (
    CaseRecord,
    Check,
    IntervalRecord,
    MetricRecord,
    RunRecord,
    SkillRecord,
    ThroughputRecord,
)
from invbench.runs.timing import TimingCase, TimingRecord


def case_record(case_id="chimle-sr16", *, psnr=28.0, coverage=0.8, **changes):
    """Make a complete record with a given mean PSNR and coverage."""
    arguments = {
        "case_id": case_id,
        "identity": {"model": {"name": "chimle"}, "task": {"name": "sr16"}},
        "status": "passed",
        "validity": {
            "psnr": MetricRecord(
                unit="dB",
                higher_is_better=True,
                version="1",
                n_images=2,
                mean=psnr,
                stderr=0.5,
                n_nonfinite=0,
                per_image=(psnr, psnr),
            ),
            "lpips_random": MetricRecord(
                unit="",
                higher_is_better=False,
                version="0.1",
                n_images=2,
                mean=0.1,
                stderr=None,
                n_nonfinite=0,
                per_image=(0.1, 0.1),
            ),
        },
        "target": {
            "psnr_best": MetricRecord(
                unit="dB",
                higher_is_better=True,
                version="1",
                n_images=2,
                mean=28.0,
                stderr=None,
                n_nonfinite=0,
                per_image=(28.0, 28.0),
            )
        },
        "skill": {
            "crps": SkillRecord(
                value=0.25,
                low=0.1,
                high=0.4,
                reference="1",
                per_image=(0.06, 0.06),
                reference_per_image=(0.08, 0.08),
            )
        },
        "interval": IntervalRecord(
            level=0.9,
            rule="linear",
            n_samples=20,
            ideal_coverage=0.81,
            coverage=coverage,
            coverage_per_image=(coverage, coverage),
            mean_width=0.1,
            width_per_image=(0.1, 0.1),
            winkler=0.3,
            calibration={"guaranteed": {"certified": False}},
        ),
        "throughput": ThroughputRecord(
            seconds_per_round=(1.0, 1.5),
            samples_per_round=20,
            samples_per_second=16.0,
            chunk_size=10,
            nfe=1,
            peak_allocated_bytes=None,
            environment_key="cpu",
        ),
        "checks": (
            Check(
                id="validity/psnr",
                value=28.0,
                op=">=",
                limit=27.0,
                limit_source="thresholds.toml",
                passed=True,
            ),
        ),
        "wall_s": 2.0,
    }
    return CaseRecord(**arguments | changes)


def run_record(**changes):
    """Make the content of a ``run.json``."""
    environment = {
        "python": "3.11.7",
        "cpu": {"name": "a processor", "threads": 1},
        "packages": {"torch": "2.14.1", "lpips": None},
        "libjpeg": {"version": "6.2", "turbo": True},
        "gpu": None,
        "git": {"commit": "0123abc", "dirty": True},
    }
    record = RunRecord(
        run_id="run",
        created="2026-01-01T00:00:00+00:00",
        invbench="0.1.0",
        argv=("pytest", "benchmarks/"),
        profile="tiny",
        environment=environment,
        expected_cases=("chimle-sr16", "cimle-sr16"),
        selected_cases=("chimle-sr16",),
    )
    return asdict(record) | changes


def timing_record(case_id="chimle-sr16", *, seconds=((2.0, 1.0, 1.5), (1.0, 1.0, 4.0)), **changes):
    """Make a timing of one case in two processes: medians of 1.5 and 1 seconds."""
    arguments = {
        "environment_key": "a processor/1 threads",
        "weights": "checkpoint",
        "model": {"name": "chimle"},
        "targets": "embedded",
        "samples_per_round": 30,
        "chunk_size": 10,
        "nfe": 1,
        "peak_allocated_bytes": None,
        "seconds": seconds,
    }
    return TimingRecord(cases={case_id: TimingCase(**arguments | changes)})
