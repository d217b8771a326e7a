"""Names that users give their samplers and tasks, and those that installed packages give theirs."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # it becomes part of file names
FOLDER_BYTES = 200  # file systems hold 255, of which a task and a suffix need some


def check_name(option: str, name: str, source: str) -> None:
    """Refuse an option's text that is not ``NAME=package.module:factory``.

    Raises:
        UnknownNameError: saying what was expected.
    """
    if not source or not re.fullmatch(NAME, name):
        raise UnknownNameError(
            f"{option}: expected NAME=package.module:factory, with a name of at most 64 letters, "
            "digits, '.', '_' and '-' that begins with a letter or digit"
        )


def check_folder(name: str) -> None:
    """Refuse a model's folder whose name could not stand in a table, or in a record's file name.

    Raises:
        UnknownNameError: saying what is wrong with it.
    """
    if not name.isprintable() or len(name.encode()) > FOLDER_BYTES:
        raise UnknownNameError(
            f"{name!a}: a model's name can be printed and has at most {FOLDER_BYTES} bytes; "
            "rename its folder"
        )


def installed(group: str) -> Mapping[str, str]:
    """Return what installed packages offer: name -> ``package.module:factory``."""
    return {point.name: point.value for point in entry_points(group=group)}
