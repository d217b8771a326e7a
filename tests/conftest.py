"""Fixtures that several test files share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
FILTERS = (
    "error",
    # lpips 0.1.4 calls torchvision with the arguments of its own time.
    "ignore:The parameter 'pretrained' is deprecated:UserWarning",
    "ignore:Arguments other than a weight enum:UserWarning",
    # So does matplotlib 3.9, of pyparsing.
    "ignore:'[a-zA-Z]+' (deprecated - use|argument is deprecated):DeprecationWarning",
)

sys.path.insert(0, str(Path(__file__).parent))  # the helpers that several test files share


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take warnings for errors, here and not in the runs of users who start pytest above."""
    for line in FILTERS:
        config.addinivalue_line("filterwarnings", line)


class References:
    """Tensors made by the original implementations, read from ``INVBENCH_REFS``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observe = None  # called with the name and content of what is read

    def __call__(self, name: str) -> dict:
        with safe_open(self.folder / name, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
        return self._read(name, tensors)

    def json(self, name: str) -> dict:
        return self._read(name, json.loads((self.folder / name).read_text()))

    def _read(self, name: str, content: dict) -> dict:
        if self.observe:
            self.observe(name, content)
        return content

    def metadata(self, name: str) -> dict:
        with safe_open(self.folder / name, "pt") as file:
            return file.metadata()


@pytest.fixture(scope="session")
def refs() -> References:
    folder = Path(os.environ.get("INVBENCH_REFS", ROOT.parent / "shared" / "refs"))
    if not folder.is_dir():
        pytest.skip(f"no reference tensors at {folder}; set INVBENCH_REFS")
    return References(folder)
