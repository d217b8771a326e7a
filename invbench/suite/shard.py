"""One part of a run that is split among machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Shard:
    """One of several parts that a run is split into, given as ``I/N``.

    Attributes:
        part: which one, from 1.
        parts: how many there are.
    """

    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read the option's text.

        Raises:
            InvalidOptionError: if it has another form, or the part is none of the parts.

        Example:
            >>> Shard.parse("2/3").select(["a", "b", "c", "d", "e"])
            ['b', 'e']
        """
        part, _, parts = text.partition("/")
        numbers = part.isdecimal() and parts.isdecimal()
        if not (numbers and 1 <= int(part) <= int(parts)):
            raise InvalidOptionError(f"--shard {text}: expected i/n with i from 1 to n, as 2/8")
        return cls(int(part), int(parts))

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    def select(self, cases: Sequence[str]) -> Sequence[str]:
        """Return this part of the cases; the parts together are all of them, none twice."""
        return cases[self.part - 1 :: self.parts]
