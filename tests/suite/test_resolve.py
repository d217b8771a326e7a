"""Options become the objects that they name, or an error that names them."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from pictures import write_image
from samplers import Blurry, blurry

from invbench.data.photos import photos
from invbench.errors import (
    InvalidOptionError,
    MissingCheckpointError,
    MissingDataError,
    UnknownNameError,
)
from invbench.images import from_uint8
from invbench.models.cases import Case
from invbench.problems.tasks import TASKS
from invbench.suite.fingerprint import source_digest
from invbench.suite.options import Options, add_options, read_options
from invbench.suite.own_samplers import OwnSampler
from invbench.suite.resolve import Suite
from invbench.suite.shard import Shard

ROOT = Path(__file__).parents[2]
SR16 = TASKS["sr16"].problem((128, 128))


def suite(**options):
    return Suite(Options(device="cpu", **options))


class TestOwnSampler:
    def test_is_read_once_and_builds_a_subject(self):
        own = OwnSampler.parse("mine=samplers:blurry")
        assert (own.name, own.source) == ("mine", "samplers:blurry")
        subject = own.subject(SR16, torch.device("cpu"))
        assert isinstance(subject.sampler, Blurry)
        assert subject.identity() == {
            "source": "samplers:blurry",
            "source_sha256": source_digest(blurry, "samplers", subject.sampler),
        }

    @pytest.mark.parametrize(
        "text",
        [
            "mine",
            "mine=",
            "=samplers:blurry",
            "../x=samplers:blurry",
            f"{'a' * 65}=samplers:blurry",
            "a\n=samplers:blurry",
        ],
        ids=repr,
    )
    def test_of_another_form_is_named(self, text):
        with pytest.raises(UnknownNameError, match=rf"--sampler {re.escape(text)}: expected NAME="):
            OwnSampler.parse(text)

    @pytest.mark.parametrize("name", ["ddrm", "reference"])
    def test_a_built_in_name_is_taken(self, name):
        with pytest.raises(UnknownNameError, match="give yours a name of your own"):
            OwnSampler.parse(f"{name}=samplers:blurry")

    def test_is_a_case_of_every_task(self):
        run = suite(sampler=["mine=samplers:blurry", "other=samplers:broken"])
        assert run.cases[27:] == tuple(Case(name, task) for name in run.own for task in TASKS)
        assert list(run.own) == ["mine", "other"]


class TestShard:
    @pytest.mark.parametrize("text", ["0/2", "3/2", "2", "/2", "1/", "a/b", "1/2/3", "-1/2", ""])
    def test_of_another_form_is_named(self, text):
        with pytest.raises(InvalidOptionError, match=f"--shard {text}: expected i/n"):
            Shard.parse(text)

    def test_says_what_it_was_read_from(self):
        assert str(Shard.parse("2/3")) == "2/3"

    def test_is_everything_by_default(self):
        assert suite().shard.select(["a", "b"]) == ["a", "b"]


class TestDataSet:
    def test_is_that_of_the_profile(self):
        data = suite(images=2).data_set("colorization")
        assert data.name == "embedded"
        assert [photo.id for photo in data.photos] == ["astronaut-0", "chelsea-0"]
        assert data.photos[0].pixels.shape == (3, 64, 64)

    def test_is_read_once_for_all_models_of_a_task(self):
        assert suite(images=2).data_set("sr16") is suite(images=2).data_set("sr16")

    def test_of_ones_own_prefers_the_folder_named_after_the_task(self, tmp_path):
        first, second = photos(64, 2)
        write_image(tmp_path / "decompression" / "one.png", from_uint8(first.pixels))
        write_image(tmp_path / "two.png", from_uint8(second.pixels))
        run = suite(data=tmp_path)
        assert [run.data_set("decompression").name, run.data_set("colorization").name] == [
            "decompression",
            tmp_path.name,
        ]
        assert [photo.id for photo in run.data_set("decompression").photos] == ["one"]
        assert len(run.data_set("colorization").photos) == 2

    def test_of_a_profile_without_images_is_asked_for(self):
        with pytest.raises(MissingDataError, match="give --data"):
            suite(profile="paper").data_set("sr16")


def test_changes_to_the_profile_reach_the_settings():
    settings = suite(images=2, samples=5, seed=3, dtype="bfloat16").settings
    assert (settings.n_samples, settings.seed, settings.dtype) == (5, 3, "bfloat16")
    assert suite().settings.n_samples == suite().profile.n_samples == 20


def test_methods_without_weights_are_left_out(tmp_path):
    source = ROOT / "fixtures" / "checkpoints" / "divco-colorization.safetensors"
    (tmp_path / source.name).write_bytes(source.read_bytes())
    assert list(suite(checkpoints=tmp_path).subjects("colorization")) == ["divco"]


@pytest.mark.parametrize(
    ("require", "required"),
    [("", False), ("ddrm, divco", True), ("divco-sr16", True), ("all", True), ("divco-", False)],
)
def test_weights_are_required_by_model_or_case(require, required):
    assert suite(require=require).requires(Case("divco", "sr16")) is required


def test_options_that_a_verb_does_not_declare_keep_their_defaults():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tile", type=int, default=1)
    add_options(parser.add_argument, only=("seed", "samples"))
    assert read_options(parser.parse_args(["--seed=3"])) == Options(seed=3)
    everything = argparse.ArgumentParser()
    add_options(everything.add_argument)
    parsed = everything.parse_args([])
    assert read_options(parsed) == Options()
    assert set(vars(parsed)) == {option.name for option in fields(Options)}


@pytest.mark.parametrize("profile", ["small", "paper"])
@pytest.mark.parametrize("model", ["chimle", "ddrm"])
def test_weights_of_another_configuration_are_missing_and_not_foreign(profile, model):
    with pytest.raises(MissingCheckpointError, match=r"import-checkpoint.*train.*--checkpoints"):
        suite(profile=profile).subject(Case(model, "sr16"))


def test_the_chunk_size_is_the_profiles_or_the_users():
    assert suite().settings.chunk_size == 20
    assert suite(chunk_size=3).settings.chunk_size == 3
    with pytest.raises(InvalidOptionError, match="--chunk-size 0: give at least 1"):
        _ = suite(chunk_size=0).profile
