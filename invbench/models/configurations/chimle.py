"""CHIMLE: Conditional Hierarchical IMLE (Peng, Moazeni & Li, NeurIPS 2022).

The network is a tower of four levels (`models.imle.TowerSampler`). Each level maps its own code,
together with the styles of the levels below, to its style. Training needs no adversary: for each
image it draws many samples and moves the nearest one closer, and it searches that sample's code
level by level (`training.imle.select_codes`).
"""

from __future__ import annotations

from functools import partial

from invbench.models.imle import TowerSampler, build_tower, configure_tower, rename_official
from invbench.models.method import Method

METHOD = Method(
    name="chimle",
    family="imle",
    source="arXiv:2211.14286",
    configure=partial(configure_tower, chained=True),
    build=build_tower,
    sampler=TowerSampler,
    stem=lambda task, _: f"chimle-{task}",
    rename_official=rename_official,
)
