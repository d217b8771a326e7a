"""Names that users give their samplers and tasks, and those that installed packages give theirs."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # it becomes part of file names
NAME_IN_WORDS = "at most 64 of a-z, A-Z, 0-9, '.', '_' and '-' that begins with a letter or digit"


def is_name(text: str) -> bool:
    """Tell whether a text can be a sampler's, task's or model's name.

    >>> is_name("my-model.v2"), is_name("my model"), is_name("../mine")
    (True, False, False)
    """
    return re.fullmatch(NAME, text) is not None


def check_name(option: str, name: str, source: str) -> None:
    """Refuse an option's text that is not ``NAME=package.module:factory``.

    Raises:
        UnknownNameError: saying what was expected.
    """
    if not (source and is_name(name)):
        raise UnknownNameError(
            f"{option}: expected NAME=package.module:factory, with a name of {NAME_IN_WORDS}"
        )


def check_model_folders(folder: Path, names: Iterable[str]) -> None:
    """Refuse folders of samples whose names cannot be a model's, all of them at once.

    Raises:
        UnknownNameError: naming them.
    """
    odd = [name for name in names if not is_name(name)]
    if odd:
        raise UnknownNameError(
            f"{folder}: rename {', '.join(map(ascii, odd))}; a folder's name is its model's, of "
            f"{NAME_IN_WORDS}"
        )


def installed(group: str) -> Mapping[str, str]:
    """Return what installed packages offer: name -> ``package.module:factory``."""
    return {point.name: point.value for point in entry_points(group=group)}
