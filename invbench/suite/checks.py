"""Is everything that the options name there? Asked once, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.errors import (
    EmptyFolderError,
    InvbenchError,
    MissingDataError,
    UnknownNameError,
)
from invbench.machine import resolve_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from invbench.suite.resolve import Suite


def flaws(suite: Suite) -> list[InvbenchError]:
    """Return an error for each option that names nothing, or has no sense; all of them at once."""
    checks: tuple[Callable[[Suite], object], ...] = (
        lambda suite: suite.profile,
        lambda suite: resolve_device(suite.options.device),
        lambda suite: suite.own,
        lambda suite: suite.shard,
        _check_checkpoints,
        _check_data,
    )
    found = [error for check in checks if (error := _error_of(check, suite))]
    return [*found, *_flaws_of_cases(suite, found)]


def _flaws_of_cases(suite: Suite, found: list[InvbenchError]) -> Iterator[InvbenchError]:
    """Look at tasks and at cases, which there are only where samplers and profile are right."""
    if error := _error_of(lambda suite: suite.tasks, suite):
        yield error
    elif not found:
        unfit = [e for task in suite.tasks if (e := _error_of(_problem_of(task), suite))]
        yield from unfit
        if not unfit and (error := _error_of(_check_required, suite)):
            yield error


def _error_of(check: Callable[[Suite], object], suite: Suite) -> InvbenchError | None:
    try:
        check(suite)
    except InvbenchError as error:
        return error
    return None


def _problem_of(task: str) -> Callable[[Suite], object]:
    return lambda suite: suite.problem(task)


def _check_checkpoints(suite: Suite) -> None:
    folder = suite.options.checkpoints
    if folder is not None and not folder.is_dir():
        raise EmptyFolderError(f"--checkpoints {folder}: no such folder")


def _check_data(suite: Suite) -> None:
    folder = suite.options.data
    if folder is not None and not folder.is_dir():
        raise EmptyFolderError(f"--data {folder}: no such folder")
    if folder is None and not suite.profile.embedded:
        raise MissingDataError(f"profile {suite.profile.name} has no data of its own; give --data")


def _check_required(suite: Suite) -> None:
    known = {"all"}.union(*((case.model, case.id) for case in suite.cases))
    for name in suite.required - known:
        raise UnknownNameError.among("--require", name, known)
