"""A property: what is expected, and how to look whether it is so."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OURS = Path(__file__).parents[1]

Verdict: TypeAlias = Literal["ok", "note", "FAILED", "not tested"]
Evidence = TypeVar("Evidence")


@dataclass(frozen=True)
class Finding:
    """What was found of one property.

    Attributes:
        name: of the property.
        verdict: "note" is allowed, but worth knowing.
        expected: in words.
        seen: in words; why, where the property was not tested.
    """

    name: str
    verdict: Verdict
    expected: str
    seen: str


@dataclass(frozen=True)
class Property(Generic[Evidence]):
    """One property of something that evidence was collected of.

    Attributes:
        name: a word or two.
        expected: in words.
        look: returns the verdict and what was seen.
        needs: names of the properties without which this one cannot be tested.
    """

    name: str
    expected: str
    look: Callable[[Evidence], tuple[Verdict, str]]
    needs: Sequence[str] = ()


def look_at_all(properties: Sequence[Property[Evidence]], evidence: Evidence) -> list[Finding]:
    """Look at properties one after the other; whatever looking raises breaks the property."""
    found: dict[str, Finding] = {}
    for each in properties:
        verdict: Verdict
        if why := _missing(each, found):
            verdict, seen = "not tested", why
        else:
            try:
                verdict, seen = each.look(evidence)
            except Exception as error:  # noqa: BLE001  code of a user's may raise anything
                verdict, seen = "FAILED", describe(error)
        found[each.name] = Finding(each.name, verdict, each.expected, seen)
    return list(found.values())


def describe(error: Exception) -> str:
    """Say what was raised, and by which line of a file that is neither ours nor a package's."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if OURS not in path.parents and "site-packages" not in path.parts:
            return f"{text} ({path.name}:{frame.lineno})"
    return text


def _missing(each: Property[Evidence], found: dict[str, Finding]) -> str | None:
    """Name the first property that this one needs and that is broken."""
    for name in each.needs:
        needed = found[name]
        if needed.verdict == "FAILED":
            return f"{name} failed"
        if needed.verdict == "not tested":
            return needed.seen
    return None
