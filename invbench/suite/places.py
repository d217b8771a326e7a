"""Where the suite's own files lie, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

from invbench.gate import BASELINES

_PACKAGE = Path(__file__).parents[1]


def suite_folder() -> Path:
    """Return the folder of ``benchmarks/`` and ``fixtures/``: weights, limits, baselines.

    A wheel holds both inside the package, a checkout beside it.
    """
    packaged = _PACKAGE / "packaged"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def limits_file() -> Path:
    """Return the file of the limits that built-in models must keep."""
    return suite_folder() / "fixtures" / "thresholds.toml"


def baseline_folders(here: Path) -> list[Path]:
    """Return where baselines may lie: below where the user works, and beside the suite."""
    return [place / BASELINES for place in (here, suite_folder())]
