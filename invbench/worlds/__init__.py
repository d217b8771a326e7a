"""Where is the answer known? Laws of images with exact denoisers and exact posteriors.

A solver that is given the exact denoiser of a `World` has no excuse: what its samples differ by
from exact ones is its own.
"""

from invbench.worlds.scores import REPETITIONS, Truth, against_truth, bands
from invbench.worlds.solvers import SOLVERS
from invbench.worlds.world import WORLDS, World, get_world, targets_of

__all__ = [
    "REPETITIONS",
    "SOLVERS",
    "WORLDS",
    "Truth",
    "World",
    "against_truth",
    "bands",
    "get_world",
    "targets_of",
]
