"""Checkpoints are whole, of the right model, task and size, or refused by name."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file

from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    MissingCheckpointError,
    UnknownNameError,
)
from invbench.models.checkpoints import (
    agrees,
    describe,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from invbench.models.registry import MODELS, get_method, load_factory
from invbench.seeding import generator


@pytest.fixture
def saved(tmp_path):
    method = get_method("chimle")
    config = method.configure("sr16", "tiny")
    torch.manual_seed(0)
    network = method.build(config)
    path = tmp_path / "chimle-sr16.safetensors"
    save_checkpoint(
        path,
        network.state_dict(),
        method="chimle",
        stem="chimle-sr16",
        config=config,
        card={"steps": 1},
    )
    return path, network


def load(path, *, model="chimle", task="sr16", configuration="tiny"):
    return load_checkpoint(path, method=get_method(model), task=task, configuration=configuration)


def test_a_checkpoint_samples_as_its_network(saved):
    path, network = saved
    sampler, checkpoint = load(path)
    observation = torch.rand(1, 3, 4, 4, generator=generator(0))
    ours = sampler(observation, [generator(1)])
    theirs = get_method("chimle").sampler(network, network.config)(observation, [generator(1)])
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)  # half precision
    assert checkpoint.card == {"steps": 1}
    assert checkpoint.bytes == path.stat().st_size < 3e6


def test_half_precision_is_all_that_is_lost(saved):
    path, network = saved
    weights, _ = load_weights(path)
    for key, value in network.state_dict().items():
        assert torch.equal(weights[key], value.half().float())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"task": "decompression"}, "holds chimle-sr16, not chimle-decompression"),
        ({"model": "cimle"}, "holds chimle-sr16, not cimle-sr16"),
        ({"configuration": "small"}, "another configuration"),
    ],
    ids=["task", "model", "configuration"],
)
def test_foreign_checkpoints_are_refused(saved, choice, message):
    with pytest.raises(ForeignCheckpointError, match=message):
        load(saved[0], **choice)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_checkpoints_are_refused(saved, keep):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptCheckpointError, match=r"chimle-sr16\.safetensors"):
        load(path)


def test_missing_checkpoints_are_named_with_the_remedy(tmp_path):
    with pytest.raises(MissingCheckpointError, match="invbench train"):
        load(tmp_path / "none.safetensors")


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ForeignCheckpointError, match="not written by invbench"):
        load(path)


def test_weights_that_are_not_finite_are_refused(saved):
    path, network = saved
    weights = dict(network.state_dict())
    weights["level_1_feat.0.bias"] = torch.full_like(weights["level_1_feat.0.bias"], torch.nan)
    save_checkpoint(
        path, weights, method="chimle", stem="chimle-sr16", config=network.config, card={}
    )
    with pytest.raises(CorruptCheckpointError, match=r"level_1_feat\.0\.bias is not finite"):
        load(path)


def test_missing_tensors_are_refused(saved):
    path, network = saved
    weights = dict(network.state_dict())
    del weights["level_1_feat.0.bias"]
    save_checkpoint(
        path, weights, method="chimle", stem="chimle-sr16", config=network.config, card={}
    )
    with pytest.raises(ForeignCheckpointError, match=r"level_1_feat\.0\.bias"):
        load(path)


def test_any_change_of_size_changes_the_description(saved):
    path, network = saved
    save_checkpoint(
        path,
        network.state_dict(),
        method="chimle",
        stem="chimle-sr16",
        config=replace(network.config, feature_scales=(0.2, 0.1, 0.1)),
        card={},
    )
    with pytest.raises(ForeignCheckpointError, match="another configuration"):
        load(path)


@pytest.mark.parametrize("path", ["numpy", "numpy:nothing", "no.such:f", "numpy:pi", ":f"])
def test_factories_that_cannot_be_had_are_named(path):
    with pytest.raises(UnknownNameError):
        load_factory(path)


def test_a_module_that_ends_the_program_is_named(tmp_path, monkeypatch):
    (tmp_path / "module_that_exits.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownNameError, match="ends the program"):
        load_factory("module_that_exits:load")


def test_a_factory_is_found_by_its_path():
    assert load_factory("torch.nn.functional:relu") is torch.nn.functional.relu


@dataclass(frozen=True)
class Inner:
    sides: tuple[int, ...] = (1, 2)
    since_lately: bool = False


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    width: int = 3


class TestAgreement:
    stored: ClassVar = {"inner": {"sides": [1, 2]}, "width": 3}

    def test_an_option_that_is_not_named_has_its_default(self):
        assert agrees(self.stored, Outer())
        assert not agrees(self.stored, Outer(Inner(since_lately=True)))

    @pytest.mark.parametrize("other", [Outer(width=4), Outer(Inner(sides=(1, 2, 3)))])
    def test_named_ones_must_be_equal(self, other):
        assert not agrees(self.stored, other)

    def test_an_option_that_is_gone_is_another_configuration(self):
        assert not agrees(self.stored | {"gone": None}, Outer())
        assert not agrees(self.stored | {"inner": 1}, Outer())

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("task", ["sr16", "colorization"])
    def test_of_every_method_with_itself_alone(self, model, task):
        method = get_method(model)
        configs = [method.network_config(method.configure(task, n)) for n in ("tiny", "official")]
        stored = json.loads(describe(configs[0]))
        assert [agrees(stored, config) for config in configs] == [True, False]


def test_a_factory_of_the_current_folder_is_found_by_commands_too(tmp_path, monkeypatch):
    (tmp_path / "sampler_of_this_folder.py").write_text("def load(problem, device): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as for a command
    assert load_factory("sampler_of_this_folder:load").__name__ == "load"
