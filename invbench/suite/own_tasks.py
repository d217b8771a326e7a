"""Tasks of the user's own, from the option's text to a task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from invbench.errors import (
    InvalidOptionError,
    InvalidTaskError,
    InvbenchError,
    UnknownNameError,
    fault_in,
)
from invbench.models import load_factory
from invbench.problems import TASKS, Task, find_task
from invbench.suite.fingerprint import source_digest
from invbench.suite.names import check_name, installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GROUP = "invbench.tasks"  # of the entry points by which packages offer theirs


def read_tasks(texts: Iterable[str]) -> Mapping[str, Task]:
    """Return the tasks that the option names; the study's three if it names none.

    Raises:
        UnknownNameError, InvalidTaskError: see `read_task`; or if two have one name.
    """
    tasks: dict[str, Task] = {}
    for text in texts:
        task = read_task(text)
        if task.name in tasks:
            raise UnknownNameError(f"--task {text}: {task.name} is named twice")
        tasks[task.name] = task
    return tasks or TASKS


def read_task(text: str) -> Task:
    """Read a built-in task's name, an installed one's, or ``NAME=package.module:factory``.

    Raises:
        UnknownNameError: if nothing has the name, the text has another form, or there is no such
            factory.
        InvalidTaskError: if what is there does not make a task.
    """
    name, given, source = text.partition("=")
    if not given and ":" not in text:
        offered = installed(GROUP)
        try:
            return find_task(name)
        except UnknownNameError as error:
            if name not in offered:
                also = f"; installed: {', '.join(sorted(offered))}" if offered else ""
                raise UnknownNameError(f"--task {name}: {error}{also}") from error
        source = offered[name]
    check_name(f"--task {text}", name, source)
    try:
        find_task(name)
    except UnknownNameError:
        return _own(name, source)
    raise UnknownNameError(f"--task {text}: {name} is a built-in task; give yours another name")


def _own(name: str, source: str) -> Task:
    """Call a factory, and give the task its name and what it is known again by."""
    factory = load_factory(source)
    try:
        task = factory()
    except (InvbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # pytest's importorskip raises what is no Exception
        raise InvalidTaskError(f"{source}: called without arguments: {fault_in(error)}") from error
    if not isinstance(task, Task):
        raise InvalidTaskError(
            f"{source} returned {task!r}, of type {type(task).__name__}; "
            "return a Task, as invbench.problems.linear_task makes of a function"
        )
    digest = source_digest(factory, source.partition(":")[0], factory)
    return replace(task, name=name, source=source, source_sha256=digest)


def read_task_of_files(text: str) -> Task:
    """Return a task as `read_task` does, if files of 8 bits can hold what is observed.

    Raises:
        InvalidOptionError: if observations have noise, which rounding and clipping would change, or
            carry a mask of their own beside the colours.
    """
    task = read_task(text)
    if hasattr(task.operator, "at"):
        raise InvalidOptionError(
            f"--task {text}: what hides other pixels of every image does not fit into an image "
            "file; let the suite draw the samples, by `invbench run`"
        )
    if task.noise:
        raise InvalidOptionError(
            f"--task {text}: observations with noise do not fit into images of 8 bits; "
            "let the suite draw the samples, by `invbench run`"
        )
    return task
