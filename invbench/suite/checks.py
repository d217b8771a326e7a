"""Is everything that the options name there, and of use? Asked once, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.errors import (
    InvalidOptionError,
    InvbenchError,
    MissingDataError,
    UnknownNameError,
)
from invbench.evaluation.experiment import FEWEST_SAMPLES
from invbench.gate import (
    device_slug,
    find_baseline,
    read_baselines,
    read_limits,
    read_snapshot,
    release_name,
)
from invbench.images import require_folder
from invbench.machine import describe_environment
from invbench.suite.columns import check_columns
from invbench.suite.options import Options
from invbench.suite.places import baseline_folders, limits_file
from invbench.suite.remote import check_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from invbench.suite.resolve import Suite


def flaws(suite: Suite) -> list[InvbenchError]:
    """Return an error for each option that names nothing, or has no sense; all of them at once."""
    checks: tuple[Callable[[Suite], object], ...] = (
        _check_samples,
        lambda suite: check_columns(suite.options),
        lambda suite: check_remote(suite.options),
        lambda suite: suite.device,
        lambda suite: suite.own,
        lambda suite: suite.shard,
        _check_checkpoints,
        _check_data,
        _check_lpips,
        _check_limits,
        _check_baseline,
    )
    found = [error for check in checks if (error := _error_of(check, suite))]
    found += _flaws_of_cases(suite, found)
    return list({(type(error), str(error)): error for error in found}.values())


def flaws_of_data(suite: Suite, tasks: Iterable[str]) -> list[InvbenchError]:
    """Read the targets of tasks, and return an error for each set that cannot be used.

    What is read is kept for the cases that are measured on it.
    """
    found: dict[tuple[type[InvbenchError], str], list[str]] = {}
    for task in dict.fromkeys(tasks):
        if error := _error_of(_data_of(task), suite):
            found.setdefault((type(error), str(error)), []).append(task)
    return [kind(f"{', '.join(names)}: {text}") for (kind, text), names in found.items()]


def flaws_of_arguments(arguments: Iterable[str]) -> list[InvbenchError]:
    """Return an error for each argument that cannot be handed to other processes as text.

    Under a locale without them, Python keeps the bytes of characters as lone surrogates.
    """
    return [
        InvalidOptionError(
            f"{argument}: -n cannot hand this to other processes, as its characters are not those "
            "of the locale; set PYTHONUTF8=1"
        )
        for argument in arguments
        if any("\ud800" <= character <= "\udfff" for character in argument)
    ]


def check_data(suite: Suite, tasks: Iterable[str]) -> None:
    """Refuse targets of tasks that cannot be used, all of them at once.

    Raises:
        InvbenchError: the first of `flaws_of_data`, with the text of all.
    """
    if found := flaws_of_data(suite, tasks):
        raise type(found[0])("\n".join(map(str, found)))


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


def _check_samples(suite: Suite) -> None:
    if suite.profile.n_samples < FEWEST_SAMPLES:
        raise InvalidOptionError(
            f"--samples {suite.profile.n_samples}: give at least {FEWEST_SAMPLES}, "
            "scores ask how samples differ"
        )


def _check_limits(_: Suite) -> None:
    read_limits(limits_file())


def _check_baseline(suite: Suite) -> None:
    """Read what the gate will compare with."""
    options = suite.options
    if options.gate == "off":
        return
    device = device_slug(describe_environment(suite.device))
    folders = baseline_folders(Path.cwd())
    if options.baseline:
        read_snapshot(find_baseline(options.baseline, folders, device))
        return
    for name in (options.profile, release_name(options.profile)):
        read_baselines(folders, device, name)


def _data_of(task: str) -> Callable[[Suite], object]:
    return lambda suite: suite.data_set(task)


def _check_checkpoints(suite: Suite) -> None:
    folder = suite.options.checkpoints
    if folder is not None:
        require_folder(folder, "--checkpoints")


def _check_data(suite: Suite) -> None:
    folder = suite.options.data
    if folder is not None:
        require_folder(folder, "--data")
    if folder is None and not suite.profile.embedded:
        raise MissingDataError(f"profile {suite.profile.name} has no data of its own; give --data")
    if folder is None and suite.options.groups != Options().groups:
        raise InvalidOptionError(
            f"--groups {suite.options.groups} says how the photographs of --data belong together; "
            "give --data"
        )


def _check_lpips(suite: Suite) -> None:
    """Read the weights of LPIPS if the user names a file."""
    if suite.options.lpips_weights is not None:
        _ = suite.metrics


def _check_required(suite: Suite) -> None:
    known = {"all"}.union(*((case.model, case.id) for case in suite.cases))
    for name in suite.required - known:
        raise UnknownNameError.among("--require", name, known)
