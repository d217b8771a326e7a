"""DDRM inverting its published code's operators, which are not the benchmark's.

Beside a run of all pairs, `invbench paper` shows it apart:

    pytest benchmarks/ --invbench-sampler ddrm-published=benchmarks.studies.ddrm_published:load

Super-resolution inverts plain block means, the reduction that the published code is named for;
gray is the mean of the channels; JPEG's chroma keeps every second sample.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from invbench.models import get_method, load_weights, prepare
from invbench.models.configurations.ddrm import OPERATORS
from invbench.models.ddrm import DdrmOptions, DdrmSampler
from invbench.models.ddrm_jpeg import DdrmJpegOptions, DdrmJpegSampler

CHECKPOINTS = Path(__file__).parents[2] / "fixtures" / "checkpoints"
PUBLISHED = {"sr16": "average", "colorization": "official"}


def load(problem, device):
    """Build it of the shipped weights."""
    method = get_method("ddrm")
    config = method.configure(problem.name, "tiny")
    network = method.build(config)
    stem = method.stem(problem.name, "tiny")
    network.load_state_dict(load_weights(CHECKPOINTS / f"{stem}.safetensors")[0])
    prepare(network, device)
    restorer = partial(DdrmJpegSampler, options=DdrmJpegOptions(codec="official"))
    if problem.name in PUBLISHED:
        decompose = OPERATORS[problem.name][PUBLISHED[problem.name]]
        restorer = partial(DdrmSampler, decompose=decompose, options=DdrmOptions())
    return method.sampler(network, replace(config, restorer=restorer))
