"""The script that measures a GPU runs where there is none, goes on where it was, and writes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from pretended_card import pretended_card, without_a_card

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEPS = [
    "evaluation/colorization",
    "ratio/*/Pillow",
    "ratio/lpips/lpips",
    "time/*/bicyclegan-colorization",
    "agreement/bicyclegan-colorization",
    "switch/*/monce-colorization/[!c]*",
    "switch/*/monce-colorization/c[hu]*",
]
PAGE = "# Speed\n<!-- gpu -->\nnothing yet\n<!-- /gpu -->\nThe end.\n"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu")


def arguments(folder, device, *, only=STEPS, **chosen):
    (folder / "page.md").write_text(PAGE)
    options = {
        "device": device,
        "profile": "tiny",
        "samples": 2,
        "images": 2,
        "output": folder / "out",
        "page": folder / "page.md",
        "baselines": folder / "baselines",
    }
    flags = [f"--{name}={value}" for name, value in (options | chosen).items()]
    return [*flags, "--only", *only]


def measurements(folder):
    return json.loads((folder / "out" / "measurements.json").read_text())


def steps_of(found):
    return {name: step for name, step in found.items() if "/" in name}


@pytest.mark.slow
def test_it_goes_on_where_it_was_and_writes_page_and_baseline(script, tmp_path, capsys):
    assert script.main(arguments(tmp_path, "cpu", seconds=0)) == 14
    assert "14 steps left; call it again" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text() == PAGE

    assert script.main(arguments(tmp_path, "cpu", only=["evaluation/colorization"])) == 0
    (first,) = steps_of(measurements(tmp_path)).values()
    assert script.main(arguments(tmp_path, "cpu")) == 0
    found = measurements(tmp_path)
    assert len(steps_of(found)) == 14
    assert found["evaluation/colorization"] == first  # nothing is measured twice
    assert not [step for step in steps_of(found).values() if "error" in step]
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("# Speed\n<!-- gpu -->\n")
    assert page.endswith("<!-- /gpu -->\nThe end.\n")
    assert "no GPU was at hand" in page
    seconds = found["time/float32/bicyclegan-colorization"]["seconds_a_sample"]
    assert f"| bicyclegan-colorization | {seconds:.3g} |" in page
    assert len(list((tmp_path / "baselines").rglob("tiny.json"))) == 1
    differences = found["agreement/bicyclegan-colorization"]  # of the CPU from itself
    assert {value for name, value in differences.items() if name != "wall_s"} == {0.0}


@pytest.mark.slow
@without_a_card
def test_it_runs_on_a_pretended_card(script, tmp_path):
    with pretended_card():
        assert script.main(arguments(tmp_path, "cuda:0")) == 0
    found = measurements(tmp_path)
    assert not [step for step in steps_of(found).values() if "error" in step], found
    assert "Pretended" in (tmp_path / "page.md").read_text()
    differences = found["agreement/bicyclegan-colorization"]
    assert max(value for name, value in differences.items() if name != "wall_s") < 1e-3
    assert next(iter((tmp_path / "baselines").rglob("tiny.json"))).parent.name == "pretended"


def test_an_error_is_a_result_and_the_rest_goes_on(script, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(script.Bench, "speed", refuse)
    assert script.main(arguments(tmp_path, "cpu", only=["time/*/bicyclegan-colorization"])) == 0
    found = measurements(tmp_path)
    assert found["time/bfloat16/bicyclegan-colorization"]["error"] == "RuntimeError: no kernel"
    assert (
        "| bicyclegan-colorization | RuntimeError: no kernel |"
        in (tmp_path / "page.md").read_text()
    )
