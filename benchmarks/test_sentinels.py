"""Can the checks tell an exact sampler from one with a defect?

In a world of Gaussian fields the posterior is known. One sampler draws from it and must pass every
check; each other one has a single defect and must be flagged by a check that ought to see it.
"""

from __future__ import annotations

from functools import cache

import pytest

from invbench.data.synthetic import GaussianField
from invbench.operators import LinearBicubic, LinearGray
from invbench.report import align
from invbench.sentinels import (
    BATTERY,
    SENTINELS,
    GaussianPosterior,
    World,
    examine,
    flags,
    world_evidence,
)

SIDE, N_IMAGES, N_SAMPLES = 32, 48, 20
OPERATORS = {"bicubic": LinearBicubic(SIDE, SIDE, 4), "gray": LinearGray(SIDE, SIDE)}


@cache
def world(operator):
    """Draw the targets of an operator's world; a value leaves [0, 1] with probability 1e-12."""
    posterior = GaussianPosterior(GaussianField(SIDE, SIDE, std=0.07), OPERATORS[operator])
    return World.draw(posterior, N_IMAGES)


@pytest.fixture(scope="module")
def table(request):
    """Collect who is flagged by what, and print it in the end."""
    rows = {}
    yield rows
    names = [check.name for check in BATTERY]
    cells = [
        (case, *("x" if name in found else "." for name in names)) for case, found in rows.items()
    ]
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        reporter = plugins.get_plugin("terminalreporter")
        reporter.ensure_newline()
        for line in align([("flagged by", *names), *cells]):
            reporter.write_line(line)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("sentinel", SENTINELS, ids=lambda sentinel: sentinel.name)
def test_sentinel(sentinel, operator, table):
    """An exact sampler passes every check, a defect is flagged by one that ought to see it."""
    found = flags(examine(world_evidence(world(operator), sentinel, n_samples=N_SAMPLES)))
    table[f"{sentinel.name}-{operator}"] = found
    if sentinel.flagged_by:
        assert set(found) & set(sentinel.flagged_by), sentinel.defect
    else:
        assert not found
