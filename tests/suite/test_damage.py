"""A session that lacks something, or finds it damaged, says so with a status of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from invbench.errors import (
    InvalidOptionError,
    InvalidRecordError,
    InvalidSamplerError,
    MissingDataError,
    StorageError,
)
from invbench.evaluation import Subject
from invbench.runs import RunStore
from invbench.suite import Options
from invbench.suite.checks import flaws
from invbench.suite.description import default_results
from invbench.suite.resolve import Suite
from invbench.suite.session import Session

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def found(**options):
    """Return the kinds of errors that are found before any work."""
    return [type(error) for error in flaws(Suite(Options(device="cpu", **options)))]


class TestBeforeAnyWork:
    def test_nothing_is_wrong_with_the_defaults(self):
        assert found() == []

    def test_a_damaged_baseline(self, tmp_path):
        file = tmp_path / "b.json"
        file.write_text('{"schema": "invbench.baseline/2", "runs": {}, "cases": [], "timings": {}}')
        assert found(baseline=file) == [InvalidRecordError]
        assert found(baseline=file, gate="off") == []

    def test_a_baseline_that_is_not_there(self, tmp_path):
        assert found(baseline=tmp_path / "none") == [MissingDataError]

    def test_one_sample_an_image(self):
        assert found(samples=1) == [InvalidOptionError]
        assert found(samples=2) == []

    def test_weights_of_lpips(self, tmp_path):
        assert found(lpips_weights=tmp_path / "none.pth") == [MissingDataError]

    def test_damaged_limits(self, monkeypatch, tmp_path):
        file = tmp_path / "thresholds.toml"
        file.write_bytes(b"\xff[slack]")
        monkeypatch.setattr("invbench.suite.checks.limits_file", lambda: file)
        assert found() == [InvalidRecordError]


@pytest.mark.parametrize("nfe", [-3, 10**400, 3.5, "5"], ids=["negative", "huge", "part", "text"])
def test_a_number_of_evaluations_that_no_record_can_hold(nfe):
    sampler = SimpleNamespace(nfe=nfe)
    with pytest.raises(InvalidSamplerError, match="nfe"):
        _ = Subject(sampler).nfe


def test_one_of_another_library_is_a_number():
    for number in (torch.tensor(5), np.int64(5), np.uint8(5)):
        assert type(Subject(SimpleNamespace(nfe=number)).nfe) is int


def test_default_folders_of_one_second_differ(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len({default_results() for _ in range(20)}) == 20


def test_a_run_notices_that_its_folder_is_gone(tmp_path):
    suite = Suite(Options(device="cpu", results=tmp_path / "run"))
    session = Session(suite, RunStore(tmp_path / "run"))
    session.begin(["pytest"], ["chimle-sr16"])
    session.check_folder()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(StorageError, match="removed or replaced"):
        session.run(suite.cases[0], Subject(None))


def test_a_resumed_run_names_damage_beside_what_it_measures(tmp_path):
    folder = tmp_path / "run"
    suite = Suite(Options(device="cpu", results=folder, resume=True))
    (folder / "cases").mkdir(parents=True)
    (folder / "cases" / "ndm-sr16.json").write_text("{")
    with pytest.raises(InvalidRecordError, match="delete it, or select the case"):
        Session(suite, RunStore(folder)).begin(["pytest"], ["chimle-sr16"])
    Session(suite, RunStore(folder)).begin(["pytest"], ["ndm-sr16"])  # will be measured again


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "status"), [("card", 4), ("sampler", 1)])
def test_the_status_of_a_session(tmp_path, damage, status):
    """Weights that are damaged are no regression; a sampler that fails is."""
    options = ["-k", "chimle-sr16"]
    if damage == "card":
        weights = tmp_path / "chimle-sr16.safetensors"
        content = (ROOT / "fixtures" / "checkpoints" / weights.name).read_bytes()
        weights.write_bytes(content[:5000])
        options += [f"--invbench-checkpoints={tmp_path}"]
    else:
        (tmp_path / "broken.py").write_text(
            "def load(problem, device):\n"
            "    def sampler(observation, generators):\n"
            "        raise ValueError\n"
            "    return sampler\n"
        )
        options = ["-k", "mine-sr16", "--invbench-sampler=mine=broken:load"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "benchmarks/", "-q", *options),
            *("--invbench-images=1", "--invbench-samples=2"),
            f"--invbench-results={tmp_path / 'run'}",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
