"""Verbs do what they say, and their exit status says how it went."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pictures import write_image
from run_records import case_record, run_record

from invbench import __version__
from invbench.cli import main
from invbench.data.photos import photos
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.runs.store import RunStore


def test_names_that_are_unknown_are_usage_errors(tmp_path, capsys):
    given = ["observe", "--task", "sr15", "--images", str(tmp_path), "-o", str(tmp_path)]
    assert main(given) is ExitCode.USAGE
    assert "did you mean sr16 or srN?" in capsys.readouterr().err


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
    store.write_run(run_record())
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
        assert self.train(tmp_path) is ExitCode.MISSING
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


@pytest.mark.parametrize("kind", [ZeroDivisionError, pytest.skip.Exception])
def test_an_error_that_nobody_foresaw_has_a_status_of_its_own(monkeypatch, capsys, kind):
    def fail(_):
        raise kind("\x1b]8;;")

    monkeypatch.setattr("invbench.verbs.env.run", fail)
    assert main(["env"]) is ExitCode.FAULT
    assert rf"{kind.__name__}: \x1b]8;;" in (said := capsys.readouterr().err)
    assert "\x1b" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_an_output_that_is_full_is_named():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "invbench", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.MISSING
    assert done.stderr.startswith("invbench: OSError: [Errno 28]")
    assert "Traceback" not in done.stderr


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as status:
        main(["--version"])
    assert status.value.code == 0
    assert capsys.readouterr().out == f"invbench {__version__}\n"


@pytest.mark.parametrize("verb", [["list"], ["env", "--device", "cpu"]], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(verb):
    command = [sys.executable, "-m", "invbench", *verb]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    "given",
    [
        "train chimle sr16 --images . --steps -5",
        "train chimle sr16 --images . --steps many",
        "train chimle sr16 --images . --steps 1 --threads -1",
        "train --all --images . --steps 1 --jobs 0",
        "train --all --images . --steps 1 --rounds 0",
        "observe --task sr4 --images . -o x --size 0",
        "sheet --tile -3",
        "time reference sr16 --processes 0",
    ],
)
def test_a_number_below_one_is_refused_by_its_option(given, capsys):
    with pytest.raises(SystemExit) as status:
        main(given.split())
    assert status.value.code == ExitCode.USAGE
    assert "give a whole number from 1 up" in capsys.readouterr().err


def test_pictures_may_be_none_but_not_fewer(capsys):
    for pictures in ("-1", "few"):
        with pytest.raises(SystemExit) as status:
            main(["score", "x", "--task", "sr16", "--observations", "y", "--pictures", pictures])
        assert status.value.code == ExitCode.USAGE
        assert "give a whole number from 0 up" in capsys.readouterr().err


def test_a_run_of_one_model_has_nothing_to_rank(tmp_path, capsys):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    store.write_case(case_record(validity={}, interval=None))
    assert main(["rank", str(store.folder), "--score", "psnr"]) is ExitCode.INCOMPARABLE
    said = "nothing to rank: no score of two models on one task among psnr\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_minutes_that_never_end_or_begin_are_refused(minutes, tmp_path, capsys):
    given = ["train", "chimle", "sr16", "--images", str(tmp_path), "--minutes", minutes]
    assert main([*given, "--device", "cpu"]) is ExitCode.USAGE
    assert f"--minutes {float(minutes)}: give a number above 0" in capsys.readouterr().err


def test_a_folder_that_is_taken_is_told_the_options_of_the_verb(tmp_path, capsys):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    store.write_case(case_record(validity={}, interval=None))
    assert main(["merge", str(store.folder), "-o", str(store.folder)]) is ExitCode.USAGE
    said = capsys.readouterr().err
    assert "holds 2 files of a run; name another folder\n" in said
    assert "--" not in said
