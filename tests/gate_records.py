"""Runs to compare, for tests: three metrics and intervals, on images of the tests' own making."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np
from run_records import case_record

from invbench.gate import Snapshot, compare
from invbench.gate.snapshots import from_entry, to_entry
from invbench.runs.records import MetricRecord
from invbench.runs.store import RunStore

METRICS = {"psnr": (28.0, 4.0, True), "ssim": (0.8, 0.05, True), "lpips_random": (0.1, 0.05, False)}
CASES = ("chimle-sr16", "chimle-colorization", "ddrm-sr16")
CPU = {"gpu": None}


def record(case_id="chimle-sr16", *, seed=0, n_images=16, shift=None, noise=0.0, **identity):
    """Make a case on ``n_images``, metric ``name`` shifted by ``shift[name]``.

    The scores of an image depend on the case; ``noise`` (in tenths of the spread between images)
    is drawn from ``seed``. ``identity`` replaces parts of it, see below; another ``checkpoint``
    makes it a record of other weights.
    """
    shift = shift or {}
    images = np.random.default_rng(hash_of(case_id))
    draws = np.random.default_rng([seed, hash_of(case_id)])
    validity = {}
    for name, (mean, spread, higher) in METRICS.items():
        values = mean + spread * images.standard_normal(n_images)
        values += noise * spread / 10 * draws.standard_normal(n_images) + shift.get(name, 0.0)
        validity[name] = metric(values, higher, identity.get("metric_version", "1"))
    covered = 0.7 + 0.05 * images.standard_normal(n_images) + shift.get("coverage", 0.0)
    model, _, task = case_id.partition("-")
    ids = identity.get("image_ids", [f"photo-{i}" for i in range(n_images)])
    plain = case_record(case_id)
    return case_record(
        case_id,
        identity={
            "model": {"name": model, "checkpoint": {"sha256": identity.get("checkpoint", "a")}},
            "task": {
                "name": task,
                "operator": {"name": "o", "version": identity.get("operator_version", "1")},
                "dataset": {
                    "name": "photographs",
                    "sha256": identity.get("data_sha256", "d"),
                    "image_ids": ids,
                    "groups": identity.get("groups", ids),
                },
            },
            "sampling": {
                "n_samples": identity.get("n_samples", 20),
                "seed": identity.get("sampling_seed", 0),
                "dtype": identity.get("dtype", "float32"),
                "nfe": identity.get("nfe", 1),
            },
            "metrics": {name: {"version": validity[name].version} for name in validity},
        },
        validity=validity,
        target={},
        skill={},
        interval=replace(
            plain.interval,
            coverage=float(covered.mean()),
            coverage_per_image=tuple(covered.tolist()),
        ),
        checks=(),
    )


def metric(values, higher_is_better, version="1"):
    return MetricRecord(
        unit="",
        higher_is_better=higher_is_better,
        version=version,
        n_images=len(values),
        mean=float(np.mean(values)),
        stderr=None,
        n_nonfinite=0,
        per_image=tuple(None if np.isnan(v) else float(v) for v in values),
    )


def write_run(folder, records, *, profile="tiny", environment=None, expected=None, selected=()):
    """Write a run's folder, and return it."""
    store = RunStore(folder)
    ids = [item.case_id for item in records]
    store.write_run(
        {
            "run_id": folder.name,
            "created": "2026-01-01T00:00:00+00:00",
            "invbench": "0.1.0",
            "argv": [],
            "profile": profile,
            "environment": CPU if environment is None else environment,
            "expected_cases": ids if expected is None else expected,
            "selected_cases": selected,
        }
    )
    for item in records:
        store.write_case(item)
    return folder


def snapshot(name, records, *, profile="tiny"):
    """Make what the gate would read of a run."""
    return Snapshot(
        name=str(name),
        profile=profile,
        device="cpu",
        facts={},
        cases={item.case_id: from_entry(to_entry(item)) for item in records},
        timings={},
    )


def hash_of(text):
    return crc32(text.encode())


def row_of(report, case="chimle-sr16", metric="psnr"):
    """Return the row of a report that is of a case and a metric."""
    (found,) = [row for row in report.rows if (row.case, row.metric) == (case, metric)]
    return found


def with_record(changed, **options):
    """Compare a run of three cases with the same, the first of them replaced."""
    rest = [record(case) for case in CASES[1:]]
    before = record(n_images=len(changed.interval.coverage_per_image))
    return compare(snapshot("a", [before, *rest]), snapshot("b", [changed, *rest]), **options)
