"""What of a record is compared by image: one number an image, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invbench.runs import CaseRecord, IntervalRecord


MANY_INFINITE = 0.05  # of the samples


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


def infinite_share(record: CaseRecord) -> float:
    """Return the share of samples that reobserve exactly, whose PSNR is infinite."""
    psnr = record.validity.get("psnr")
    if psnr is None or not psnr.n_nonfinite:
        return 0.0
    n_samples = int(record.identity.get("sampling", {}).get("n_samples", 1))
    return psnr.n_nonfinite / (psnr.n_images * n_samples)


def scores(record: CaseRecord, *, exact: bool = False) -> dict[str, Scores]:
    """Return everything of a record that is compared by image.

    Of a PSNR that is infinite for many samples the mean says where it was capped; the mean squared
    error takes its place.

    Of the intervals two numbers are: how far coverage is from what exact posterior samples would
    reach, and the interval score (Winkler), which is proper and so holds width against coverage.
    Width by itself has no direction in which it gets worse. The CRPS is proper, too, and of samples
    themselves: it alone sees samples that are further off, though as valid and as wide.

    Args:
        record: of a case.
        exact: whether `infinite_share` is above `MANY_INFINITE` in either run.
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
    if exact and "psnr" in found:
        found["squared_error"] = Scores(
            values=record.validity["psnr"].squared_error_per_image,
            higher_is_better=False,
            unit="levels²",
            definition=found.pop("psnr").definition,
        )
    if record.interval is not None:
        found |= _interval_scores(record.interval)
    if "crps" in record.skill:
        found["crps"] = Scores(
            values=record.skill["crps"].per_image, higher_is_better=False, unit="", definition={}
        )
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
