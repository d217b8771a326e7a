"""Records of a case, for tests."""

from __future__ import annotations

from invbench.records import CaseRecord, Check, IntervalRecord, MetricRecord, ThroughputRecord


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
