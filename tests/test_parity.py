"""The inventory of references counts what is compared, and an error beyond tolerance."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks" / "studies" / "parity.py"


@pytest.fixture(scope="module")
def parity():
    spec = importlib.util.spec_from_file_location("parity", PATH)
    module = sys.modules["parity"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def watched(parity):
    watch = parity.Watch()
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float64)}
    watch.note("f.safetensors", tensors)
    checks = [watch.watched(getattr(*part), tolerances) for *part, tolerances in parity.COMPARISONS]
    return watch, tensors, checks


def test_error_and_tolerance_of_the_worst_place_are_kept(watched):
    watch, tensors, (assert_close, *_) = watched
    ours = tensors["a"].clone()
    ours[0, 0], ours[1, 2] = 0.001, 5.002
    assert_close(ours, tensors["a"], atol=0.01, rtol=0.1)
    found = watch.compared["f.safetensors", "a"]
    assert (found.times, found.failures) == (1, 0)
    assert (found.error, found.allowed) == pytest.approx((0.001, 0.01))
    assert found.share == pytest.approx(0.1)
    assert_close(tensors["a"].clone(), tensors["a"], atol=0, rtol=0)
    assert found.share == pytest.approx(0.1)
    assert found.times == 2


def test_what_is_out_of_tolerance_is_counted_and_still_fails(watched):
    watch, tensors, (assert_close, allclose, equal, assert_allclose) = watched
    wrong = tensors["a"] + 1
    with pytest.raises(AssertionError):
        assert_close(wrong, tensors["a"])
    with pytest.raises(AssertionError):
        assert_allclose(wrong.numpy(), tensors["a"].numpy())
    assert not allclose(wrong, tensors["a"])
    assert not equal(wrong, tensors["a"])
    found = watch.compared["f.safetensors", "a"]
    assert (found.times, found.failures) == (4, 4)


def test_parts_and_arrays_are_recognized_and_copies_are_not(watched):
    watch, tensors, (assert_close, *_, assert_allclose) = watched
    assert_close(torch.tensor([4.0]), tensors["a"][1, 1:2])
    assert_allclose(np.ones(2), tensors["b"].numpy())
    assert_close(torch.zeros(1), torch.zeros(1))
    assert set(watch.compared) == {("f.safetensors", "a"), ("f.safetensors", "b")}


def test_exact_comparisons_allow_nothing(watched):
    watch, tensors, (_, _, equal, _) = watched
    assert equal(tensors["b"].clone(), tensors["b"])
    assert watch.compared["f.safetensors", "b"].allowed == 0


def test_weights_are_inputs_and_outputs_are_results(parity):
    for folder, given, result in [
        ("gans/", "sd/model.0.bias", "out/y0"),
        ("imle/", "code.3", "output.3"),
        ("diffusion/", "sr4_noisy.x_T_noise", "sr4_noisy.x_final"),
        ("uncertainty/", "score.gt", "score.energy_fair"),
    ]:
        assert re.fullmatch(parity.INPUTS[folder], given)
        assert not re.fullmatch(parity.INPUTS[folder], result)
    assert parity.explanation("gans/unknown.safetensors:out/y") is None


def test_absent_references_are_no_failure(parity, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("INVBENCH_REFS", str(tmp_path / "none"))
    assert parity.main() == 0
    assert "Nothing was compared" in capsys.readouterr().out
