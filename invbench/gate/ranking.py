"""Which models of one run can be told apart? All pairs of them, image by image. No torch here.

For each task and score, every pair of models is tested in both directions, all of them together at
one family-wise error rate, with photographs as units, by `statistics.both_tests`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from invbench.errors import ConflictingRunsError, MissingDataError
from invbench.escaping import counted
from invbench.gate.groups import sum_by_group
from invbench.gate.identities import image_ids, photographs
from invbench.gate.statistics import RESAMPLING_SHARE, both_tests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from invbench.runs import CaseRecord

POWER = 0.8


@dataclass(frozen=True)
class Pair:
    """Two models in order.

    Attributes:
        better: the model with the better mean.
        worse: the other.
        p: smallest family-wise error rate at which the difference is shown.
        photographs_missing: how many more photographs would show it four times in five, if the
            difference is what was measured; 0 if it is shown, None if there is no difference.
    """

    better: str
    worse: str
    p: float
    photographs_missing: int | None


@dataclass(frozen=True)
class Ranking:
    """The models of a task in the order of one score.

    Attributes:
        task: id.
        score: name.
        n_photographs: behind each mean.
        means: model -> mean over images, the best first.
        pairs: of all models, better before worse.
        tiers: models from the best down; in a tier nobody is shown to be worse than its first.
    """

    task: str
    score: str
    n_photographs: int
    means: Mapping[str, float]
    pairs: tuple[Pair, ...]
    tiers: tuple[tuple[str, ...], ...]


def rank(
    scores: Mapping[str, ArrayLike],
    groups: Sequence[str],
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    task: str = "",
    score: str = "",
) -> Ranking:
    """Rank models by one score, paired by image.

    Args:
        scores: model -> its score on each image.
        groups: the photograph of each image, two or more different ones.
        higher_is_better: the direction of the score.
        alpha: family-wise error rate over all pairs.
        task: for the result.
        score: for the result.

    Raises:
        MissingDataError: for fewer than two models or photographs.

    Example:
        >>> scores = {"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]}
        >>> scores["b"] = [1.1, 1.9, 3.2, 3.9, 4.8, 6.0, 7.0, 8.1, 8.8]
        >>> scores["c"] = [2.0, 3.1, 4.0, 5.1, 6.0, 7.1, 8.0, 9.1, 9.9]
        >>> rank(scores, list("rstuvwxyz"), higher_is_better=False).tiers
        (('b', 'a'), ('c',))
    """
    if len(scores) < 2 or len(set(groups)) < 2:
        raise MissingDataError(
            f"{task} {score}: {counted(len(scores), 'model')} on "
            f"{counted(len(set(groups)), 'photograph')}; "
            "two of each are needed"
        )
    columns = {model: np.asarray(values, dtype=np.float64) for model, values in scores.items()}
    means = {model: float(values.mean()) for model, values in columns.items()}
    means = dict(sorted(means.items(), key=lambda item: item[1], reverse=higher_is_better))
    sign = -1 if higher_is_better else 1
    directions = list(permutations(means, 2))
    differences = [sign * (columns[worse] - columns[better]) for better, worse in directions]
    sums = sum_by_group(np.stack(differences, axis=1), groups)
    adjusted = dict(zip(directions, both_tests(sums, alpha=alpha).p, strict=True))
    ratios = dict(zip(directions, _ratios(sums.means, sums.standard_errors), strict=True))
    n_photographs, order = len(set(groups)), list(means)
    strictest = RESAMPLING_SHARE * alpha / len(directions)
    pairs = []
    for better, worse in combinations(order, 2):
        p = float(adjusted[better, worse])
        missing = 0 if p <= alpha else _missing(n_photographs, ratios[better, worse], strictest)
        pairs.append(Pair(better, worse, p, missing))
    shown = {(pair.better, pair.worse) for pair in pairs if pair.p <= alpha}
    return Ranking(task, score, n_photographs, means, tuple(pairs), _tiers(order, shown))


def rank_run(
    cases: Mapping[str, CaseRecord], *, alpha: float = 0.05, scores: Sequence[str] = ()
) -> list[Ranking]:
    """Rank the models of a run on each task, by each score, over the images that all of them share.

    Args:
        cases: id -> record.
        alpha: family-wise error rate of each ranking.
        scores: names; all by default.

    Raises:
        ConflictingRunsError: if the models of a task share no image, or their images differ.
    """
    tasks: dict[str, dict[str, CaseRecord]] = {}
    for record in cases.values():
        if record.validity:
            task = str(record.identity["task"]["name"])
            tasks.setdefault(task, {})[record.case_id.removesuffix(f"-{task}")] = record
    rankings = []
    for task, records in tasks.items():
        ids = _shared_ids(task, list(records.values()))
        measured = {model: _scores(record, ids) for model, record in records.items()}
        groups = _groups(next(iter(records.values())), ids)
        for score in next(iter(measured.values())):
            columns = {model: one[score] for model, one in measured.items() if score in one}
            if len(columns) > 1 and (not scores or score in scores):
                higher = next(iter(columns.values()))[1]
                rankings.append(
                    rank(
                        {
                            model: np.array(values, dtype=np.float64)
                            for model, (values, _) in columns.items()
                        },
                        groups,
                        higher_is_better=higher,
                        alpha=alpha,
                        task=task,
                        score=score,
                    )
                )
    return rankings


def score_names(cases: Mapping[str, CaseRecord]) -> set[str]:
    """Return the names of the scores that `rank_run` finds in records."""
    measured = [record for record in cases.values() if record.validity]
    return {name for record in measured for name in _scores(record, ())}


def _shared_ids(task: str, records: Sequence[CaseRecord]) -> list[str]:
    """Return the images that all records are of, refusing images of other data or pixels."""
    data = [dict(record.identity["task"].get("dataset", {})) for record in records]
    ids = [one.pop("image_ids", ()) for one in data]
    alike = all(these == ids[0] for these in ids)
    for one in data:
        for name in () if alike else ("sha256", "observations_sha256", "groups"):
            one.pop(name, None)  # these are of all images together
    shared = [name for name in ids[0] if all(name in these for these in ids)]
    if not shared or any(one != data[0] for one in data):
        raise ConflictingRunsError(f"{task}: the models were measured on different images")
    return shared


def _groups(record: CaseRecord, ids: Sequence[str]) -> list[str]:
    """Return the photograph of each image."""
    known = dict(zip(image_ids(record), photographs(record), strict=False))
    return [known.get(image_id, image_id) for image_id in ids]


def _scores(
    record: CaseRecord, ids: Sequence[str]
) -> dict[str, tuple[Sequence[float | None], bool]]:
    """Return each score of a record on some images, and whether higher is better.

    Scores that are not finite on an image are left out.
    """
    found: dict[str, tuple[Sequence[float | None], bool]] = {
        name: (m.per_image, m.higher_is_better) for name, m in record.validity.items()
    }
    found |= {
        f"target {name}": (m.per_image, m.higher_is_better) for name, m in record.target.items()
    }
    found |= {name: (skill.per_image, False) for name, skill in record.skill.items()}
    if record.interval:
        found["winkler"] = (record.interval.winkler_per_image, False)
    places = [image_ids(record).index(image_id) for image_id in ids]
    chosen = {n: ([one[k] for k in places], higher) for n, (one, higher) in found.items() if one}
    return {name: one for name, one in chosen.items() if None not in one[0]}


def _missing(n_photographs: int, ratio: float, alpha: float) -> int | None:
    """Return how many more photographs show a mean of ``ratio`` standard errors, in a t-test.

    The number n of all photographs solves ``ratio sqrt(n / n_photographs) = t(alpha) + t(POWER)``
    with quantiles of n - 1 degrees of freedom.
    """
    if ratio <= 0:
        return None
    n = float(n_photographs)
    for _ in range(100):  # each step halves the error at least
        needed = stdtrit(n - 1, POWER) - stdtrit(n - 1, alpha)
        n = (n + max(n_photographs * (needed / ratio) ** 2, 2.0)) / 2
    return max(1, math.ceil(n) - n_photographs)


def _ratios(means: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means in standard errors; infinite where photographs agree, 0 where all is equal."""
    sure = np.where(means > 0, np.inf, np.where(means < 0, -np.inf, 0.0))
    return np.divide(means, errors, out=sure, where=errors > 0)


def _tiers(order: Sequence[str], shown: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Begin a tier with the best model left, and take in those next that are not shown worse."""
    tiers: list[list[str]] = []
    for model in order:
        if tiers and (tiers[-1][0], model) not in shown:
            tiers[-1].append(model)
        else:
            tiers.append([model])
    return tuple(map(tuple, tiers))
