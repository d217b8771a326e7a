"""Measuring time and memory: a clock that waits for the GPU, rounds, and ratios of functions."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


PAIRS = 5  # of rounds that take a second look; by chance all agree once in 18,000 times


def synchronized_clock() -> float:
    """Return seconds on a monotonic clock, after all work queued on the GPU has ended.

    Give it to pytest-benchmark as its timer: it is read right before and right after the target.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(
    target: Callable[[], object],
    *,
    setup: Callable[[], object] = lambda: None,
    rounds: int = 1,
    warmup_rounds: int = 0,
) -> list[float]:
    """Time ``target`` in rounds, as ``benchmark.pedantic`` does with the same arguments.

    Returns:
        Seconds of each round, warm-up rounds left out; ``setup`` runs untimed before each.
    """
    seconds = []
    for index in range(warmup_rounds + rounds):
        setup()
        start = synchronized_clock()
        target()
        stop = synchronized_clock()
        if index >= warmup_rounds:
            seconds.append(stop - start)
    return seconds


def saved_by_repeating(
    repeat: Callable[[], object],
    new: Callable[[], object],
    seconds: Sequence[float],
    *,
    noticeable: float,
) -> float:
    """Return the share of a round's time that a function saves when its input is repeated.

    The repeated round is held against the fastest new one. As long as it looks noticeably faster,
    up to five pairs of a new and a repeated round follow, since others may have left the machine
    meanwhile; the slowest repeated round counts. The result is negative if nothing is saved.

    Args:
        repeat: gives the function an input that it had before.
        new: gives it one that it never had.
        seconds: of rounds with new inputs so far, at least one.
        noticeable: share of a round's time that calls for a second look.
    """
    new_s, repeated_s = list(seconds), measure(repeat)
    while max(repeated_s) < (1 - noticeable) * min(new_s) and len(repeated_s) <= PAIRS:
        new_s += measure(new)
        repeated_s += measure(repeat)
    if min(new_s) == 0:  # too short for the clock to tell
        return 0.0
    return 1 - max(repeated_s) / min(new_s)


@dataclass(frozen=True)
class Ratio:
    """How many times faster a variant is than the reference, round by round.

    Attributes:
        name: the variant.
        median: median over rounds of reference time / variant time in the same round.
        lowest: smallest ratio of any round.
        highest: largest ratio of any round.
        milliseconds: median time of the variant itself.
    """

    name: str
    median: float
    lowest: float
    highest: float
    milliseconds: float


def compare_speed(
    variants: Mapping[str, Callable[[], object]], *, reference: str, rounds: int = 9
) -> list[Ratio]:
    """Compare functions in one process: every round runs each once, in rotating order.

    The machine's drift hits all variants of a round alike, so ratios within a round hold where
    single times do not. Each variant is warmed up once; results are dropped at once, so that no
    variant pays for another's memory.
    """
    names = list(variants)
    for name in names:
        variants[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name] += measure(variants[name])
    ratios = {
        name: [a / b for a, b in zip(seconds[reference], seconds[name], strict=True)]
        for name in names
    }
    return [
        Ratio(
            name,
            statistics.median(ratios[name]),
            min(ratios[name]),
            max(ratios[name]),
            1000 * statistics.median(seconds[name]),
        )
        for name in names
    ]


@contextmanager
def peak_allocated_bytes(device: torch.device) -> Iterator[Callable[[], int | None]]:
    """Measure the most memory allocated on a GPU during the block; on a CPU the answer is None.

    Yields:
        A function that gives the peak once the block has ended.
    """
    peak: list[int] = []
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: peak[0] if peak else None
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        peak.append(torch.cuda.max_memory_allocated(device))
