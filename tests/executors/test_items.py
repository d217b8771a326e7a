"""An item outlives its workers, as long as it may."""

from __future__ import annotations

import pytest

from invbench.errors import (
    InvalidOptionError,
    LostWorkerError,
    MissingPackageError,
    RemoteError,
    UnknownNameError,
)
from invbench.executors import ATTEMPTS, PACKAGES, Item, check_executor
from invbench.suite import Options
from invbench.suite.remote import Failure, check_remote, read_settings


class Scripted:
    """A ticket for each outcome in turn: an error to raise, or what to return."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.started = 0

    def start(self):
        self.started += 1
        return self

    def result(self):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_another_worker_takes_over_and_the_lost_ones_are_noted():
    workers = Scripted(LostWorkerError("node a"), LostWorkerError("node b"), 7)
    item = Item(workers.start)
    assert item.result() == 7
    assert item.lost == ["node a", "node b"]
    assert workers.started == 3


def test_workers_are_not_thrown_after_one_another_for_ever():
    workers = Scripted(*[LostWorkerError(f"node {n}") for n in range(10)])
    item = Item(workers.start)
    with pytest.raises(LostWorkerError, match=f"{ATTEMPTS} workers died.*node 2"):
        item.result()
    assert workers.started == len(item.lost) == ATTEMPTS


def test_an_error_of_the_work_is_not_tried_again():
    workers = Scripted(RemoteError("no module"), 7)
    with pytest.raises(RemoteError, match="no module"):
        Item(workers.start).result()
    assert workers.started == 1


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setattr("invbench.executors.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'invbench\[{name}\]'"):
        check_executor(name, {})


def test_settings_without_an_executor_are_refused():
    with pytest.raises(InvalidOptionError, match="give --executor"):
        check_executor("local", {"num_cpus": 1})


@pytest.mark.parametrize("text", ["num_cpus", "=4"])
def test_a_setting_has_a_key_and_a_value(text):
    with pytest.raises(InvalidOptionError, match="KEY=VALUE"):
        read_settings([text])


def test_one_card_of_this_machine_is_no_resource_of_another(monkeypatch):
    monkeypatch.setattr("invbench.executors.find_spec", lambda _: True)
    with pytest.raises(InvalidOptionError, match="chooses"):
        check_remote(Options(executor="ray", device="cuda:1"))
    check_remote(Options(executor="ray", device="cuda"))


def test_errors_keep_their_names_where_they_have_one():
    ours = Failure.of(UnknownNameError("unknown model")).error()
    assert type(ours) is UnknownNameError
    assert str(ours) == "unknown model"
    theirs = Failure.of(ZeroDivisionError("by zero")).error()
    assert type(theirs) is RemoteError
    assert str(theirs).startswith("ZeroDivisionError: by zero")
