"""What a page of Markdown says to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def files_of(page: Path) -> dict[str, str]:
    """Return the Python files that a page shows, each named in its first line."""
    return dict(re.findall(r"```python\n# (\S+)\n(.*?)```", page.read_text(), flags=re.DOTALL))


def commands_of(page: Path) -> list[str]:
    """Return the commands that a page shows, in order."""
    return re.findall(r"^\$ (.*)$", page.read_text(), flags=re.MULTILINE)
