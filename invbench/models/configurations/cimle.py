"""cIMLE: Conditional IMLE (Li, Peng, Zhang & Malik, IJCV 2020), on CHIMLE's tower.

The network behind the study's cIMLE rows is not published. Here it is the tower of CHIMLE with
independent mapping nets (as in its predecessor HyperRIM), trained flat: the codes of all levels are
drawn together, and selection and loss look at the final output alone
(`training.imle.select_whole_codes`). What sets it apart from CHIMLE is then the hierarchy and
nothing else.
"""

from __future__ import annotations

from functools import partial

from invbench.models.imle import TowerSampler, build_tower, configure_tower, rename_official
from invbench.models.method import Method

METHOD = Method(
    name="cimle",
    family="imle",
    source="arXiv:2004.03590",
    configure=partial(configure_tower, chained=False),
    build=build_tower,
    sampler=TowerSampler,
    stem=lambda task, _: f"cimle-{task}",
    rename_official=rename_official,
)
