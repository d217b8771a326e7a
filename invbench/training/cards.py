"""Model cards: what a checkpoint is, in words that a person reads first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invbench.escaping import markdown
from invbench.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_card(path: Path, title: str, card: Mapping[str, Any]) -> None:
    """Write a card as Markdown: a heading and one line a fact.

    Raises:
        StorageError: if it cannot be written.
    """
    lines = [f"# {markdown(title)}", "", *_lines(card, depth=0)]
    with atomic_write(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())


def _lines(facts: Mapping[str, Any], *, depth: int) -> list[str]:
    lines = []
    for name, value in facts.items():
        label = f"{'  ' * depth}- {markdown(name.replace('_', ' '))}"
        if isinstance(value, dict):
            lines += [f"{label}:", *_lines(value, depth=depth + 1)]
        elif value != "":
            shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            lines.append(f"{label}: {markdown(str(shown))}")
    return lines
