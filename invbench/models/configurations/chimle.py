"""CHIMLE: Conditional Hierarchical IMLE (Peng, Moazeni & Li, NeurIPS 2022).

A tower of four levels; the style of each level is mapped from its own code and from the styles
below. Trained without an adversary: for each image the nearest of many samples is drawn closer,
the code being searched level by level (`training.imle.select_codes`).
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
