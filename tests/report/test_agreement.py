"""Rank correlations and their bootstrap, against scipy's own and by resampling one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from invbench.report import agreement as module
from invbench.report.agreement import agreement


def test_is_the_closed_form_without_ties():
    ours, theirs = [3, 1, 4, 2, 5], [1, 2, 3, 4, 5]
    squares = sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True))
    found = agreement(ours, theirs)
    assert found.rho == pytest.approx(1 - 6 * squares / (5 * 24))
    concordant, discordant = 7, 3  # counted by hand
    assert found.tau == pytest.approx((concordant - discordant) / 10)
    assert (found.n_models, found.rho_interval, found.tau_interval) == (5, None, None)


@pytest.mark.parametrize("ours", [[1, 2, 3], [1, 1, 1, 1]])
def test_of_few_or_equal_values_is_none(ours):
    assert agreement(ours, range(len(ours))) is None


def test_the_interval_is_that_of_drawing_photographs_one_by_one(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 400)
    draws = np.random.default_rng(3)
    groups = ["a", "a", "a", "b", "c", "c", "d"]
    of_photographs = 2 * draws.standard_normal((12, 4))[:, [0, 0, 0, 1, 2, 2, 3]]
    per_image = of_photographs + draws.standard_normal((12, 7)) + np.arange(12)[:, None] / 3
    theirs = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.5, 3.5, 8.0, 7.0]  # with a tie
    found = agreement(per_image.mean(1), theirs, per_image=per_image, groups=groups)

    counts = np.random.default_rng(0).multinomial(4, np.full(4, 0.25), size=400)
    rhos, taus = [], []
    for count in counts:
        drawn = [np.flatnonzero(np.array(groups) == name) for name in "abcd"]
        images = np.concatenate([np.tile(drawn[i], n) for i, n in enumerate(count) if n])
        means = per_image[:, images].mean(1)
        rhos.append(spearmanr(means, theirs).statistic)
        taus.append(kendalltau(means, theirs).statistic)
    assert found.rho_interval == pytest.approx(np.quantile(rhos, [0.025, 0.975]))
    assert found.tau_interval == pytest.approx(np.quantile(taus, [0.025, 0.975]))
    alone = agreement(per_image.mean(1), theirs, per_image=per_image, groups=list("abcdefg"))
    assert alone.rho_interval != found.rho_interval


def test_one_photograph_gives_no_interval():
    per_image = np.arange(8.0).reshape(4, 2)
    found = agreement(per_image.mean(1), [1, 2, 3, 4], per_image=per_image, groups=["a", "a"])
    assert (found.rho, found.rho_interval) == (pytest.approx(1), None)
