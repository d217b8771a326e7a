"""What ``run.json`` says of a run, and where a run lies that was given no folder."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from invbench.errors import InvalidRecordError, MissingDataError, ResumeWarning
from invbench.machine import describe_environment
from invbench.runs import RunRecord, conflicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.runs import RunStore
    from invbench.suite.resolve import Suite


def describe(suite: Suite, run_id: str, argv: Sequence[str], selected: Sequence[str]) -> RunRecord:
    """Return what ``run.json`` says: what was asked for, of which version, and on which machine.

    Args:
        suite: what is to be measured.
        run_id: name of the run's folder.
        argv: the command.
        selected: ids of the cases that will be measured.
    """
    from invbench import __version__

    return RunRecord(
        run_id=run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        invbench=__version__,
        argv=tuple(one.encode("utf-8", "backslashreplace").decode() for one in argv),
        profile=suite.profile.name,
        environment=describe_environment(suite.device),
        expected_cases=tuple(case.id for case in suite.cases),
        selected_cases=tuple(selected),
        shard=str(suite.shard) if suite.options.shard else None,
    )


def default_results() -> Path:
    """Return a fresh folder's path for a run's records, below this one.

    It is named by the time; a few letters keep runs apart that begin within a second.
    """
    return Path.cwd() / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"


def earlier_sessions(store: RunStore, facts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the sessions that this one resumes; warn if the last ran under other conditions."""
    try:
        before = store.read_run()
    except MissingDataError:
        return ()
    except InvalidRecordError as error:
        warnings.warn(f"{error}; written anew", ResumeWarning, stacklevel=2)
        return ()
    if found := conflicts(before, facts):
        changed = f"resumed under other conditions: {', '.join(found)}"
        warnings.warn(changed, ResumeWarning, stacklevel=2)
    session = {name: before.get(name) for name in ("created", "invbench", "argv")}
    return (*before.get("earlier", ()), session | {"environment": before.get("environment")})
