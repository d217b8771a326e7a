"""Splits never score what they calibrate on."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invbench.uncertainty import (
    SortedFactors,
    Split,
    crc,
    cross_calibrate,
    grouped_cross_fitting,
    leave_one_group_out,
    random_splits,
    risk_curve,
    uncertified,
)
from invbench.uncertainty.errors import InvalidSplitError

GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=30).filter(
    lambda groups: len(set(groups)) > 1
)


def rng(seed=0):
    return np.random.default_rng(seed)


def members(groups, indices):
    return {groups[index] for index in indices}


def every_kind(groups, seed=0):
    n_groups = len(set(groups))
    return [
        leave_one_group_out(groups),
        grouped_cross_fitting(groups, folds=min(3, n_groups), generator=rng(seed)),
        random_splits(groups, repeats=4, generator=rng(seed)),
    ]


@given(groups=GROUPS, seed=st.integers(0, 100))
def test_no_split_calibrates_on_a_group_that_it_scores(groups, seed):
    for splits in every_kind(groups, seed):
        for split in splits:
            assert len(split.calibration) > 0
            assert len(split.scored) > 0
            assert not members(groups, split.calibration) & members(groups, split.scored)
            together = np.sort(np.concatenate([split.calibration, split.scored]))
            assert together.tolist() == list(range(len(groups)))


@given(groups=GROUPS, seed=st.integers(0, 100))
def test_leaving_out_and_cross_fitting_score_every_image_once(groups, seed):
    for splits in every_kind(groups, seed)[:2]:
        scored = np.sort(np.concatenate([split.scored for split in splits]))
        assert scored.tolist() == list(range(len(groups)))


def test_leaving_one_out_scores_one_group_at_a_time():
    splits = leave_one_group_out(["b", "a", "b", "c"])
    assert [split.scored.tolist() for split in splits] == [[0, 2], [1], [3]]


def test_folds_differ_by_at_most_one_group():
    splits = grouped_cross_fitting(range(11), folds=3, generator=rng())
    assert sorted(len(split.scored) for split in splits) == [3, 4, 4]


@pytest.mark.parametrize(("share", "n_calibration"), [(0.5, 5), (0.8, 8), (0.01, 1), (0.99, 9)])
def test_random_splits_calibrate_on_the_share(share, n_calibration):
    for split in random_splits(range(10), calibration_share=share, generator=rng()):
        assert len(split.calibration) == n_calibration


def test_random_splits_differ_and_repeat_with_the_seed():
    first, second = (random_splits(range(20), repeats=5, generator=rng(3)) for _ in range(2))
    assert all(np.array_equal(a.scored, b.scored) for a, b in zip(first, second, strict=True))
    assert len({tuple(split.scored) for split in first}) > 1


def test_impossible_splits_are_refused():
    for attempt in (
        lambda: leave_one_group_out(["a", "a"]),
        lambda: leave_one_group_out([]),
        lambda: grouped_cross_fitting(range(3), folds=4, generator=rng()),
        lambda: grouped_cross_fitting(range(3), folds=1, generator=rng()),
        lambda: random_splits(range(3), repeats=0, generator=rng()),
        lambda: random_splits(range(3), calibration_share=1.0, generator=rng()),
    ):
        with pytest.raises(InvalidSplitError):
            attempt()


class TestCrossCalibration:
    groups = ("a", "a", "b", "c", "c", "c", *"defghijklm")

    def curve(self):
        factors = rng().gamma(2, size=(len(self.groups), 50))
        return risk_curve(factors, scaling="additive")

    def test_counts_groups_as_units(self):
        crossed = cross_calibrate(
            self.curve(), leave_one_group_out(self.groups), groups=self.groups, calibrator=crc
        )
        assert {result.n for result in crossed.calibrations} == {12}

    def test_scores_each_image_with_the_factor_of_the_others(self):
        curve = self.curve()
        crossed = cross_calibrate(
            curve,
            leave_one_group_out(self.groups),
            groups=self.groups,
            calibrator=partial(uncertified, alpha=0.2),
        )
        others = curve.select(range(2, 16), self.groups)
        factor = others.smallest_factor(0.2)
        assert crossed.factors(16)[:2].tolist() == [factor, factor]
        assert crossed.losses[0].tolist() == curve.select([0, 1]).losses(factor).tolist()
        assert crossed.risks[0] == crossed.losses[0].mean()

    def test_an_outlier_does_not_vouch_for_itself(self):
        factors = np.ones((20, 10))
        factors[7] = 50
        crossed = cross_calibrate(
            risk_curve(factors, scaling="additive"),
            leave_one_group_out(range(20)),
            groups=range(20),
            calibrator=uncertified,
        )
        assert crossed.losses[7].tolist() == [1.0]

    def test_looks_at_an_image_once_for_each_factor(self, monkeypatch):
        asked = []
        count = SortedFactors.n_beyond
        monkeypatch.setattr(
            SortedFactors, "n_beyond", lambda *args: asked.append(args) or count(*args)
        )
        cross_calibrate(
            self.curve(),
            leave_one_group_out(self.groups),
            groups=self.groups,
            calibrator=partial(uncertified, alpha=0.2),
        )
        assert len(asked) == len(set(asked)) < 13 * 31 * 16

    @pytest.mark.parametrize("calibration", [[5, 2, 3, 4], [4, 2, 6], [2, 2, 3, 4, 5]])
    def test_calibrates_on_what_a_split_names_and_no_more(self, calibration):
        curve, seen = self.curve(), []
        cross_calibrate(
            curve,
            [Split(np.array(calibration), np.array([0, 1]))],
            groups=self.groups,
            calibrator=lambda units: seen.append(units) or uncertified(units, alpha=0.2),
        )
        parts = {"b": [2], "c": [i for i in calibration if 3 <= i <= 5], "d": [6]}
        order = dict.fromkeys(self.groups[index] for index in calibration)
        assert len(seen[0]) == len(order)
        for index, name in enumerate(order):
            twice = calibration.count(parts[name][0])
            alone = [curve.needed_factors(i) for i in parts[name]] * twice
            assert seen[0].needed_factors(index).tolist() == sorted(np.concatenate(alone).tolist())

    def test_refuses_splits_that_leak(self):
        leaking = [Split(np.array([0, 2]), np.array([1]))]
        with pytest.raises(InvalidSplitError, match="calibrates on"):
            cross_calibrate(self.curve(), leaking, groups=self.groups)

    def test_refuses_groups_of_other_images(self):
        with pytest.raises(InvalidSplitError, match="3 groups for 16 images"):
            cross_calibrate(self.curve(), [], groups=["a", "b", "c"])

    def test_has_no_factor_for_images_that_are_scored_twice(self):
        splits = random_splits(self.groups, repeats=2, generator=rng())
        crossed = cross_calibrate(self.curve(), splits, groups=self.groups, calibrator=crc)
        with pytest.raises(InvalidSplitError, match="exactly once"):
            crossed.factors(16)
