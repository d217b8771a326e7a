"""`invbench check` prints a line a property, and its exit status says whether all hold."""

from __future__ import annotations

import flawed
import pytest

from invbench.cli import main
from invbench.conformance import Finding
from invbench.errors import UnsupportedProblemError
from invbench.exit_codes import ExitCode
from invbench.verbs.check import lines

pytestmark = pytest.mark.slow


def check(capsys, *arguments):
    code = main(["check", *arguments, "--device", "cpu"])
    return code, capsys.readouterr()


def test_a_sampler_is_checked_on_the_study_s_tasks(capsys):
    code, said = check(capsys, "flawed:noisy")
    assert code is ExitCode.OK
    for task in ("sr16", "colorization", "decompression"):
        assert f"flawed:noisy on {task}: keeps what it promises" in said.out
    assert max(map(len, said.out.splitlines())) <= 100


def test_a_defect_is_the_exit_status(capsys):
    code, said = check(capsys, "flawed:signed", "--task", "sr4", "--task", "half=flawed:task_own")
    assert code is ExitCode.FAILED
    assert "flawed:signed on sr4: FAILED (range)" in said.out
    assert "flawed:signed on half: FAILED (range)" in said.out
    assert max(map(len, said.out.splitlines())) <= 100


def test_a_declined_task_is_no_failure(capsys, monkeypatch):
    def picky(problem, device):
        if problem.name == "colorization":
            raise UnsupportedProblemError("it only enlarges")
        return flawed.Honest(problem, device)

    monkeypatch.setitem(flawed.HONEST, "picky", picky)
    code, said = check(capsys, "flawed:picky", "--task", "colorization", "--task", "sr16")
    assert code is ExitCode.OK
    assert "flawed:picky on colorization: declined: it only enlarges" in said.out
    assert "flawed:picky on sr16: keeps what it promises" in said.out


def test_tasks_are_checked_by_factory_and_by_name(capsys):
    tasks = ["--task-factory=sr4+n5", "--task-factory=flawed:task_random"]
    code, said = check(capsys, *tasks)
    assert code is ExitCode.FAILED
    assert "sr4+n5: keeps what it promises" in said.out
    assert "flawed:task_random: FAILED (determinism)" in said.out
    assert check(capsys, "--task-factory=own=flawed:task_own")[0] is ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a sampler's factory, or --task-factory"),
        (["flawed:nothing"], "flawed:nothing: cannot be imported"),
        (["nothing"], "nothing: give the module and the function in it, as my_sampler:load"),
        (["nothing.py"], "as my_sampler:load for load in my_sampler.py"),
        (["flawed:noisy", "--task", "sr5"], "unknown task 'sr5'"),
        (["flawed:noisy", "--task", "flawed:task_own"], "expected NAME=package.module:factory"),
        (["--task-factory", "sr5"], "unknown task 'sr5'"),
        (["--task-factory", "flawed:nothing"], "flawed:nothing: cannot be imported"),
    ],
)
def test_what_names_nothing_is_a_usage_error(capsys, arguments, message):
    code, said = check(capsys, *arguments)
    assert code is ExitCode.USAGE
    assert message in said.err


def test_long_cells_go_on_below():
    said = list(lines([Finding("range", "FAILED", "[0, 1]", "values span " + "far " * 20)]))
    assert said[1].startswith("FAILED      range")
    assert said[2].startswith(" " * 40)
    assert max(map(len, said)) <= 100
