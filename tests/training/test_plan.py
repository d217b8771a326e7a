"""All pairs are trained in one order, once each, and what is there is kept."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest
import torch
from pictures import write_image
from PIL import Image

from invbench.cli import main
from invbench.data.photos import photos
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.models.cases import CASES, Case
from invbench.models.checkpoints import load_weights, read_card
from invbench.models.registry import MODELS, get_method
from invbench.problems.tasks import get_task
from invbench.training import msgan, prior
from invbench.training.budget import Budget
from invbench.training.curves import plot_run
from invbench.training.denoising import DenoisingOptions
from invbench.training.learners import make_learner
from invbench.training.logs import read_log
from invbench.training.loop import train as loop
from invbench.training.msgan import MsganOptions
from invbench.training.pairs import Pairs
from invbench.training.plan import plan_runs
from invbench.training.recipes import Recipe


class TestPlan:
    @pytest.mark.parametrize(("profile", "runs"), [("tiny", 23), ("small", 22), ("paper", 22)])
    def test_serves_every_case_once(self, profile, runs):
        planned = plan_runs(profile, Budget(minutes=1))
        assert len(planned) == runs
        assert sorted(case.id for run in planned for case in run.cases) == sorted(
            case.id for case in CASES
        )

    def test_is_in_the_order_of_the_cases(self):
        firsts = [run.cases[0] for run in plan_runs("tiny", Budget(steps=1))]
        assert firsts == sorted(firsts, key=CASES.index)

    def test_gives_shared_weights_the_budget_of_all_they_serve(self):
        budgets = {run.stem: run.budget for run in plan_runs("tiny", Budget(minutes=8))}
        assert budgets["ddrm-64"] == Budget(minutes=16)
        assert budgets["ndm-colorization"] == Budget(minutes=8)
        assert sum(budget.minutes for budget in budgets.values()) == 8 * len(CASES)
        small = {run.stem: run.budget for run in plan_runs("small", Budget(steps=10))}
        assert small["ddrm-128"] == Budget(steps=30)


@pytest.fixture(autouse=True)
def threads():
    """Leave torch as many threads as it had, for tests that compare whole runs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images(tmp_path):
    for photo in photos(64, 8):
        write_image(tmp_path / "images" / f"{photo.id}.png", from_uint8(photo.pixels))
    return tmp_path / "images"


@pytest.fixture
def few(monkeypatch):
    """Leave three cases, two of which share their weights, and have them learn quickly."""
    cases = [Case("ddrm", "colorization"), Case("ddrm", "decompression")]
    cases.append(Case("msgan", "decompression"))
    monkeypatch.setattr(plan_runs, "__defaults__", (cases,))
    monkeypatch.setitem(prior.OPTIONS, "tiny", DenoisingOptions(batch_size=1))
    options = MsganOptions(batch_size=3, discriminator_channels=2, discriminator_layers=2)
    monkeypatch.setitem(msgan.OPTIONS, "tiny", options)


def train(images, *arguments):
    folder = images.parent
    places = ["--output", str(folder / "weights"), "--runs", str(folder / "runs")]
    given = ["--images", str(images), "--device", "cpu", *places]
    return main(["train", *given, *(arguments or ("--all", "--steps", "2"))])


@pytest.mark.usefixtures("few")
class TestTrainAll:
    def test_trains_then_keeps_then_trains_what_is_gone(self, images, capsys):
        assert train(images) is ExitCode.OK
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in lines] == ["run", "ddrm-64", "msgan-decompression"]
        assert [line[-1] for line in lines[1:]] == ["trained", "trained"]
        assert lines[1][1:4] == ["colorization", "decompression", "4"]
        for run in ("ddrm-64-tiny", "msgan-decompression-tiny"):
            with Image.open(images.parent / "runs" / run / "curves.png") as curves:
                assert min(curves.size) > 100

        before = (images.parent / "weights" / "ddrm-64.safetensors").stat().st_mtime_ns
        (images.parent / "weights" / "msgan-decompression.safetensors").unlink()
        assert train(images) is ExitCode.OK
        states = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
        assert states[1:] == ["kept", "trained"]
        assert (images.parent / "weights" / "ddrm-64.safetensors").stat().st_mtime_ns == before

    def test_trains_side_by_side_in_rounds(self, images, capsys):
        given = ("--all", "--steps", "2", "--jobs", "2", "--rounds", "2", "--threads", "1")
        assert train(images, *given) is ExitCode.OK
        lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
        steps = {"ddrm-64": "4", "msgan-decompression": "2"}
        assert {line[0]: line[-6] for line in lines} == steps
        for stem, count in steps.items():
            log = read_log(images.parent / "runs" / f"{stem}-tiny")
            assert log[-1]["step"] == int(count)
            assert int(count) // 2 in [line["step"] for line in log]

    def test_of_other_seeds_and_budgets_are_not_the_same(self, images, capsys):
        assert train(images) is ExitCode.OK
        assert train(images, "--all", "--steps", "3") is ExitCode.OK
        states = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
        assert states[-2:] == ["trained", "trained"]
        assert train(images, "--all", "--steps", "2", "--seed", "1") is ExitCode.FAILED
        assert "holds a run of another recipe, by its seed" in capsys.readouterr().out

    def test_goes_on_after_a_run_that_fails(self, images, capsys):
        for path in list(images.iterdir())[2:]:
            path.unlink()
        assert train(images) is ExitCode.FAILED
        first, second = capsys.readouterr().out.splitlines()[1:]
        assert first.endswith("trained")
        assert "MissingDataError: 2 targets cannot fill a batch of 3" in second

    def test_continues_a_run_that_was_killed(self, images, monkeypatch):
        learn, taken = msgan.MsganLearner.step, []

        def die_once(learner, progress):
            taken.append(progress)
            if len(taken) == 2:
                raise KeyboardInterrupt
            return learn(learner, progress)

        monkeypatch.setattr("invbench.training.recipes.train", partial(loop, save_every_seconds=0))
        monkeypatch.setattr(msgan.MsganLearner, "step", die_once)
        assert train(images, "--all", "--steps", "3") == 130
        assert (images.parent / "weights" / "ddrm-64.safetensors").exists()
        assert train(images, "--all", "--steps", "3") is ExitCode.OK
        assert taken == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])


@pytest.mark.usefixtures("few")
class TestStart:
    def weights_after(self, images, *arguments):
        assert train(images, "msgan", "decompression", *arguments) is ExitCode.OK
        return load_weights(images.parent / "weights" / "msgan-decompression.safetensors")[0]

    def test_a_run_begins_with_the_weights_that_it_is_given(self, images):
        before = self.weights_after(images, "--steps", "2")
        start = (images.parent / "weights").rename(images.parent / "start")
        shutil.rmtree(images.parent / "runs")
        after = self.weights_after(images, "--steps", "3", "--start", str(start))
        card = read_card(images.parent / "weights" / "msgan-decompression.safetensors")
        assert card["steps"] == 3
        assert card["start"].startswith("msgan-decompression.safetensors, SHA-256 ")
        farthest = max((after[name] - before[name]).abs().max() for name in before)
        assert 0 < farthest < 4 * MsganOptions().learning_rate

    def test_a_state_is_continued_whatever_the_start(self, images):
        self.weights_after(images, "--steps", "2")
        start = (images.parent / "weights").rename(images.parent / "start")
        self.weights_after(images, "--steps", "4", "--start", str(start))
        card = read_card(images.parent / "weights" / "msgan-decompression.safetensors")
        assert (card["steps"], card["start"]) == (4, "")

    def test_a_start_without_the_pair_is_named(self, images, tmp_path, capsys):
        given = ("msgan", "decompression", "--steps", "1", "--start", str(tmp_path))
        assert train(images, *given) is ExitCode.MISSING
        assert "msgan-decompression.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("msgan",), ("--all", "msgan", "sr16"), ("--all", "msgan"), ()])
def test_one_pair_or_all_have_to_be_named(names, images, capsys):
    assert train(images, *names, "--steps", "1") is ExitCode.USAGE
    assert "name one model and one task" in capsys.readouterr().err


class TestCurves:
    def write(self, folder, lines):
        folder.mkdir()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "log.jsonl").write_text(text)
        return plot_run(folder)

    def test_show_losses_and_scores(self, tmp_path):
        plain = self.write(tmp_path / "a", [{"step": k, "loss": 1 / k} for k in range(1, 9)])
        scored = self.write(
            tmp_path / "b",
            [{"step": k, "gan": 1.0, "kl": -1.0} for k in range(5)]
            + [{"step": 5, "psnr": 20.0, "ssim": 0.5, "width": 0.1}],
        )
        sizes = []
        for path in (plain, scored):
            with Image.open(path) as image:
                sizes.append(image.size)
        assert sizes[1][0] == 4 * sizes[0][0]

    def test_of_an_empty_log_are_empty(self, tmp_path):
        assert self.write(tmp_path / "a", []).exists()


SMALL_SIDES = {"bicyclegan": 128, "msgan": 128, "divco": 128}
"""Side of the smallest images that a network of configuration small can read; 64 otherwise."""


@pytest.mark.parametrize("task", ["sr16", "colorization", "decompression"])
@pytest.mark.parametrize("model", MODELS)
def test_the_small_profile_builds(model, task):
    method = get_method(model)
    with torch.device("meta"):
        network = method.build(method.configure(task, "small"))
    assert sum(value.numel() for value in network.parameters()) > 1e6


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_small_profile_learns(model, tmp_path, monkeypatch):
    method = get_method(model)
    config = method.configure("decompression", "small")
    count = 4 if method.family == "imle" else 2
    targets = torch.stack([photo.pixels for photo in photos(SMALL_SIDES.get(model, 64), count)])
    if method.family == "gan":
        options = import_module(f"invbench.training.{model}").OPTIONS
        monkeypatch.setitem(options, "small", replace(options["small"], batch_size=2))
    pairs = Pairs(get_task("decompression"), targets, torch.device("cpu"))
    recipe = Recipe(
        model=model,
        task="decompression",
        images=tmp_path,
        validation=None,
        profile="small",
        budget=Budget(steps=1),
        seed=0,
        device=torch.device("cpu"),
        output=tmp_path,
        runs=tmp_path,
    )
    torch.manual_seed(0)
    learner, settings = make_learner(method, method.build(config), config, pairs, recipe)
    losses = learner.step(0.0)
    assert settings
    assert all(math.isfinite(value) for value in losses.values())
