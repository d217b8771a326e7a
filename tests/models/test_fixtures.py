"""The shipped weights are each pair's own, and say what makes their samples differ."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from invbench.models.cases import Case
from invbench.models.checkpoints import load_weights, read_card
from invbench.models.monce import MonceConfig
from invbench.models.registry import MODELS, get_method
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.training.budget import Budget
from invbench.training.plan import plan_runs

ROOT = Path(__file__).parents[2]
CHECKPOINTS = sorted((ROOT / "fixtures" / "checkpoints").glob("*.safetensors"))


def fingerprints(path):
    """Return a hash of every tensor that training has moved, whatever its name."""
    weights, _ = load_weights(path)
    learned = [value for value in weights.values() if value.unique().numel() > 8]
    return {sha256(value.numpy().tobytes()).hexdigest() for value in learned}


def shared(paths):
    """Return (file, file) for all that have a learned tensor in common."""
    found = {path: fingerprints(path) for path in paths}
    return [
        (one.name, other.name)
        for index, one in enumerate(paths)
        for other in paths[index + 1 :]
        if found[one] & found[other]
    ]


def test_no_pair_has_the_weights_of_another():
    assert shared(CHECKPOINTS) == []


def test_a_copy_would_be_found(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights = torch.randn(4, 4)
    save_file({"one": weights, "bias": torch.zeros(9)}, first)
    save_file({"other": weights.clone(), "bias": torch.zeros(9)}, second)
    assert shared([first, second]) == [("a.safetensors", "b.safetensors")]
    save_file({"other": weights + 1, "bias": torch.zeros(9)}, second)
    assert shared([first, second]) == []


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_weights_serve_a_case_and_have_a_card(path):
    assert path.stem in {run.stem for run in plan_runs("tiny", Budget(steps=1))}
    text = path.with_suffix(".md").read_text()
    card = read_card(path)
    assert f"- method: {card['method']}\n" in text
    assert f"- steps: {card['steps']}\n" in text
    assert path.stem.startswith(card["method"])


@pytest.mark.parametrize("model", MODELS)
def test_every_method_says_by_what_samples_differ(model):
    method = get_method(model)
    mechanism = {"monce": "dropout", "ddrm": "noise", "ndm": "noise"}.get(model, "code")
    assert method.stochastic(method.configure("sr16", "tiny")) == mechanism


def test_a_generator_without_noise_is_called_so():
    assert get_method("monce").stochastic(MonceConfig(stochastic="none")) == "none"


def test_records_say_it():
    subject = Suite(Options(device="cpu")).subject(Case("chimle", "decompression"))
    assert subject.identity()["stochastic"] == "code"
