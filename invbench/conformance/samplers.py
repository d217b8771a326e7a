"""What a sampler promises, and how it is seen whether it keeps that."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import torch

from invbench.conformance.draws import DISTINCT, ROWS, Draws
from invbench.conformance.properties import Finding, Property, Verdict, describe, look_at_all
from invbench.conformance.sampled import Sampled, sample
from invbench.errors import InvalidSamplesError
from invbench.evaluation.contract import (
    changes,
    decided_by_row,
    depends_on_batch,
    duplicate_samples,
    irreproducible,
)
from invbench.runs import NOTICEABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invbench.data import Photo
    from invbench.evaluation import Subject
    from invbench.problems import Problem
    from invbench.runs import Breach

HEAVY = 10, 1.0  # a first call may take so many times longer than later ones, or so many seconds
KEPT = 0.5  # share of a sample's bytes that every call may leave behind


def check_sampler(
    build: Callable[[Problem, torch.device], Subject],
    problem: Problem,
    photos: Sequence[Photo],
    device: torch.device,
) -> list[Finding]:
    """Draw some 55 samples of four photographs, and look whether the sampler keeps its promises.

    Args:
        build: makes the sampler.
        problem: what it is built for.
        photos: four, of the problem's size.
        device: where it samples.

    Raises:
        UnsupportedProblemError: if the sampler declines the problem.
        UnknownNameError: if there is no such factory.
    """
    return look_at_all(PROPERTIES, sample(build, problem, photos, device))


def _loads(seen: Sampled) -> tuple[Verdict, str]:
    if isinstance(seen.subject, Exception):
        return "FAILED", describe(seen.subject)
    return "ok", f"in {seen.loading_s:.2g} s"


def _form(rule: str, fine: Callable[[Sampled], str]) -> Callable[[Sampled], tuple[Verdict, str]]:
    """Look at one rule that a batch of samples follows."""

    def look(seen: Sampled) -> tuple[Verdict, str]:
        if seen.broken_rule == rule:
            assert isinstance(seen.drawn, Exception)
            known = isinstance(seen.drawn, InvalidSamplesError)
            return "FAILED", str(seen.drawn) if known else describe(seen.drawn)
        return "ok", fine(seen)

    return look


def _range(seen: Sampled) -> str:
    samples = seen.draws.evidence.samples
    return f"[{float(samples.min()):.3f}, {float(samples.max()):.3f}]"


def _device(seen: Sampled) -> tuple[Verdict, str]:
    found = {(call.device.type, call.device.index or 0) for call in seen.calls}
    right = found == {(seen.device.type, seen.device.index or 0)}
    said = ", ".join(sorted({str(call.device) for call in seen.calls}))
    return ("ok" if right else "FAILED"), said


def _global_generators(seen: Sampled) -> tuple[Verdict, str]:
    names = dict.fromkeys(name for call in seen.calls for name in call.effects.touched)
    said = [f"advanced that of {' and '.join(names)}"] if names else []
    if isinstance(seen.drawn, Draws):
        evidence = seen.draws.evidence
        reads = changes(evidence.samples, seen.draws.reseeded, evidence.tolerance)
        if reads and not irreproducible(evidence):
            said.append(f"{reads} with its seed")
    return ("FAILED", "; ".join(said)) if said else ("ok", "left alone")


def _same_seeds(seen: Sampled) -> tuple[Verdict, str]:
    return _unless(irreproducible(seen.draws.evidence), "the same samples")


def _row_number(seen: Sampled) -> tuple[Verdict, str]:
    evidence, backwards = seen.draws.evidence, seen.draws.batches[0]
    differ = changes(evidence.samples, evidence.samples.flip(0), evidence.tolerance)
    if differ and not isinstance(backwards, Exception):
        rows = torch.stack(list(backwards.values()))
        if changes(evidence.samples, rows, evidence.tolerance) is None:
            return "FAILED", "with generators in reverse order, each row has the sample it had"
    return _unless(decided_by_row(evidence.features), "samples follow their generators")


def _batch(seen: Sampled) -> tuple[Verdict, str]:
    draws = seen.draws
    found = (depends_on_batch(replace(draws.evidence, batched=each)) for each in draws.batches)
    breach = next((each for each in found if each), None)
    return _unless(breach, "the same alone, by three, reversed")


def _other_seeds(seen: Sampled) -> tuple[Verdict, str]:
    evidence = seen.draws.evidence
    if not torch.equal(evidence.samples, seen.draws.others):
        return "ok", "other samples"
    if not evidence.stochastic:
        return "note", "the same samples, as its `stochastic` says"
    remedy = 'say `stochastic = "none"` of a sampler that is meant so'
    return "FAILED", f"the same samples: it takes nothing from its generators; {remedy}"


def _distinct(seen: Sampled) -> tuple[Verdict, str]:
    evidence = seen.draws.evidence
    if not evidence.stochastic:
        return "note", 'its `stochastic` is "none"'
    return _unless(duplicate_samples(evidence.distinct, DISTINCT), f"{DISTINCT} different ones")


def _observation(seen: Sampled) -> tuple[Verdict, str]:
    if not torch.equal(seen.draws.evidence.samples, seen.draws.crossed):
        return "ok", "other samples"
    return "note", "the same samples: unconditional, or kept by seed"


def _inputs(seen: Sampled) -> tuple[Verdict, str]:
    names = dict.fromkeys(name for call in seen.calls for name in call.inputs)
    return ("FAILED", f"changed {' and '.join(names)}") if names else ("ok", "as they were")


def _settings(seen: Sampled) -> tuple[Verdict, str]:
    loading = [f"{text} in the factory" for text in seen.loading.changed]
    sampling = dict.fromkeys(text for call in seen.calls for text in call.effects.changed)
    changed = [*loading, *sampling]
    return ("FAILED", "; ".join(changed)) if changed else ("ok", "as they were")


def _first_call(seen: Sampled) -> tuple[Verdict, str]:
    first, later = seen.draws.first_s, median(seen.draws.later_s)
    times, seconds = HEAVY
    heavy = first > times * later and first > later + seconds
    return ("FAILED" if heavy else "ok"), f"{first:.2g} s, later ones {later:.2g} s"


def _repeated(seen: Sampled) -> tuple[Verdict, str]:
    saved = seen.draws.saved
    if saved > NOTICEABLE:
        return "FAILED", f"a repeated input takes {saved:.0%} less: results are kept"
    return "ok", "as long as a new one"


def _memory(seen: Sampled) -> tuple[Verdict, str]:
    if not seen.draws.growth:
        return "not tested", "nobody counts it here"
    sample = seen.draws.evidence.samples[0].nbytes
    least = min(seen.draws.growth[1:])
    if least > KEPT * sample:
        return "FAILED", f"every call leaves {least / 1024:.0f} KiB or more behind"
    return "ok", "does not grow"


def _unless(breach: Breach | None, fine: str) -> tuple[Verdict, str]:
    return ("FAILED", breach.seen) if breach else ("ok", fine)


CALLED = ("loads", "tensor")
COMPARED = (*CALLED, "range", "same seeds")
PROPERTIES: tuple[Property[Sampled], ...] = (
    Property("loads", "a sampler, by the factory", _loads),
    Property("tensor", "a tensor", _form("tensor", lambda s: s.calls[0].returned), ("loads",)),
    Property(
        "shape",
        "[N, 3, H, W], any N",
        _form("shape", lambda s: str((ROWS, 3, *s.problem.size))),
        CALLED,
    ),
    Property(
        "dtype", "floating", _form("dtype", lambda s: s.calls[0].returned.split()[1]), ("shape",)
    ),
    Property("finite", "finite values", _form("finite", lambda _: "finite values"), ("dtype",)),
    Property("range", "[0, 1]", _form("range", _range), ("finite",)),
    Property("device", "that of the factory", _device, CALLED),
    Property("global generators", "neither read nor advanced", _global_generators, CALLED),
    Property("same seeds", "the same samples", _same_seeds, (*CALLED, "range")),
    Property(
        "row number",
        "does not decide on a sample",
        _row_number,
        (*COMPARED, "global generators"),
    ),
    Property(
        "batch",
        "the same in any row and batch",
        _batch,
        (*COMPARED, "global generators", "row number"),
    ),
    Property(
        "other seeds",
        "other samples",
        _other_seeds,
        (*COMPARED, "global generators", "row number"),
    ),
    Property(
        "distinct",
        f"{DISTINCT} samples are {DISTINCT} images",
        _distinct,
        (*COMPARED, "global generators", "row number", "other seeds"),
    ),
    Property("observation", "another one, other samples", _observation, COMPARED),
    Property("inputs", "left as they were", _inputs, CALLED),
    Property("settings of torch", "left as they were", _settings, CALLED),
    Property(
        "first call",
        f"at most {HEAVY[0]} later ones or +{HEAVY[1]:g} s",
        _first_call,
        (*CALLED, "range"),
    ),
    Property("repeated input", "takes as long as a new one", _repeated, (*CALLED, "range")),
    Property("memory", "no growth from call to call", _memory, (*CALLED, "range")),
)
