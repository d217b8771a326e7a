"""Published files become checkpoints of ours whatever wraps them, and never run code."""

from __future__ import annotations

import argparse
import os
import pickle
from functools import cache
from pathlib import Path

import pytest
import torch
from pictures import write_image
from safetensors.torch import save_file

from invbench.cli import main
from invbench.data.photos import photos
from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    MissingDataError,
    UnknownNameError,
)
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.models import gan
from invbench.models.cases import Case
from invbench.models.checkpoints import load_weights
from invbench.models.imports import (
    MismatchedCheckpointError,
    compare,
    find_state,
    import_official,
)
from invbench.models.registry import MODELS, get_method
from invbench.networks.blur import BlurDown
from invbench.networks.weight_files import UnsafeCheckpointError, read_tensors
from invbench.problems.profiles import PROFILES, Profile
from invbench.runs.store import RunStore
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.suite.session import Session

ROOT = Path(__file__).parents[2]


@cache
def network_of(model, task="decompression"):
    method = get_method(model)
    torch.manual_seed(0)
    return method.build(method.configure(task, "tiny"))


def published(model, weights):
    """Invert our renaming: name weights as the method's authors did, extras included."""
    named = dict(weights)
    if model in ("bicyclegan", "msgan", "divco"):
        named["model.submodule.down.2.running_mean"] = torch.zeros(24)
        named["model.submodule.down.2.running_var"] = torch.ones(24)
        named["model.submodule.down.2.num_batches_tracked"] = torch.tensor(3)
    elif model == "monce":
        named = {k.replace(".conv_block.5.", ".conv_block.6."): v for k, v in named.items()}
        named["model.7.filt"] = BlurDown(48).filt
    elif model == "ndm":
        named = {f"score_model.{key}": value for key, value in named.items()}
        named |= {"sigma_max_y": torch.tensor(0.5), "sigma_min_y": torch.tensor(0.005)}
    elif model == "cimle":
        halves = {"weight_g": "original0", "weight_v": "original1"}
        for key in list(named):
            owner, _, half = key.rpartition(".")
            if half in halves:
                named[f"{owner}.parametrizations.weight.{halves[half]}"] = named.pop(key)
    return named


def wrong(weights):
    """Stand for weights that are not the ones to take."""
    return {key: value + 1 for key, value in weights.items()}


WRAPPINGS = {
    "plain": lambda state: state,
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
    "lightning": lambda state: {
        "epoch": 87,
        "state_dict": state,
        "hyper_parameters": {"lr": 2e-4, "sizes": [1, 2]},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
    },
    "resume file": lambda state: {
        "iteration": 5,
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
    },
    "average beside weights": lambda state: {"params": wrong(state), "params_ema": state},
    "average one deeper": lambda state: {"state_dict": wrong(state), "ema": {"shadow": state}},
    "average among weights": lambda state: {
        "state_dict": wrong(state) | {f"ema_model.{key}": value for key, value in state.items()}
    },
    "list of a trainer": lambda state: [wrong(state), {"state": {}, "param_groups": []}, 3, state],
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("model", MODELS)
def test_every_wrapping_is_undone(model, wrapping, tmp_path):
    own = network_of(model).state_dict()
    _, state = find_state(WRAPPINGS[wrapping](published(model, own)), path=tmp_path)
    weights = get_method(model).rename_official(state)
    assert not compare(own, weights)
    assert all(torch.equal(weights[key], own[key]) for key in own)


@pytest.mark.parametrize("model", MODELS)
def test_weights_arrive_unchanged(model, tmp_path):
    own = network_of(model).state_dict()
    torch.save(WRAPPINGS["lightning"](published(model, own)), tmp_path / "official.ckpt")
    path, card = import_official(
        tmp_path / "official.ckpt",
        tmp_path,
        method=get_method(model),
        task="decompression",
        configuration="tiny",
    )
    weights, _ = load_weights(path)
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[key], own[key]) for key in own)
    assert card["imported"]["tensors"] == len(own)


@pytest.fixture
def official(tmp_path):
    """Write MSGAN's weights as a plain file, and return the file and its state dict."""
    state = published("msgan", network_of("msgan").state_dict())
    path = tmp_path / "400_net_G.pth"
    torch.save(state, path)
    return path, state


def bring_in(path, **changes):
    chosen = {"task": "decompression", "configuration": "tiny", **changes}
    return import_official(path, path.parent, method=get_method("msgan"), **chosen)


class TestDifferences:
    def test_are_counted_and_named(self, official):
        path, state = official
        state["extra.weight"] = torch.zeros(1)
        del state["model.down.0.bias"]
        state["model.down.0.weight"] = torch.zeros(12, 9, 4, 4)
        torch.save(state, path)
        with pytest.raises(MismatchedCheckpointError) as caught:
            bring_in(path)
        message = str(caught.value)
        assert "1 of 24 missing: model.down.0.bias" in message
        assert "1 unexpected: extra.weight" in message
        assert "model.down.0.weight [12, 9, 4, 4] where [12, 11, 4, 4] is expected" in message
        assert not list(path.parent.glob("*.safetensors"))

    def test_beyond_a_few_are_counted_only(self, official):
        torch.save({"unknown": torch.zeros(1)}, official[0])
        with pytest.raises(MismatchedCheckpointError, match=r"24 of 24 missing: .* and 19 more"):
            bring_in(official[0])

    def test_of_shapes_alone_are_found(self):
        expected, found = {"a": torch.zeros(2, 3)}, {"a": torch.zeros(3, 2)}
        assert compare(expected, found).misshaped == (("a", (3, 2), (2, 3)),)
        assert not compare(expected, expected)

    def test_another_configuration_is_refused(self, official):
        with pytest.raises(MismatchedCheckpointError, match="configuration 'small'"):
            bring_in(official[0], configuration="small")


class TestEntries:
    def test_can_be_chosen(self, official):
        path, state = official
        torch.save({"params": state, "params_ema": wrong(state)}, path)
        written, card = bring_in(path, entry="params")
        weights, _ = load_weights(written)
        assert torch.equal(weights["model.down.0.weight"], state["model.down.0.weight"])
        assert card["imported"]["entry"] == "params"

    def test_that_are_not_there_are_named(self, official):
        path, state = official
        torch.save({"params": state}, path)
        with pytest.raises(UnknownNameError, match=r"did you mean params\?"):
            bring_in(path, entry="param")

    def test_of_unknown_names_have_to_be_chosen(self, tmp_path):
        content = {"one": {"a": torch.zeros(1)}, "two": {"a": torch.zeros(1)}}
        with pytest.raises(ForeignCheckpointError, match="choose one of one, two"):
            find_state(content, path=tmp_path)

    def test_may_lie_one_deeper(self, tmp_path):
        content = {"networks": {"G": {"a": torch.zeros(1)}}, "epoch": 3}
        assert find_state(content, path=tmp_path)[0] == "networks.G"

    @pytest.mark.parametrize("content", [3, {}, {"epoch": 1}, [], {"a": {"b": "text"}}])
    def test_without_weights_are_refused(self, content, tmp_path):
        with pytest.raises(ForeignCheckpointError, match="no state dict"):
            find_state(content, path=tmp_path)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


class TestSafety:
    @pytest.mark.parametrize("zipped", [True, False])
    def test_code_in_a_file_is_not_run(self, zipped, tmp_path):
        path, victim = tmp_path / "harmful.pth", tmp_path / "victim"
        content = {"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": Harmful(victim)}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(UnsafeCheckpointError, match=r"posix\.mkdir.*plain\.pt"):
            read_tensors(path)
        assert not victim.exists()
        torch.load(path, weights_only=False)  # the file is as harmful as it says
        assert victim.exists()

    def test_nor_that_of_a_bare_pickle(self, tmp_path):
        path, victim = tmp_path / "harmful.pkl", tmp_path / "victim"
        path.write_bytes(pickle.dumps(Harmful(victim)))
        with pytest.raises((UnsafeCheckpointError, CorruptCheckpointError)):
            read_tensors(path)
        assert not victim.exists()

    def test_options_of_a_trainer_have_to_be_left_out(self, tmp_path):
        content = {"state_dict": {}, "hyper_parameters": argparse.Namespace(lr=1)}
        torch.save(content, tmp_path / "lightning.ckpt")
        with pytest.raises(UnsafeCheckpointError, match=r"argparse\.Namespace"):
            read_tensors(tmp_path / "lightning.ckpt")


class TestFiles:
    def test_safetensors_are_read(self, official):
        path, state = official
        save_file(state, path.with_suffix(".safetensors"))
        written, _ = bring_in(path.with_suffix(".safetensors"))
        weights, _ = load_weights(written)
        assert torch.equal(weights["model.down.0.weight"], state["model.down.0.weight"])

    @pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut"])
    def test_damaged_ones_are_named(self, name, content, tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptCheckpointError, match=name):
            read_tensors(tmp_path / name)

    def test_truncated_ones_are_named(self, official):
        path, _ = official
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(CorruptCheckpointError, match="400_net_G"):
            read_tensors(path)

    def test_missing_ones_are_named(self, tmp_path):
        with pytest.raises(MissingDataError, match="no such file"):
            read_tensors(tmp_path / "a.pth")

    def test_weights_that_are_not_finite_are_refused(self, official):
        path, state = official
        state["model.down.0.bias"] = torch.full((12,), torch.inf)
        torch.save(state, path)
        with pytest.raises(CorruptCheckpointError, match=r"model\.down\.0\.bias is not finite"):
            bring_in(path)


def import_by_verb(path, folder, *arguments):
    names = ["--model", "msgan", "--task", "decompression", "--output", str(folder)]
    return main(["import-checkpoint", str(path), *names, *arguments])


class TestSuite:
    """An imported file is found by the suite and measured."""

    def test_by_the_paper_profile(self, official, tmp_path, monkeypatch):
        monkeypatch.setitem(gan._NETWORKS, "official", gan._NETWORKS["tiny"])
        small = {**vars(PROFILES["paper"]), "sizes": dict.fromkeys(PROFILES["paper"].sizes, 64)}
        monkeypatch.setitem(PROFILES, "paper", Profile(**small))
        assert import_by_verb(official[0], tmp_path / "weights") is ExitCode.OK
        assert "400_net_G.pth" in (tmp_path / "weights" / "msgan-decompression.md").read_text()
        options = Options(
            profile="paper",
            checkpoints=tmp_path / "weights",
            data=photographs(tmp_path / "data"),
            samples=3,
            offline=True,
            device="cpu",
        )
        suite, case = Suite(options), Case("msgan", "decompression")
        record = Session(suite, RunStore(tmp_path / "run")).run(case, suite.subject(case))
        assert record.identity["model"]["configuration"] == "official"
        assert record.validity["psnr"].n_images == 2

    def test_what_is_wrong_is_a_usage_error(self, official, tmp_path, capsys):
        given = import_by_verb(official[0], tmp_path, "--configuration", "small")
        assert given is ExitCode.USAGE
        assert "MismatchedCheckpointError" in capsys.readouterr().err


def photographs(folder):
    for photo in photos(64, 2):
        write_image(folder / f"{photo.id}.png", from_uint8(photo.pixels))
    return folder


class TestPublishedLists:
    """The names and shapes that the authors' files hold fit our networks of official size."""

    def listed(self, refs, file, entry=None):
        content = refs.json(file)
        if entry is not None:
            content = next(value for key, value in content.items() if key.startswith(entry))
        shapes = content["keys"] if "keys" in content else content["state_dict"]
        return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}

    def differences(self, model, task, state):
        method = get_method(model)
        with torch.device("meta"):
            network = method.build(method.configure(task, "official"))
        return compare(network.state_dict(), method.rename_official(state))

    @pytest.mark.parametrize(
        ("model", "file", "entry"),
        [
            ("bicyclegan", "gans/keys_bicyclegan_official.json", "netG (input_nc=3"),
            ("msgan", "gans/keys_msgan_official.json", "netG"),
            ("divco", "gans/keys_divco_official.json", "netG"),
            ("monce", "gans/keys_monce_official.json", "netG (resnet_9blocks"),
            ("monce", "gans/keys_monce_official.json", "netG with dropout"),
        ],
    )
    def test_of_generators(self, refs, model, file, entry):
        state = self.listed(refs, file, entry)
        assert not self.differences(model, "sr16", state)
        assert self.differences(model, "sr16", dict(list(state.items())[1:])).missing

    @pytest.mark.parametrize(
        ("model", "task", "name"),
        [
            ("chimle", "sr16", "chimle_super_resolution"),
            ("chimle", "colorization", "chimle_colourization"),
            ("cimle", "sr16", "hyperrim_sr"),
        ],
    )
    def test_of_towers(self, refs, model, task, name):
        state = self.listed(refs, f"imle/official_keys_{name}.json")
        assert not self.differences(model, task, state)

    def test_a_flat_decompression_network_is_refused(self, refs):
        state = self.listed(refs, "imle/official_keys_hyperrim_decompression.json")
        assert self.differences("cimle", "decompression", state).missing

    def test_of_a_prior_with_classes_the_embedding_is_unexpected(self, refs):
        state = self.listed(refs, "diffusion/keys_guided_diffusion.json", "imagenet_512_cc")
        found = self.differences("ddrm", "sr16", state)
        assert found.unexpected == ("label_emb.weight",)
        assert not found.missing
        assert not found.misshaped
        del state["label_emb.weight"]
        assert not self.differences("ddrm", "sr16", state)

    def test_of_a_smaller_prior_the_sizes_differ(self, refs):
        state = self.listed(refs, "diffusion/keys_guided_diffusion.json", "imagenet_256")
        assert self.differences("ddrm", "sr16", state)
