"""What was measured of a case: scores, intervals, skill and speed, as they stand in its record."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  readers ask for the types of fields
from dataclasses import dataclass, field
from typing import Any, Literal

NOTICEABLE = 0.1  # share of a round that repeating its input may save; more was not worked for


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """One validity metric of a case: the mean over images of the mean over samples.

    Attributes:
        unit: of the score.
        higher_is_better: its direction.
        version: of the implementation and what it depends on.
        n_images: images averaged over.
        mean: over images.
        stderr: of that mean, between images.
        n_nonfinite: scores that were infinite and entered at the metric's cap.
        per_image: mean over samples for each image, in the order of the data set's ids.
        squared_error_per_image: of a PSNR the mean squared error in levels of 255, likewise: finite
            where samples reobserve exactly and their PSNR is infinite.
    """

    unit: str
    higher_is_better: bool
    version: str
    n_images: int
    mean: float | None
    stderr: float | None
    n_nonfinite: int
    per_image: tuple[float | None, ...]
    squared_error_per_image: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NoiseFitRecord:
    """How well samples fit a noisy observation: chi-squared over the number of measurements.

    Attributes:
        value: mean over images of the mean over samples; 1 for samples of the exact posterior.
        low: lower end of its 95 % confidence interval over photographs; null for one photograph.
        high: its upper end.
        band: where the value of exact posterior samples lies with a probability of 0.95 or more.
        verdict: "fits" within the band; "below" where samples reproduce noise, "above" where they
            miss what was measured.
        n_measurements: measured values of an observation.
        per_image: mean over samples for each image.
    """

    value: float
    low: float | None
    high: float | None
    band: tuple[float, float]
    verdict: Literal["fits", "below", "above"]
    n_measurements: int
    per_image: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class IntervalRecord:
    """Intervals of a case, raw and calibrated.

    Attributes:
        level: nominal level, 0.9 for 5-95 %.
        rule: quantile rule.
        n_samples: K.
        ideal_coverage: what exact posterior samples would cover with that rule and K.
        coverage: mean over images of the fraction of values covered.
        coverage_per_image: the same for each image.
        coverage_ci95: confidence interval of the coverage, over photographs; null for one.
        coverage_band: where the coverage lies with probability 0.975 if the target could be any of
            the sampler's own samples: an ideal sampler's, for these images and this K.
        energy_band: the same of the energy score.
        mean_width: mean over images of upper - lower.
        width_per_image: the same for each image.
        winkler: mean interval score, lower is better.
        winkler_per_image: the same for each image.
        scores: name -> value and its 95 % confidence interval, low and high, over photographs:
            winkler, crps and energy (lower is better, in units of the [0, 1] range; the energy
            score over the root of the number of values), spread_skill (ideally 1),
            null_space_width (of intervals of reobservations, ideally 0), duplicate_fraction, and
            the risk in the quarters of an image's values with the shortest to longest intervals.
        rank_histogram: share of the targets' values by their rank among the K samples, ideally
            flat: K+1 shares, means over images.
        tarp_per_image: share of samples nearer to another photograph than the target is; uniform
            over images for an ideal sampler.
        calibration: the calibration's own record.
    """

    level: float
    rule: str
    n_samples: int
    ideal_coverage: float
    coverage: float
    coverage_per_image: tuple[float, ...]
    mean_width: float
    width_per_image: tuple[float, ...]
    winkler: float
    calibration: Mapping[str, Any]
    coverage_ci95: tuple[float | None, float | None] | None = None
    coverage_band: tuple[float, float] | None = None
    energy_band: tuple[float, float] | None = None
    winkler_per_image: tuple[float, ...] = ()
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    rank_histogram: tuple[float, ...] = ()
    tarp_per_image: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SkillRecord:
    """How much better a proper score is than the reference sampler's, on the same images.

    Attributes:
        value: 1 - score / the reference's score: 0 is no better, 1 would be perfect.
        low: lower end of its 95 % confidence interval over photographs; null for one photograph.
        high: its upper end.
        reference: version of the reference sampler.
        per_image: the score for each image.
        reference_per_image: the reference's.
    """

    value: float | None
    low: float | None
    high: float | None
    reference: str
    per_image: tuple[float, ...]
    reference_per_image: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class WorldRecord:
    """A number that says how far samples are from exact ones, where these are known.

    Attributes:
        value: of the samples.
        low: lower end of the band in which exact samples' lies.
        high: its upper end.
    """

    value: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Tell whether exact samples might have given it."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True, kw_only=True)
class ThroughputRecord:
    """How fast a case sampled.

    Attributes:
        seconds_per_round: one round is all samples of one image.
        samples_per_round: K.
        samples_per_second: K over the median round.
        chunk_size: samples drawn in one call.
        nfe: network evaluations a sample, where the sampler says so.
        peak_allocated_bytes: on a GPU, of an untimed round.
        environment_key: timings compare only within one key.
        first_call_s: seconds of the untimed round before, in which work may be done once for all.
        saved_by_repeating: share of a new round's time that a repeated one saves. A sampler that
            keeps results saves nearly all; its speed is that of new rounds all the same.
    """

    seconds_per_round: tuple[float, ...]
    samples_per_round: int
    samples_per_second: float
    chunk_size: int
    nfe: int | None
    peak_allocated_bytes: int | None
    environment_key: str
    first_call_s: float | None = None
    saved_by_repeating: float | None = None

    @property
    def keeps_results(self) -> bool:
        """Tell whether a repeated round is noticeably faster."""
        return self.saved_by_repeating is not None and self.saved_by_repeating > NOTICEABLE
