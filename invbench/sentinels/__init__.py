"""Would a broken sampler be found? Samplers with a known defect, and checks that must flag them.

>>> from invbench.data.synthetic import GaussianField
>>> from invbench.operators import LinearGray
>>> field = GaussianField(8, 8, std=0.07)
>>> world = World.draw(GaussianPosterior(field, LinearGray(8, 8)), 24)
>>> verdicts = {s.name: flags(examine(world_evidence(world, s, n_samples=10))) for s in SENTINELS}
>>> verdicts["exact"], verdicts["duplicated_seeds"][0], verdicts["one_nan"]
((), 'duplicates', ('finite',))
"""

from __future__ import annotations

from invbench.models.gaussian import GaussianPosterior
from invbench.sentinels.bands import Measured
from invbench.sentinels.battery import Finding, examine, flags
from invbench.sentinels.checks import BATTERY, Probe
from invbench.sentinels.evidence import Evidence
from invbench.sentinels.samplers import SENTINELS, Sentinel
from invbench.sentinels.world import World

__all__ = [
    "BATTERY",
    "SENTINELS",
    "Evidence",
    "Finding",
    "GaussianPosterior",
    "Measured",
    "Probe",
    "Sentinel",
    "World",
    "examine",
    "flags",
    "world_evidence",
]


def world_evidence(world: World, sentinel: Sentinel, *, n_samples: int) -> Evidence:
    """Draw a sentinel's samples in a world, as evidence for `examine`."""
    return Evidence(
        world.sample(sentinel.build(world), n_samples),
        world.targets,
        world.observations,
        world.posterior.operator,
        world.posterior.std,
        world.seed,
    )
