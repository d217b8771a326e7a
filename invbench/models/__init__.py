"""Who answers? The eight methods, and what any other sampler must look like (`Sampler`).

How the methods sample is in `gan`, `monce`, `imle`, `ddrm`, `ddrm_jpeg` and `ndm`: each has its
paper's formula in a docstring, beside code with the same letters. Each method has a file in
`configurations`, which says what the suite has to know of it, and a place in `MODELS`. How methods
learn is in `training`; `suite.own_samplers` reads the option that names a sampler of your own.
"""

from __future__ import annotations

from invbench.models.cases import CASES, REFERENCES, Case
from invbench.models.checkpoints import (
    load_checkpoint,
    load_network,
    load_weights,
    prepare,
    read_card,
    save_checkpoint,
)
from invbench.models.method import Method, Sampler
from invbench.models.noisy_posterior import MOST_MEASUREMENTS
from invbench.models.reference import REFERENCE, fitted_prior, has_reference, reference_sampler
from invbench.models.registry import MODELS, get_method, load_factory

__all__ = [
    "CASES",
    "MODELS",
    "MOST_MEASUREMENTS",
    "REFERENCE",
    "REFERENCES",
    "Case",
    "Method",
    "Sampler",
    "fitted_prior",
    "get_method",
    "has_reference",
    "load_checkpoint",
    "load_factory",
    "load_network",
    "load_weights",
    "prepare",
    "read_card",
    "reference_sampler",
    "save_checkpoint",
]
