"""The verdict on every case and metric, and on the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.gate.judging import incomparable, judge_fact, judge_others, judge_same
from invbench.gate.pairs import ALL_METRICS, Mismatch, pair_runs
from invbench.gate.statistics import check_alpha
from invbench.gate.tolerances import TOLERANCES
from invbench.gate.verdicts import GateReport, Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from invbench.gate.pairs import Pairing
    from invbench.gate.snapshots import Snapshot
    from invbench.gate.timings import Speed
    from invbench.gate.verdicts import Comparison


def compare(
    baseline: Snapshot,
    candidate: Snapshot,
    *,
    mode: Mode = "regression",
    alpha: float = 0.05,
    allow_missing: bool = False,
    cases: Collection[str] | None = None,
    without: Collection[str] = (),
    speeds: Sequence[Speed] = (),
    seed: int = 0,
) -> GateReport:
    """Judge a candidate against a baseline, photograph by photograph.

    Cases with the same weights in both runs are compared image by image, see
    `judging.judge_same`; the means of all others are tested together, see `judging.judge_others`.

    Args:
        baseline: what was.
        candidate: what is.
        mode: ``regression`` fails what got worse. ``noninferiority`` also fails what is not shown
            to be no worse than tolerated. ``warn`` and ``off`` judge as ``regression`` does and
            fail nothing.
        alpha: family-wise error rate of the rows that are called regressed.
        allow_missing: whether the candidate may lack cases of the baseline.
        cases: ids to restrict the comparison to, if not all.
        without: metrics to leave out, which the report says.
        speeds: from `compare_timings`, to be part of the verdict.
        seed: of flips and resamples; the same runs get the same report.

    Raises:
        InvalidAlphaError: if alpha is not a probability that the tests can resolve.
    """
    check_alpha(alpha)
    pairing = pair_runs(baseline, candidate, cases=cases, without=without)
    rows = _judged(pairing, alpha=alpha, seed=seed)
    rows += map(incomparable, _mismatches(pairing, allow_missing=allow_missing))
    if not allow_missing:
        rows += map(incomparable, _no_longer_timed(baseline, candidate, speeds))
    return GateReport(
        baseline=baseline.name,
        candidate=candidate.name,
        mode=mode,
        alpha=alpha,
        family_size=sum(row.p_flips is not None for row in rows),
        rows=tuple(sorted(rows, key=lambda row: row.case)),
        missing_cases=tuple(pairing.missing),
        new_cases=tuple(pairing.new),
        unmeasured_cases=tuple(pairing.unmeasured),
        selected=cases is not None,
        notes=(*pairing.notes, *_notes(baseline, candidate, without)),
        speeds=tuple(speeds),
    )


def _judged(pairing: Pairing, *, alpha: float, seed: int) -> list[Comparison]:
    """Return the rows of everything that can be compared."""
    judged = [pair for pair in pairing.pairs if pair.metric in TOLERANCES]
    others = [pair for pair in judged if not pair.same_subject]
    return [
        *(judge_same(pair) for pair in judged if pair.same_subject),
        *judge_others(others, alpha=alpha, seed=seed),
        *map(judge_fact, pairing.facts),
    ]


def _mismatches(pairing: Pairing, *, allow_missing: bool) -> list[Mismatch]:
    """Return what cannot be compared, missing cases and metrics without a tolerance included."""
    missing = [] if allow_missing else pairing.missing
    return [
        *pairing.mismatches,
        *(Mismatch(case, ALL_METRICS, "missing in the candidate") for case in missing),
        *(
            Mismatch(pair.case, pair.metric, "no tolerance; state one in gate.TOLERANCES")
            for pair in pairing.pairs
            if pair.metric not in TOLERANCES
        ),
    ]


def _no_longer_timed(
    baseline: Snapshot, candidate: Snapshot, speeds: Sequence[Speed]
) -> list[Mismatch]:
    """Return the cases that a run of timings alone lacks; of others the scores are missing, too."""
    scored = baseline.cases.keys() | candidate.cases.keys()
    return [
        Mismatch(speed.case, "speed", "not timed in the candidate")
        for speed in speeds
        if speed.n_processes[1] == 0 and speed.case not in scored
    ]


def _notes(baseline: Snapshot, candidate: Snapshot, without: Collection[str]) -> list[str]:
    notes = [f"left out: {', '.join(sorted(without))}"] if without else []
    if baseline.device != candidate.device:
        notes.append(f"devices differ: {baseline.device} -> {candidate.device}")
    compared = [case for case in candidate.cases if case in baseline.cases]
    changes: dict[str, list[str]] = {}
    for case in compared:
        for change in _version_changes(baseline.facts_of(case), candidate.facts_of(case)):
            changes.setdefault(change, []).append(case)
    for change, changed in changes.items():
        scope = "" if len(changed) == len(compared) else f" ({', '.join(changed)})"
        notes.append(f"version differs: {change}{scope}")
    return notes


def _version_changes(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    before, after = _versions(baseline), _versions(candidate)
    if not (before and after):
        return [f"of the {'candidate' if before else 'baseline'} is not known"] * bool(
            before or after
        )
    names = dict.fromkeys([*before, *after])
    return [
        f"{name} {before.get(name, '?')} -> {after.get(name, '?')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _versions(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions that a run states, by name."""
    environment = facts.get("environment") or {}
    library = environment.get("libjpeg") or {}
    named = {
        "invbench": facts.get("invbench"),
        "python": environment.get("python"),
        "libjpeg": library.get("version"),
        "CUDA": environment.get("cuda"),
        "cuDNN": environment.get("cudnn"),
        **(environment.get("packages") or {}),
    }
    return {name: version for name, version in named.items() if version is not None}
