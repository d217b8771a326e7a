"""Verbs do what they say, and their exit status says how it went."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from pictures import write_image
from run_records import case_record

from invbench.cli import main
from invbench.data.photos import photos
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.operators import PillowBicubic
from invbench.runs.store import RunStore


@pytest.fixture
def layout(tmp_path):
    for photo in photos(128, 2):
        target = from_uint8(photo.pixels)
        write_image(tmp_path / "observations" / f"{photo.id}.png", PillowBicubic()(target))
        for k in range(2):
            write_image(tmp_path / "samples" / "mine" / photo.id / f"{k}.png", target)
    return tmp_path


def score(layout, *arguments):
    return main(
        [
            "score",
            str(layout / "samples"),
            "--observations",
            str(layout / "observations"),
            "--output",
            str(layout / "results.json"),
            "--offline",
            *(arguments or ("--task", "sr16")),
        ]
    )


def test_score_prints_a_table_and_writes_json(layout, capsys):
    assert score(layout) is ExitCode.OK
    assert "100.0000" in capsys.readouterr().out  # targets reobserve exactly
    results = json.loads((layout / "results.json").read_text())["results"]
    assert results["mine"]["astronaut-0"]["psnr"] == [100.0, 100.0]


def test_score_names_what_it_left_out(layout, capsys):
    (layout / "samples" / "mine" / "astronaut-0" / "1.png").write_text("no image")
    assert score(layout) is ExitCode.FAILED
    assert "mine/astronaut-0/1.png: UnreadableImageError" in capsys.readouterr().err


def test_score_of_nothing_is_incomparable(layout):
    for path in (layout / "observations").iterdir():
        path.unlink()
    assert score(layout) is ExitCode.INCOMPARABLE


def test_names_that_are_unknown_are_usage_errors(layout, capsys):
    assert score(layout, "--task", "sr15") is ExitCode.USAGE
    assert "did you mean sr16?" in capsys.readouterr().err


def test_list_names_every_case(capsys):
    assert main(["list"]) is ExitCode.OK
    assert "chimle-decompression" in capsys.readouterr().out


def test_env_is_json(capsys):
    assert main(["env", "--device", "cpu"]) is ExitCode.OK
    assert json.loads(capsys.readouterr().out)["packages"]["torch"].startswith(
        torch.__version__.split("+")[0]
    )


def test_limits_are_taken_from_a_run(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text("[slack]\npsnr = 1\nlpips_random = 1\ncoverage = 1\nwinkler = 1\n")
    store = RunStore(tmp_path / "run")
    assert main(["limits", str(tmp_path / "run"), str(file)]) is ExitCode.MISSING
    store.write_run({"profile": "tiny"})
    store.write_case(case_record())
    assert main(["limits", str(tmp_path / "run"), str(file)]) is ExitCode.OK
    assert "[tiny.chimle-sr16]\npsnr = 28.0" in file.read_text()


class TestTrain:
    def train(self, folder, *arguments):
        return main(
            [
                "train",
                "chimle",
                "sr16",
                "--images",
                str(folder / "images"),
                "--steps",
                "1",
                "--device",
                "cpu",
                "--output",
                str(folder / "checkpoints"),
                "--runs",
                str(folder / "runs"),
                *arguments,
            ]
        )

    def test_an_empty_folder_is_named(self, tmp_path, capsys):
        assert self.train(tmp_path) is ExitCode.USAGE
        assert "EmptyFolderError" in capsys.readouterr().err

    def test_unknown_models_and_profiles_are_named(self, tmp_path, capsys):
        assert self.train(tmp_path, "--profile", "tinny") is ExitCode.USAGE
        assert "did you mean tiny?" in capsys.readouterr().err

    @pytest.mark.slow
    def test_weights_and_a_card_are_written(self, tmp_path):
        for photo in photos(128, 8):
            write_image(tmp_path / "images" / f"{photo.id}.png", from_uint8(photo.pixels))
        assert self.train(tmp_path, "--note", "eight crops") is ExitCode.OK
        assert (tmp_path / "checkpoints" / "chimle-sr16.safetensors").stat().st_size < 3e6
        card = (tmp_path / "checkpoints" / "chimle-sr16.md").read_text()
        assert "- steps: 1\n" in card
        assert "eight crops" in card
        assert self.train(tmp_path) is ExitCode.OK  # the finished run is not taken again


def test_verbs_without_numerics_start_without_torch():
    code = (
        "import sys; from invbench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
