"""A run ends when its budget does, survives a kill exactly, and names divergence."""

from __future__ import annotations

import math
import os
import resource
import signal

import pytest
import torch
from torch import nn

from invbench.errors import CorruptCheckpointError, InvalidRecordError, StorageError
from invbench.training import loop
from invbench.training.budget import Budget
from invbench.training.logs import append_line, read_log
from invbench.training.loop import DivergedError, train


class Toy:
    """Learns the mean of noise."""

    def __init__(self, *, die_at=None, bad_at=None):
        self.network = nn.Linear(1, 1)
        nn.init.zeros_(self.network.weight)
        nn.init.zeros_(self.network.bias)
        self.generator = torch.Generator().manual_seed(0)
        self.taken = 0
        self.die_at, self.bad_at = die_at, bad_at

    def step(self, progress):
        if self.taken == self.die_at:
            raise KeyboardInterrupt
        noise = torch.randn(1, generator=self.generator)
        with torch.no_grad():
            self.network.bias += 0.1 * (1 - progress) * (noise - self.network.bias)
        self.taken += 1
        return {"loss": math.nan if self.taken == self.bad_at else float(noise) ** 2}

    def state_dict(self):
        return {
            "network": self.network.state_dict(),
            "generator": self.generator.get_state(),
            "taken": self.taken,
        }

    def load_state_dict(self, state):
        self.network.load_state_dict(state["network"])
        self.generator.set_state(state["generator"])
        self.taken = state["taken"]


def test_a_run_takes_its_steps_and_validates(tmp_path):
    toy = Toy()
    outcome = train(
        toy,
        Budget(steps=200),
        folder=tmp_path / "run",
        validate=lambda network: {"bias": network.bias.item()},
        validations=4,
    )
    assert (toy.taken, outcome.steps) == (200, 200)
    assert outcome.scores == {"bias": toy.network.bias.item()}
    log = read_log(tmp_path / "run")
    assert [line["step"] for line in log if "bias" in line] == [50, 100, 150, 200]
    assert log[-2]["step"] == 200


def test_validation_that_takes_long_is_made_seldom_but_always_at_the_end(tmp_path, monkeypatch):
    seconds = 0.0

    class Slow(Toy):
        def step(self, progress):
            nonlocal seconds
            seconds += 1
            return super().step(progress)

    def validate(network):
        nonlocal seconds
        seconds += 20
        return {"bias": network.bias.item()}

    monkeypatch.setattr(loop, "_clock", lambda _: lambda: seconds)
    train(Slow(), Budget(steps=200), folder=tmp_path, validate=validate, validations=10)
    validated = [line["step"] for line in read_log(tmp_path) if "bias" in line]
    assert validated == [20, 80, 160, 200]


def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path):
    whole = Toy()
    train(whole, Budget(steps=100), folder=tmp_path / "whole", save_every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(Toy(die_at=37), Budget(steps=100), folder=tmp_path / "cut", save_every_seconds=0)
    again = Toy()
    train(again, Budget(steps=100), folder=tmp_path / "cut", save_every_seconds=0)
    assert torch.equal(whole.network.bias, again.network.bias)
    logs = [
        [{k: v for k, v in line.items() if k != "minutes"} for line in read_log(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


def test_steps_after_the_last_save_are_taken_again_and_logged_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Toy(die_at=37), Budget(steps=100), folder=tmp_path, save_every_seconds=1e9)
    train(Toy(), Budget(steps=100), folder=tmp_path)
    steps = [line["step"] for line in read_log(tmp_path)]
    assert steps == sorted(set(steps))


def test_a_finished_run_is_not_run_again_and_says_so(tmp_path, capsys):
    train(Toy(), Budget(steps=10), folder=tmp_path / "run")
    assert "nothing is left" not in capsys.readouterr().err
    again = Toy(die_at=10)
    assert train(again, Budget(steps=10), folder=tmp_path / "run").steps == 10
    assert "run: nothing is left of its budget; give more" in capsys.readouterr().err


def test_a_larger_budget_continues_and_counts_anew(tmp_path):
    def validate(network):
        return {"bias": network.bias.item()}

    train(Toy(), Budget(steps=100), folder=tmp_path, validate=validate, validations=2)
    again = Toy()
    outcome = train(again, Budget(steps=200), folder=tmp_path, validate=validate, validations=4)
    assert (again.taken, outcome.steps) == (200, 200)
    log = read_log(tmp_path)
    assert [line["step"] for line in log if "bias" in line] == [50, 100, 150, 200]
    later = [line["step"] for line in log if "loss" in line and line["step"] > 100]
    assert (later[-1], later) == (200, sorted(set(later)))
    assert 45 <= len(later) <= 50


def test_the_first_save_does_not_wait(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(
            Toy(die_at=3),
            Budget(steps=10),
            folder=tmp_path,
            first_save_seconds=0,
            save_every_seconds=1e9,
        )
    assert torch.load(tmp_path / "state.pt", weights_only=True)["loop"]["step"] == 1


def test_progress_is_lines_where_there_is_no_terminal(tmp_path, capsys, monkeypatch):
    train(Toy(), Budget(steps=40), folder=tmp_path / "quick")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(loop, "CROWDED_SECONDS", -1.0)
    train(Toy(), Budget(steps=40), folder=tmp_path / "toy")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"toy {k} %" for k in range(10, 101, 10)]
    assert lines[0].startswith("toy 10 %: step 4 minutes ")
    assert " loss " in lines[0]


def test_a_budget_is_divided():
    assert Budget(minutes=8).divided(4) == Budget(minutes=2)
    assert Budget(steps=7).divided(4) == Budget(steps=1)


def test_minutes_end_a_run(tmp_path):
    assert train(Toy(), Budget(minutes=0.001), folder=tmp_path).minutes >= 0.001


def test_divergence_is_named_and_the_last_state_kept(tmp_path):
    with pytest.raises(DivergedError, match="loss not finite at step 4"):
        train(Toy(bad_at=5), Budget(steps=10), folder=tmp_path, save_every_seconds=0)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["loop"]["step"] == 4


def test_a_damaged_state_is_named(tmp_path):
    train(Toy(), Budget(steps=10), folder=tmp_path)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptCheckpointError, match="delete it"):
        train(Toy(), Budget(steps=20), folder=tmp_path)


@pytest.mark.parametrize("kind", ["cut", "flipped", "garbage", "text", "step", "learner", "fifo"])
def test_a_state_that_cannot_be_continued_says_what_to_do(tmp_path, kind):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    path = tmp_path / "state.pt"
    content, state = bytearray(path.read_bytes()), torch.load(path, weights_only=True)
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif kind == "garbage":
        path.write_bytes(b"garbage")
    elif kind == "fifo":
        path.unlink()
        os.mkfifo(path)
    else:
        broken = {
            "text": "x",
            "step": {**state, "loop": {**state["loop"], "step": "x"}},
            "learner": {**state, "learner": dict.fromkeys(state["learner"], 1)},
        }
        torch.save(broken[kind], path)
    with pytest.raises(CorruptCheckpointError, match="delete it to start afresh"):
        train(Toy(), Budget(steps=5), folder=tmp_path)


def test_a_log_that_is_gone_begins_anew(tmp_path):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    (tmp_path / "log.jsonl").unlink()
    train(Toy(), Budget(steps=8), folder=tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [5, 6, 7, 8]


def test_a_log_that_was_cut_is_continued_without_a_gap_in_its_bytes(tmp_path):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    log = tmp_path / "log.jsonl"
    first = log.read_bytes().splitlines(keepends=True)[0]
    log.write_bytes(first)
    train(Toy(), Budget(steps=5), folder=tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 5]


def test_half_a_line_of_a_short_log_is_left_out(tmp_path):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    log = tmp_path / "log.jsonl"
    first = log.read_bytes().splitlines(keepends=True)[0]
    log.write_bytes(first + b'{"step":')
    train(Toy(), Budget(steps=5), folder=tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 5]


@pytest.mark.parametrize("line", [b"{]", b"[]", b'{"step": "x"}', b'{"step": NaN}', b"\xff"])
def test_a_damaged_log_is_named_before_any_step(tmp_path, line):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    log = tmp_path / "log.jsonl"
    content = log.read_bytes()
    log.write_bytes(line.ljust(20)[:20] + b"\n" + content[21:])
    toy = Toy()
    with pytest.raises(InvalidRecordError, match=r"log\.jsonl: damaged.*delete it"):
        train(toy, Budget(steps=5), folder=tmp_path)
    assert toy.taken == 4  # the state's, and no more


def test_a_full_disk_while_the_state_is_saved_is_named(tmp_path):
    train(Toy(), Budget(steps=4), folder=tmp_path)
    before = (tmp_path / "state.pt").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(StorageError, match=r"state\.pt: cannot be written"):
            train(Toy(), Budget(steps=5), folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_log_on_a_full_disk_is_named(tmp_path):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"log\.jsonl: cannot be written"):
        append_line(tmp_path, {"step": 1})


def test_a_line_is_printed_though_no_tenth_was_completed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, "SILENT_SECONDS", -1.0)
    train(Toy(), Budget(steps=100), folder=tmp_path / "run")
    assert capsys.readouterr().err.count(" %: step") > 90
