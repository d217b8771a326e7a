"""What of two runs can be compared, image by image, and why the rest cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from invbench.gate.identities import (
    conditions_differ,
    dataset_name,
    first_difference,
    image_ids,
    photographs,
    same_subject,
)
from invbench.gate.scores import MANY_INFINITE, Scores, infinite_share, scores
from invbench.runs import MEASURED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from invbench.gate.snapshots import Snapshot
    from invbench.runs import CaseRecord

ALL_METRICS = "all"


@dataclass(frozen=True, kw_only=True)
class PairedScores:
    """The scores of one metric of one case in both runs, paired by image.

    Attributes:
        case: id.
        metric: name.
        images: their ids.
        photographs: what each image is of; one photograph has one name in all tasks of a data set.
        same_subject: whether both runs have the same weights, so that equal scores are expected.
        unit: of the scores.
        baseline: scores ``[n]``.
        candidate: scores ``[n]`` of the same images.
        worse: how much worse the candidate's are, ``[n]``; negative is better.
    """

    case: str
    metric: str
    images: tuple[str, ...]
    photographs: tuple[str, ...]
    same_subject: bool
    unit: str
    baseline: NDArray[np.float64]
    candidate: NDArray[np.float64]
    worse: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number that does not vary: it may not grow."""

    case: str
    name: str
    baseline: int
    candidate: int


@dataclass(frozen=True)
class Mismatch:
    """Something that cannot be compared, and why."""

    case: str
    metric: str
    reason: str


@dataclass(frozen=True)
class Pairing:
    """Two runs laid beside each other.

    Attributes:
        pairs: what is tested.
        facts: what is compared exactly.
        mismatches: what cannot be compared.
        missing: cases that only the baseline has.
        new: cases that only the candidate has.
        unmeasured: cases that neither run measured.
        notes: what else a reader should know.
    """

    pairs: list[PairedScores] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pair_runs(
    baseline: Snapshot,
    candidate: Snapshot,
    *,
    cases: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Pairing:
    """PairedScores two runs by case, metric and image.

    What cannot be compared is named, see `conditions_differ`; so is a metric of another version.

    Args:
        baseline: what was.
        candidate: what is.
        cases: ids to restrict both to.
        without: metrics to leave out.
    """

    def chosen(snapshot: Snapshot) -> list[str]:
        return [name for name in snapshot.cases if cases is None or name in cases]

    pairing = Pairing()
    pairing.new.extend(sorted(set(chosen(candidate)) - set(baseline.cases)))
    for case in sorted(chosen(baseline)):
        if case not in candidate.cases:
            pairing.missing.append(case)
        else:
            _pair_case(baseline, candidate, case, without, pairing)
    return pairing


def _pair_case(
    baseline: Snapshot,
    candidate: Snapshot,
    case: str,
    without: Collection[str],
    pairing: Pairing,
) -> None:
    before, after = baseline.cases[case], candidate.cases[case]
    unmeasured = [record.status not in MEASURED for record in (before, after)]
    if all(unmeasured):
        pairing.unmeasured.append(case)
        return
    reason = conditions_differ(baseline, candidate, case)
    if reason:
        pairing.mismatches.append(Mismatch(case, ALL_METRICS, reason))
        return
    for item in (
        *_pairs(before, after, without, pairing.notes),
        *_facts(before, after, pairing.notes),
    ):
        if isinstance(item, PairedScores):
            pairing.pairs.append(item)
        elif isinstance(item, Fact):
            pairing.facts.append(item)
        else:
            pairing.mismatches.append(item)


def _pairs(
    baseline: CaseRecord, candidate: CaseRecord, without: Collection[str], notes: list[str]
) -> Iterator[PairedScores | Mismatch]:
    case, shares = baseline.case_id, [infinite_share(side) for side in (baseline, candidate)]
    exact = max(shares) > MANY_INFINITE
    if exact:
        listed = " and ".join(f"{share:.0%}" for share in shares)
        notes.append(
            f"{case}: psnr is infinite for {listed} of the samples, squared error is judged"
        )
    before, after = scores(baseline, exact=exact), scores(candidate, exact=exact)
    notes.extend(f"{case}: {name} is new, not compared" for name in after if name not in before)
    for name, old in before.items():
        if name in without:
            continue
        if name not in after:
            yield Mismatch(case, name, "not measured in the candidate")
        elif reason := _unlike(name, old, after[name], image_ids(baseline)):
            yield Mismatch(case, name, reason)
        else:
            yield _pair(name, baseline, candidate, old, after[name])


def _unlike(name: str, before: Scores, after: Scores, ids: list[str]) -> str | None:
    """Say why two columns of scores cannot be compared, if they cannot."""
    counts = (len(before.values), len(after.values))
    if difference := first_difference(before.definition, after.definition, name):
        return difference
    if counts != (len(ids), len(ids)):
        return f"{counts[0]} and {counts[1]} scores of {len(ids)} images"
    if unusable := sorted({*before.unusable, *after.unusable}):
        return f"not finite on {ids[unusable[0]]} ({len(unusable)} of {len(ids)} images)"
    return None


def _pair(
    name: str, baseline: CaseRecord, candidate: CaseRecord, before: Scores, after: Scores
) -> PairedScores:
    values = np.array([before.values, after.values], dtype=np.float64)
    dataset = dataset_name(baseline)
    return PairedScores(
        case=baseline.case_id,
        metric=name,
        images=tuple(image_ids(baseline)),
        photographs=tuple(f"{dataset}/{photo}" for photo in photographs(baseline)),
        same_subject=same_subject(baseline, candidate),
        unit=before.unit,
        baseline=values[0],
        candidate=values[1],
        worse=values[0] - values[1] if before.higher_is_better else values[1] - values[0],
    )


def _facts(
    baseline: CaseRecord, candidate: CaseRecord, notes: list[str]
) -> Iterator[Fact | Mismatch]:
    """Yield network evaluations, and peak memory where hardware and software are the same."""
    case = baseline.case_id
    values = {"nfe": [_nfe(baseline), _nfe(candidate)]}
    before, after = baseline.throughput, candidate.throughput
    if before and after and before.peak_allocated_bytes is not None:
        if before.environment_key == after.environment_key:
            peaks = [before.peak_allocated_bytes, after.peak_allocated_bytes]
            values["peak_allocated_bytes"] = peaks
        else:
            keys = f"{before.environment_key} against {after.environment_key}"
            notes.append(f"{case}: peak memory is not compared, {keys}")
    for name, (old, new) in values.items():
        if old is not None and new is not None:
            yield Fact(case=case, name=name, baseline=old, candidate=new)
        elif old is not None:
            yield Mismatch(case, name, "not measured in the candidate")


def _nfe(record: CaseRecord) -> int | None:
    found: int | None = record.identity.get("sampling", {}).get("nfe")
    return found
