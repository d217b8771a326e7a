"""What of a record is compared by image: one number an image, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invbench.runs import CaseRecord, IntervalRecord


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number an image, and what has to agree for two of them to be compared.

    Attributes:
        values: in the order of the data set's ids; None is what was not finite.
        higher_is_better: the direction.
        unit: of the numbers, as ``dB``; empty where they have none.
        definition: version and parameters.
    """

    values: tuple[float | None, ...]
    higher_is_better: bool
    unit: str
    definition: Mapping[str, Any]

    @property
    def unusable(self) -> list[int]:
        """Return the numbers of the images whose score is not finite."""
        return [
            number
            for number, value in enumerate(self.values)
            if value is None or not math.isfinite(value)
        ]


def scores(record: CaseRecord) -> dict[str, Scores]:
    """Return everything of a record that is compared by image.

    Of the intervals two numbers are: how far coverage is from what exact posterior samples would
    reach, and the interval score (Winkler), which is proper and so holds width against coverage.
    Width by itself has no direction in which it gets worse.
    """
    definitions = record.identity.get("metrics", {})
    found = {
        name: Scores(
            values=metric.per_image,
            higher_is_better=metric.higher_is_better,
            unit=metric.unit,
            definition={"version": metric.version, "unit": metric.unit}
            | {"higher_is_better": metric.higher_is_better}
            | dict(definitions.get(name, {})),
        )
        for name, metric in record.validity.items()
    }
    if record.interval is not None:
        found |= _interval_scores(record.interval)
    return found


def _interval_scores(interval: IntervalRecord) -> dict[str, Scores]:
    ideal = interval.ideal_coverage
    definition = {
        "level": interval.level,
        "rule": interval.rule,
        "n_samples": interval.n_samples,
        "ideal_coverage": ideal,
    }
    errors = tuple(None if c is None else abs(c - ideal) for c in interval.coverage_per_image)
    columns = {"coverage_error": errors}
    if interval.winkler_per_image:
        columns["winkler"] = interval.winkler_per_image
    return {
        name: Scores(values=values, higher_is_better=False, unit="", definition=definition)
        for name, values in columns.items()
    }
