"""Weights are shipped whole or not at all, and the tables of the page are replaced by new ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from invbench.models import save_checkpoint
from invbench.training import Budget, plan_runs, write_card

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "studies" / "ship.py"


@pytest.fixture(scope="module")
def ship():
    spec = importlib.util.spec_from_file_location("ship", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def weights(tmp_path):
    """Write a set of weights, each of them a few bytes."""
    card = {"steps": 30, "minutes": 0.5, "validation": {"psnr": 31.5, "skill": -0.25}}
    for run in plan_runs("tiny", Budget(steps=1)):
        path = tmp_path / "weights" / f"{run.stem}.safetensors"
        save_checkpoint(
            path,
            {"weight": torch.zeros(1)},
            method=run.cases[0].model,
            stem=run.stem,
            config=Budget(),
            card=card,
        )
        write_card(path.with_suffix(".md"), run.stem, card)
    return tmp_path / "weights"


def test_copies_every_run_and_leaves_nothing_old(ship, weights, tmp_path):
    shipped = tmp_path / "fixtures"
    shipped.mkdir()
    (shipped / "old.safetensors").touch()
    ship.copy(ship.check(weights, "tiny"), shipped)
    assert sorted(path.name for path in shipped.iterdir()) == sorted(
        path.name for path in weights.iterdir()
    )


def test_refuses_what_is_not_whole_or_too_large(ship, weights, monkeypatch):
    monkeypatch.setattr(ship, "TOTAL_MB", 0.001)
    with pytest.raises(SystemExit, match="too large"):
        ship.check(weights, "tiny")
    (weights / "ndm-sr16.safetensors").unlink()
    with pytest.raises(SystemExit, match=r"ndm-sr16.safetensors missing"):
        ship.check(weights, "tiny")


def test_the_table_of_training_has_a_learning_curve(ship, weights, tmp_path):
    log = tmp_path / "runs" / "ndm-sr16-tiny" / "log.jsonl"
    log.parent.mkdir(parents=True)
    lines = [{"step": k, "minutes": k / 60, "skill": -1 / k} for k in (15, 30)]
    lines.insert(1, {"step": 20, "minutes": 0.3, "loss": 1.0})
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = ship.training_table(ship.check(weights, "tiny"), tmp_path / "runs", "tiny")
    assert "| ndm-sr16 | 0.5 | 30 | 31.5 | -0.25 | -0.07 at 0.25; -0.03 at 0.5 |" in table
    assert "| cimle-sr16 | 0.5 | 30 | 31.5 | -0.25 | - |" in table


def test_tables_are_replaced_where_they_are(ship, tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nWords.\n")
    ship.replace_tables(page, ["one"])
    page.write_text(page.read_text() + "\nMore words.\n")
    ship.replace_tables(page, ["two"])
    text = page.read_text()
    assert text.startswith("# Results\n\nWords.\n\n<!-- tables")
    assert text.endswith("<!-- end of tables -->\nMore words.\n")
    assert ("one" in text, text.count("two"), text.count(ship.BEGIN)) == (False, 1, 1)
