"""Where the suite's own files lie, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def suite_folder() -> Path:
    """Return the folder of ``benchmarks/`` and ``fixtures/``: weights, limits, baselines.

    A wheel holds both inside the package, a checkout beside it.
    """
    packaged = _PACKAGE / "packaged"
    return packaged if packaged.is_dir() else _PACKAGE.parent
