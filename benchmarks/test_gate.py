"""Is this run worse than the baseline?

There is an item for each case, so that ``-k chimle`` selects the gate of the cases it selects; but
the verdict is of the whole run: all selected cases are tested together, once, after all others.
A case that cannot be compared fails. One that the baseline does not know is skipped, as is all of
this where there is no baseline for the device, or the run is not of the size that it was made at
(name one by ``--invbench-baseline`` to compare all the same).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invbench.gate import (
    Verdict,
    baseline_file,
    compare,
    find_baseline,
    read_snapshot,
    write_report,
)
from invbench.suite import Options

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.gate import Comparison, GateReport, Snapshot
    from invbench.models import Case
    from invbench.suite.resolve import Suite
    from invbench.suite.session import Session

# Options that make a run's scores other than its profile's, whatever the models do
BINDING = ("images", "samples", "data", "seed", "dtype", "lpips_net")


@pytest.fixture(scope="session")
def baseline(session: Session, request: pytest.FixtureRequest) -> Snapshot:
    """Read the baseline that was chosen, or the one of this device and profile."""
    suite = session.suite
    if suite.options.gate == "off":
        pytest.skip("--invbench-gate=off")
    if hasattr(request.config, "workerinput"):
        pytest.skip("no process sees the whole run; use `invbench compare` after it")
    folder = suite.root / "fixtures" / "baselines"
    device = read_snapshot(session.store.folder).device
    if suite.options.baseline is not None:
        return read_snapshot(find_baseline(suite.options.baseline, folder, device))
    return read_snapshot(default_baseline(suite, folder, device))


def default_baseline(suite: Suite, folder: Path, device: str) -> Path:
    """Return the file, or skip: it holds for the profile's own images and numbers only."""
    if any(getattr(suite.options, name) != getattr(Options(), name) for name in BINDING):
        pytest.skip("the run is not of its profile's own size and data; give --invbench-baseline")
    file = baseline_file(folder, device, suite.profile.name)
    if not file.is_file():
        pytest.skip(f"no baseline {file.relative_to(suite.root)}; see `invbench baseline promote`")
    return file


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


@pytest.fixture(scope="session")
def report(
    session: Session, baseline: Snapshot, publish, request: pytest.FixtureRequest
) -> GateReport:
    """Compare the selected cases of this run, all of them together."""
    suite = session.suite
    candidate = read_snapshot(session.store.folder)
    items = [item for item in request.session.items if item.path.name == "test_gate.py"]
    selected = {item.callspec.params["case"].id for item in items if hasattr(item, "callspec")}
    everything = selected == {case.id for case in suite.cases}
    found = compare(
        baseline,
        candidate,
        mode=suite.options.gate,
        alpha=suite.options.alpha,
        cases=None if everything else selected,
        without=() if suite.options.baseline else other_lpips(baseline, candidate),
    )
    write_report(found, session.store.folder / "gate.json")
    publish(found)
    return found


def test_case_is_no_worse(case: Case, report: GateReport, session: Session) -> None:
    """Nothing that the baseline holds of a case got worse, and all of it was compared."""
    rows = [row for row in report.rows if row.case == case.id]
    if not rows:
        pytest.skip("not in the baseline, or measured in neither")
    allowed = {Verdict.IDENTICAL, Verdict.PASS, Verdict.IMPROVED}
    failed = [row for row in rows if row.verdict not in allowed]
    if failed and session.suite.options.gate != "warn":
        said = (f"{row.metric} {row.verdict}, {row.reason or shown(row)}" for row in failed)
        pytest.fail("; ".join(said), pytrace=False)


def shown(row: Comparison) -> str:
    return f"worse by {row.estimate:.4g}, tolerated {row.tolerance:.4g}"


def test_no_case_of_the_baseline_is_gone(baseline: Snapshot, session: Session) -> None:
    """Every case of the baseline is still one of the suite, whichever were selected."""
    gone = sorted(set(baseline.cases) - {case.id for case in session.suite.cases})
    if gone and session.suite.options.gate != "warn":
        pytest.fail(f"gone or renamed: {', '.join(gone)}", pytrace=False)
