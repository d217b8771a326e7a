"""Images of one photograph are summed, and a standard error counts photographs."""

from __future__ import annotations

import numpy as np
import pytest

from invbench.gate.groups import InvalidDifferencesError, sum_by_group


def rng(seed=0):
    return np.random.default_rng(seed)


def ratio_standard_error(values, groups):
    """The textbook's formula for a ratio of sums over independent clusters, in a loop."""
    names = sorted(set(groups))
    mean, n = values.mean(), len(names)
    total = 0.0
    for name in names:
        own = values[[group == name for group in groups]]
        total += (own - mean).sum() ** 2
    return np.sqrt(n / (n - 1) * total) / len(values)


def test_the_mean_is_over_images_and_the_error_over_photographs():
    groups = list("aabcccdd")
    values = rng().normal(1, 1, (8, 3))
    found = sum_by_group(values, groups)
    assert found.means == pytest.approx(values.mean(axis=0))
    expected = [ratio_standard_error(column, groups) for column in values.T]
    assert found.standard_errors == pytest.approx(expected)
    assert found.n_groups.tolist() == [4, 4, 4]
    assert found.residuals.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_with_an_image_a_photograph_it_is_the_usual_error():
    values = rng().normal(0, 1, (9, 2))
    expected = values.std(axis=0, ddof=1) / 3
    assert sum_by_group(values).standard_errors == pytest.approx(expected)


def test_copies_of_an_image_are_no_more_evidence():
    values = rng().normal(0, 1, (6, 1))
    once = sum_by_group(values)
    thrice = sum_by_group(np.repeat(values, 3, axis=0), np.repeat(range(6), 3).tolist())
    assert thrice.standard_errors == pytest.approx(once.standard_errors)


def test_what_was_not_measured_counts_nowhere():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0], [7.0, np.nan]])
    found = sum_by_group(values, ["a", "a", "b", "c"])
    assert found.n_groups.tolist() == [3, 2]
    assert found.means.tolist() == [4.0, 3.0]


@pytest.mark.parametrize(
    ("differences", "groups", "message"),
    [
        ([1.0, 2.0], None, "expected finite"),
        ([[1.0], [np.inf]], None, "expected finite"),
        ([[1.0]], None, "has 1 photograph;"),
        ([[1.0, 1.0], [1.0, np.nan]], None, "hypothesis 1 has 1 photograph;"),
        ([[1.0], [2.0]], ["a", "a"], "has 1 photograph;"),
        ([[1.0], [2.0]], ["a"], "1 groups for 2 images"),
    ],
    ids=["one axis", "infinite", "one unit", "one of a row", "one photograph", "short"],
)
def test_bad_tables_are_named(differences, groups, message):
    with pytest.raises(InvalidDifferencesError, match=message):
        sum_by_group(differences, groups)
