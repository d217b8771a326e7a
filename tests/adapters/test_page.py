"""The files that docs/adapters.md shows run in the suite, by the command beside them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from adapted import needs
from pages import files_of

from invbench.adapters import __all__ as offered

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adapters.md"
FILES = files_of(PAGE)


def test_every_adapter_has_a_short_example():
    used = {name for name in offered for code in FILES.values() if f"{name}(" in code}
    assert used == set(offered) - {"deepinv_physics"}
    for code in FILES.values():
        body = code.partition("def load")[2].splitlines()
        assert len([line for line in body if line.strip()]) <= 12


@pytest.mark.slow
def test_all_run_in_the_suite_and_keep_the_contract(tmp_path):
    needs("deepinv", "diffusers", "transformers", "azula")
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    (command,) = (
        line for line in PAGE.read_text().splitlines() if line.startswith("$ invbench run")
    )
    words = shlex.split(command[2:])
    mine = words.index("--sampler")
    given = [f"--sampler={Path(name).stem}=" + Path(name).stem + ":load" for name in FILES]
    assert words[mine + 1] == "mine=my_dps:load"
    words = words[1:mine]
    words[words.index("-k") + 1] = "my_"
    options = ["--images=2", "--samples=4", "--strict"]
    results = f"--results={tmp_path / 'run'}"
    done = subprocess.run(
        [sys.executable, "-m", "invbench", *words, *given, *options, results],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = sorted((tmp_path / "run" / "cases").glob("*.json"))
    assert [case.stem for case in cases] == sorted(f"{Path(name).stem}-sr4+n5" for name in FILES)
    for record in (json.loads(case.read_text()) for case in cases):
        assert (record["status"], record["contract"]) == ("measured", [])
