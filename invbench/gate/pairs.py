"""What of two runs can be compared, image by image, and why the rest cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from invbench.runs import MEASURED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from invbench.gate.snapshots import Snapshot
    from invbench.runs import CaseRecord, IntervalRecord

ALL_METRICS = "all"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number an image, and what has to agree for two of them to be compared.

    Attributes:
        values: in the order of the data set's ids; None is what was not finite.
        higher_is_better: the direction.
        definition: version and parameters.
    """

    values: tuple[float | None, ...]
    higher_is_better: bool
    definition: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The scores of one metric of one case in both runs, paired by image.

    Attributes:
        case: id.
        metric: name.
        units: the images; one photograph has one name in all tasks of a data set.
        baseline: scores ``[n]``.
        candidate: scores ``[n]`` of the same images.
        worse: how much worse the candidate's are, ``[n]``; negative is better.
    """

    case: str
    metric: str
    units: tuple[str, ...]
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

    pairs: list[Pair] = field(default_factory=list)
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
    """Pair two runs by case, metric and image.

    The model's weights may differ: they are what is compared. Everything else that numbers depend
    on has to agree: profile, operator, data, sampling, and for each metric its version.

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
            definition={"version": metric.version, "unit": metric.unit}
            | {"higher_is_better": metric.higher_is_better}
            | dict(definitions.get(name, {})),
        )
        for name, metric in record.validity.items()
    }
    if record.interval is not None:
        found |= _interval_scores(record.interval)
    return found


def first_difference(baseline: Any, candidate: Any, path: str) -> str | None:
    """Say where two identities differ, as ``task.operator.version: '1' -> '2'``, or None.

    >>> first_difference({"seed": 0, "dtype": "float32"}, {"seed": 1, "dtype": "float32"}, "s")
    's.seed: 0 -> 1'
    """
    if isinstance(baseline, dict) and isinstance(candidate, dict):
        for key in sorted(baseline.keys() | candidate.keys()):
            found = first_difference(baseline.get(key), candidate.get(key), f"{path}.{key}")
            if found:
                return found
        return None
    if baseline == candidate:
        return None
    return f"{path}: {_short(baseline)} -> {_short(candidate)}"


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
    reason = _case_mismatch(baseline, candidate, case)
    if reason:
        pairing.mismatches.append(Mismatch(case, ALL_METRICS, reason))
        return
    for item in (
        *_pairs(before, after, without, pairing.notes),
        *_facts(before, after, pairing.notes),
    ):
        if isinstance(item, Pair):
            pairing.pairs.append(item)
        elif isinstance(item, Fact):
            pairing.facts.append(item)
        else:
            pairing.mismatches.append(item)


def _case_mismatch(baseline: Snapshot, candidate: Snapshot, case: str) -> str | None:
    """Say what keeps a whole case from being compared."""
    before, after = baseline.cases[case], candidate.cases[case]
    for side, record in (("baseline", before), ("candidate", after)):
        if record.status not in MEASURED:
            return f"{record.status} in the {side}: {record.reason or 'no reason was recorded'}"
        if not record.validity and record.interval is None:
            return f"nothing was measured in the {side}"
    if baseline.profile != candidate.profile:
        return f"profile: {baseline.profile!r} -> {candidate.profile!r}"
    difference = first_difference(_given(before), _given(after), "identity")
    if difference:
        return difference.removeprefix("identity.")
    ids = _image_ids(before)
    if not ids or len(set(ids)) != len(ids):
        return "the data set's image ids are not recorded, or not unique"
    return None


def _given(record: CaseRecord) -> dict[str, Any]:
    """Return what of an identity has to agree: all but the model's weights and effort."""
    identity = record.identity
    sampling = {key: v for key, v in identity.get("sampling", {}).items() if key != "nfe"}
    return {
        "model": {"name": identity.get("model", {}).get("name")},
        "task": identity.get("task"),
        "sampling": sampling,
    }


def _pairs(
    baseline: CaseRecord, candidate: CaseRecord, without: Collection[str], notes: list[str]
) -> Iterator[Pair | Mismatch]:
    case, before, after = baseline.case_id, scores(baseline), scores(candidate)
    notes.extend(f"{case}: {name} is new, not compared" for name in after if name not in before)
    ids = _image_ids(baseline)
    dataset = baseline.identity["task"]["dataset"].get("name", "")
    for name, old in before.items():
        if name in without:
            continue
        if name not in after:
            yield Mismatch(case, name, "not measured in the candidate")
            continue
        new = after[name]
        difference = first_difference(old.definition, new.definition, name)
        counts = (len(old.values), len(new.values))
        if difference:
            yield Mismatch(case, name, difference)
        elif counts != (len(ids), len(ids)):
            yield Mismatch(case, name, f"{counts[0]} and {counts[1]} scores of {len(ids)} images")
        elif bad := [i for i, *both in zip(ids, old.values, new.values, strict=True) if _bad(both)]:
            yield Mismatch(case, name, f"not finite on {bad[0]} ({len(bad)} of {len(ids)} images)")
        else:
            values = np.array([old.values, new.values], dtype=np.float64)
            worse = values[0] - values[1] if old.higher_is_better else values[1] - values[0]
            yield Pair(
                case=case,
                metric=name,
                units=tuple(f"{dataset}/{image}" for image in ids),
                baseline=values[0],
                candidate=values[1],
                worse=worse,
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
        name: Scores(values=values, higher_is_better=False, definition=definition)
        for name, values in columns.items()
    }


def _image_ids(record: CaseRecord) -> list[str]:
    task = record.identity.get("task") or {}
    return list((task.get("dataset") or {}).get("image_ids") or ())


def _nfe(record: CaseRecord) -> int | None:
    found: int | None = record.identity.get("sampling", {}).get("nfe")
    return found


def _bad(values: list[float | None]) -> bool:
    return any(value is None or not math.isfinite(value) for value in values)


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} entries"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."
