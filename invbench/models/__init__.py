"""Who answers? The eight methods, one file each, and how any other sampler enters.

The files `gan`, `monce`, `imle`, `ddrm`, `ddrm_jpeg` and `ndm` sample: each has its paper's formula
in a docstring, beside code with the same letters. What the suite has to know of a method is in the
file of its name in `configurations`. Training lives elsewhere.
"""

from __future__ import annotations

from invbench.models.cases import CASES, REFERENCES, Case
from invbench.models.checkpoints import (
    load_checkpoint,
    load_weights,
    prepare,
    read_card,
    save_checkpoint,
)
from invbench.models.folder import SampleFiles, find_image, find_models, find_samples
from invbench.models.method import Method, Sampler
from invbench.models.reference import REFERENCE, fitted_prior, reference_sampler
from invbench.models.registry import MODELS, get_method, load_factory

__all__ = [
    "CASES",
    "MODELS",
    "REFERENCE",
    "REFERENCES",
    "Case",
    "Method",
    "SampleFiles",
    "Sampler",
    "find_image",
    "find_models",
    "find_samples",
    "fitted_prior",
    "get_method",
    "load_checkpoint",
    "load_factory",
    "load_weights",
    "prepare",
    "read_card",
    "reference_sampler",
    "save_checkpoint",
]
