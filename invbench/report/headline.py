"""What a run comes to, in a few sentences: the questions that people ask first. No torch here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.report.gate_tables import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from invbench.gate import GateReport
    from invbench.runs import CaseRecord

SHOWN = 4  # cases by name; more are counted


def headline(
    records: Sequence[CaseRecord], gate: GateReport | None = None
) -> list[tuple[str, str]]:
    """Answer what people ask of a run first.

    Args:
        records: of the run.
        gate: the run held against a baseline, if it was.

    Returns:
        Question and answer: valid? as spread as the target? better than the reference? true to
        its contract? fast? worse than the baseline? What nothing was measured of is left out.
    """
    measured = [record for record in records if record.validity]
    return [
        *_valid(measured),
        *_calibrated(measured),
        *_skilled(measured),
        *_contract(measured),
        *_fast(measured),
        *_against(gate),
    ]


def _valid(records: Sequence[CaseRecord]) -> Iterator[tuple[str, str]]:
    limited = [record for record in records if record.checks]
    noisy = [record for record in records if record.noise_fit]
    fitting = sum(r.noise_fit.verdict == "fits" for r in records if r.noise_fit)
    broken = [r.case_id for r in limited if not all(check.passed for check in r.checks)]
    kept = f"{len(limited) - len(broken)} of {counted(len(limited), 'case')} keep their limits"
    said = [kept] if limited else []
    said += [f"broken by {_named(broken)}"] if broken else []
    said += [f"{fitting} of {len(noisy)} fit the noise of their observations"] if noisy else []
    if without := len(records) - len(limited):
        said.append(f"{without} without limits" if limited or noisy else "no case has limits")
    if said:
        yield "Valid?", "; ".join(said).capitalize() + "."


def _calibrated(records: Sequence[CaseRecord]) -> Iterator[tuple[str, str]]:
    verdicts = Counter(str(r.calibration.verdict) for r in records if r.calibration)
    words = {
        "calibrated": "are spread as the target is",
        "under": "too little",
        "over": "too much",
        "not tested": "could not be tested",
    }
    if verdicts:
        said = (f"{verdicts[verdict]} {word}" for verdict, word in words.items())
        yield "Calibrated?", f"Of {counted(verdicts.total(), 'case')}, {', '.join(said)}."


def _skilled(records: Sequence[CaseRecord]) -> Iterator[tuple[str, str]]:
    skills = {r.case_id: r.skill["crps"] for r in records if "crps" in r.skill}
    known = {case: one for case, one in skills.items() if None not in (one.low, one.high)}
    better = [case for case, one in known.items() if (one.low or 0) > 0]
    worse = [case for case, one in known.items() if (one.high or 0) < 0]
    names = f" ({_named(better)})" if better else ""
    if known:
        unclear = len(known) - len(better) - len(worse)
        said = (
            f"{len(better)} are{names}, {len(worse)} are worse and {unclear} cannot be told apart"
        )
        yield (
            "Better than the reference?",
            f"Of {counted(len(known), 'case')}, {said} from a Gaussian model, by 95 % intervals.",
        )


def _contract(records: Sequence[CaseRecord]) -> Iterator[tuple[str, str]]:
    looked = [record for record in records if record.contract is not None]
    broken = [record.case_id for record in looked if record.contract]
    if looked:
        said = f"{_named(broken)} break it" if broken else "no breach was found"
        yield "True to the sampler's contract?", f"Of {counted(len(looked), 'case')}, {said}."


def _fast(records: Sequence[CaseRecord]) -> Iterator[tuple[str, str]]:
    speeds = {r.case_id: r.throughput.samples_per_second for r in records if r.throughput}
    if speeds:
        ordered = sorted(speeds, key=speeds.__getitem__)
        first, last = (f"{_rate(speeds[case])} ({case})" for case in (ordered[0], ordered[-1]))
        machines = sorted({r.throughput.environment_key for r in records if r.throughput})
        yield (
            "Fast?",
            f"{first} to {last} samples a second on {'; '.join(machines)}.",
        )


def _against(gate: GateReport | None) -> Iterator[tuple[str, str]]:
    if gate:
        said = [outcome(gate)]
        said += [f"not in the baseline: {_named(gate.new_cases)}"] if gate.new_cases else []
        faster = [speed.case for speed in gate.speeds if speed.verdict == "faster"]
        said += [f"faster: {_named(faster)}"] if faster else []
        yield "Worse than the baseline?", f"{'; '.join(said)}."


def _rate(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 100 else f"{speed:.3g}"


def _named(cases: Sequence[str]) -> str:
    more = len(cases) - SHOWN
    return ", ".join(cases[:SHOWN]) + (f" and {more} more" if more > 0 else "")
