"""Runs that a board can be made of, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from run_records import case_record, run_record

from invbench.runs import MetricRecord, Picture, RunStore

PHOTOGRAPHS = tuple("abcdefghi")


def board_run(folder, *, day, models, n_samples=20, **facts):
    """Write a run of one task: model -> PSNR, which varies a little between photographs."""
    store = RunStore(folder)
    cases = {f"{model}-sr16": psnr for model, psnr in models.items()}
    stamp = f"2026-01-{day:02}T08:00:00+00:00"
    store.write_run(
        run_record(
            run_id=folder.name,
            created=stamp,
            selected_cases=sorted(cases),
            expected_cases=sorted(cases),
            **facts,
        )
    )
    for case_id, psnr in cases.items():
        record, scores = _case(case_id, psnr, n_samples)
        store.write_case(record, scores)
        store.write_pictures(case_id, _pictures())
    return store


def _case(case_id, psnr, n_samples):
    noise = np.random.default_rng(len(case_id)).normal(0, 0.05, len(PHOTOGRAPHS))
    scores = np.repeat((psnr + noise)[:, None], n_samples, axis=1)
    metric = MetricRecord(
        unit="dB",
        higher_is_better=True,
        version="1",
        n_images=len(PHOTOGRAPHS),
        mean=float(scores.mean()),
        stderr=0.02,
        n_nonfinite=0,
        per_image=tuple(scores.mean(axis=1).tolist()),
    )
    data = {"name": "photographs", "image_ids": list(PHOTOGRAPHS), "groups": list(PHOTOGRAPHS)}
    identity = {
        "model": {"name": case_id.removesuffix("-sr16")},
        "task": {"name": "sr16", "dataset": data},
        "sampling": {"n_samples": n_samples, "nfe": 1},
    }
    many = (0.8,) * len(PHOTOGRAPHS)
    plain = case_record(case_id)
    interval = replace(plain.interval, coverage_per_image=many, width_per_image=many)
    record = case_record(
        case_id,
        identity=identity,
        validity={"psnr": metric},
        target={},
        skill={},
        interval=interval,
    )
    return record, {"psnr": scores}


def _pictures():
    """Return one picture, of three panels in gradients."""
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (1, 64, 3))
    return [Picture("a", {"observation": ramp, "target": ramp[::-1], "sample 1": 255 - ramp})]
