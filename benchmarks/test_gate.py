"""Is this run worse than the baseline?

There is an item for each case, so that ``-k chimle`` selects the gate of the cases it selects; but
the verdict is of the whole run: all selected cases are tested together, once, after all others.
The baseline is the one that `--invbench-baseline` names, or the one of this device and profile
below the folder that pytest was started in, or the suite's own. What cannot be compared with a
baseline that was named fails. Where none was named, cases that none holds are skipped, as are those
of another size, data or seed than it was made with; a line says how to make one. A release that was
pinned is compared with as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invbench.errors import MissingDataError
from invbench.gate import (
    compare,
    conditions_differ,
    find_baseline,
    read_baselines,
    read_snapshot,
    release_name,
    write_report,
)
from invbench.suite import Options
from invbench.suite.places import baseline_folders

if TYPE_CHECKING:
    from invbench.gate import Comparison, GateReport, Snapshot
    from invbench.models import Case
    from invbench.suite.resolve import Suite
    from invbench.suite.session import Session

# Options that make a run's scores other than its profile's, whatever the models do
BINDING = ("images", "samples", "data", "seed", "dtype", "lpips_net")


@pytest.fixture(scope="session")
def suite(session: Session) -> Suite:
    """Return what the options stand for."""
    return session.suite


@pytest.fixture(scope="session")
def candidate(session: Session, request: pytest.FixtureRequest) -> Snapshot:
    """Read what this run stored; skip where nobody asked for a comparison, or none can be made."""
    if session.suite.options.gate == "off":
        pytest.skip("the gate is off")
    if hasattr(request.config, "workerinput"):
        pytest.skip("no process sees the whole run; use `invbench compare` after it")
    session.check_folder()
    return read_snapshot(session.store.folder)


@pytest.fixture(scope="session")
def folders(request: pytest.FixtureRequest) -> list[Path]:
    """Return where baselines may lie: below where the user works, and beside the suite."""
    return baseline_folders(request.config.invocation_params.dir)


@pytest.fixture(scope="session")
def baselines(suite: Suite, candidate: Snapshot, folders: list[Path], announce) -> list[Snapshot]:
    """Read the baseline that was chosen, or those of this device and profile, if there are any."""
    if suite.options.baseline is not None:
        known = [find_baseline(suite.options.baseline, folders, candidate.device)]
        return [read_snapshot(path) for path in known]
    name = suite.profile.name
    found = [read_baselines(folders, candidate.device, file) for file in (name, release_name(name))]
    if not any(found):
        places = " or ".join(str(folder / candidate.device) for folder in dict.fromkeys(folders))
        announce(f"no {name}.json in {places}, so nothing is compared; {how_to(candidate)}")
    return [baseline for baseline in found if baseline is not None]


@pytest.fixture(scope="session")
def selected(request: pytest.FixtureRequest) -> set[str]:
    """Return the ids of the cases whose gate was selected."""
    items = [item for item in request.session.items if item.path.name == "test_gate.py"]
    return {item.callspec.params["case"].id for item in items if hasattr(item, "callspec")}


@pytest.fixture(scope="session")
def skipped(suite: Suite, baselines, candidate, selected, announce) -> dict[str, str]:
    """Return the cases that a baseline which nobody named says nothing of, and why."""
    if suite.options.baseline is not None or not baselines:
        return {}
    own_size = all(getattr(suite.options, n) == getattr(Options(), n) for n in BINDING)
    reasons = {}
    for case in sorted(selected):
        if case not in baselines[0].cases:
            reasons[case] = f"not in {baselines[0].name}"
        elif case in candidate.cases and not own_size:
            difference = conditions_differ(baselines[0], candidate, case)
            if difference:
                reasons[case] = f"{baselines[0].name} is of another size or data ({difference})"
    for reason in dict.fromkeys(reasons.values()):
        cases = ", ".join(case for case, why in reasons.items() if why == reason)
        announce(f"not compared: {cases}: {reason}; {how_to(candidate)}")
    return reasons


@pytest.fixture(scope="session")
def reports(
    suite: Suite, candidate: Snapshot, baselines, selected, skipped, publish
) -> list[GateReport]:
    """Compare the selected cases of this run, all of them together, with each baseline."""
    compared = selected - skipped.keys()
    found = []
    for baseline in baselines if compared else ():
        all_cases = selected == {case.id for case in suite.cases} and not suite.options.task
        everything = not skipped and all_cases
        report = compare(
            baseline,
            candidate,
            mode=suite.options.gate,
            alpha=suite.options.alpha,
            cases=None if everything else compared,
            without=() if suite.options.baseline else other_lpips(baseline, candidate),
        )
        found.append(report)
        publish(report)
    for report, name in zip(found, ("gate.json", "gate-release.json"), strict=False):
        write_report(report, Path(candidate.name) / name)
    return found


def other_lpips(baseline: Snapshot, candidate: Snapshot) -> set[str]:
    """Name an LPIPS of the baseline's whose weights this machine lacks, or has better ones for.

    That is no change of the code, and the other metrics can be compared.
    """
    before, after = (
        {name for record in side.cases.values() for name in record.validity}
        for side in (baseline, candidate)
    )
    if not any(name.startswith("lpips") for name in after):
        return set()
    return {name for name in before - after if name.startswith("lpips")}


def how_to(candidate: Snapshot) -> str:
    return f"make one by `invbench baseline promote {candidate.name}`"


def test_case_is_no_worse(case: Case, candidate, baselines, skipped, reports) -> None:
    """Nothing that a baseline holds of a case got worse, and all of it was compared."""
    if not baselines:
        pytest.skip(f"no baseline; {how_to(candidate)}")
    if case.id in skipped:
        pytest.skip(skipped[case.id])
    record = candidate.cases.get(case.id)
    if record and record.status == "declined" and case.id not in baselines[0].cases:
        pytest.skip(f"declined: {record.reason}")
    if record and record.status == "error":
        raise MissingDataError(f"{case.id} was not measured: {record.reason}")
    said = []
    for report in reports:
        rows = [row for row in report.rows if row.case == case.id]
        said += [f"{row.metric} {row.verdict}, {shown(row)}" for row in rows if report.fails(row)]
    first = reports[0]
    if case.id in first.unmeasured_cases:
        pytest.skip("measured in neither run")
    if not any(row.case == case.id for row in first.rows) and first.mode != "warn":
        said.append(f"nothing compared: {case.id} is not in {first.baseline}")
    if said:
        pytest.fail("; ".join(said), pytrace=False)


def shown(row: Comparison) -> str:
    if row.reason:
        return row.reason
    if row.images:
        return f"{row.images[0]} worse by {row.largest_loss:.4g}, tolerated {row.tolerance:.4g}"
    return f"worse by {row.estimate:.4g}, tolerated {row.tolerance:.4g}"


def test_no_case_of_the_baseline_is_gone(baselines, folders, suite: Suite, candidate) -> None:
    """Every case of the suite's own baseline is still one of the suite, whatever was selected."""
    if suite.options.baseline is not None:
        known = baselines[0]
    else:
        known = read_baselines(folders[1:], candidate.device, suite.profile.name)
    if known is None:
        pytest.skip(f"no baseline; {how_to(candidate)}")
    held = {
        case
        for case, record in known.cases.items()
        if not suite.options.task or record.identity["task"]["name"] in suite.tasks
    }
    gone = sorted(held - {case.id for case in suite.cases})
    if gone and suite.options.gate != "warn":
        pytest.fail(f"gone or renamed: {', '.join(gone)}", pytrace=False)
