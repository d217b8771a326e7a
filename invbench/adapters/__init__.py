"""How does a solver of another library become a sampler?

Each function takes what its library offers and a `Problem`, and returns a `Sampler` in invbench's
range and with one generator a sample. The libraries are extras, as ``invbench[deepinv]``, and are
imported only where they are used. docs/adapters.md has an example of each.
"""

from __future__ import annotations

from invbench.adapters.azula import azula_sampler
from invbench.adapters.deepinv import deepinv_physics, deepinv_sampler
from invbench.adapters.diffusers import pipeline_sampler, unet_sampler

__all__ = [
    "azula_sampler",
    "deepinv_physics",
    "deepinv_sampler",
    "pipeline_sampler",
    "unet_sampler",
]
