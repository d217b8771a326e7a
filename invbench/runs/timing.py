"""What is left of a timing in fresh processes: ``timing.json``. No torch here."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  readers ask for the types of fields
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from invbench.runs.measurements import NOTICEABLE

MOMENT = 1e-9  # seconds; no clock tells less
TIMING_SCHEMA = "invbench.timing/1"


@dataclass(frozen=True, kw_only=True)
class TimingCase:
    """How fast one case samples, measured in processes of its own.

    Attributes:
        environment_key: timings compare only within one key.
        weights: ``checkpoint``, ``random`` (untrained: good for speed alone) or ``own``.
        model: facts on the model, as in a case's identity.
        targets: name of the data set whose images were observed, another one in every round.
        samples_per_round: one round is all samples of one image.
        chunk_size: samples drawn in one call.
        nfe: network evaluations a sample, where the sampler says so.
        peak_allocated_bytes: on a GPU, of an untimed round; the largest of all processes.
        seconds: of each round, one list a process.
        clocks: of the GPU before and after the rounds, one pair a process, where they are known.
        first_call_s: seconds of the untimed round before, one a process.
        saved_by_repeating: share of a new round's time that a repeated one saves, one a process.
    """

    environment_key: str
    weights: Literal["checkpoint", "random", "own"]
    model: Mapping[str, Any]
    targets: str
    samples_per_round: int
    chunk_size: int
    nfe: int | None
    peak_allocated_bytes: int | None
    seconds: tuple[tuple[float, ...], ...]
    clocks: tuple[Mapping[str, Any], ...] = ()
    first_call_s: tuple[float, ...] = ()
    saved_by_repeating: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(rounds and min(rounds) > MOMENT for rounds in self.seconds):
            raise ValueError("a round takes some time")

    @property
    def keeps_results(self) -> bool:
        """Tell whether repeated rounds are faster, by the median over processes."""
        shares = self.saved_by_repeating
        return bool(shares) and median(shares) > NOTICEABLE


@dataclass(frozen=True, kw_only=True)
class TimingRecord:
    """Speed of a run's cases, measured in fresh processes: ``timing.json``.

    Attributes:
        cases: case id -> timing.
    """

    cases: Mapping[str, TimingCase]
    schema: str = TIMING_SCHEMA
