"""Cases that other machines measure: what a worker is asked, what it answers, and the waiting."""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invbench import errors
from invbench.evaluation import Evaluation, Subject, evaluate
from invbench.executors import LOCAL, Item, check_executor, start_executor
from invbench.machine import describe_environment, device_key
from invbench.runs import ExecutionRecord
from invbench.runs.plain_json import differences
from invbench.suite.resolve import Suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from invbench.executors import Executor
    from invbench.models import Case
    from invbench.suite.options import Options

SHARED_MACHINE = "on a CPU: workers that share a machine slow each other"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is asked to do.

    Attributes:
        case: to be measured.
        options: the run's.
        folder: that the run was started in; relative paths begin there.
        search_path: where modules of the user's own are found.
        stored: identity of a record that an earlier session stored; nothing is measured if it is
            still that of the case.
    """

    case: Case
    options: Options
    folder: Path
    search_path: tuple[str, ...]
    stored: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error, in words: not all errors can be sent."""

    name: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Write an error down."""
        return cls(
            name=type(error).__name__,
            message=str(error),
            trace="".join(traceback.format_exception(error)),
        )

    def error(self) -> errors.InvbenchError:
        """Return the error, if it is one of ours; else one that tells of it."""
        kind = getattr(errors, self.name, None)
        if isinstance(kind, type) and issubclass(kind, errors.InvbenchError):
            return kind(self.message)
        return errors.RemoteError(f"{self.name}: {self.message}\n{self.trace}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker found.

    Attributes:
        environment: of its machine.
        node: name of its machine.
        environment_key: see `machine.device_key`.
        evaluation: the case's record, and the scores behind it. The record says so if an error
            ended the measuring; there is none if the sampler could not even be built, or the
            stored record is to be kept.
        failure: the error that ended the work.
    """

    environment: Mapping[str, Any]
    node: str
    environment_key: str
    evaluation: Evaluation | None = None
    failure: Failure | None = None


def measure_case(order: Order) -> Answer:
    """Measure a case on this machine; workers call it."""
    sys.path.extend(path for path in order.search_path if path not in sys.path)
    with suppress(OSError):  # where there is no such folder nothing can be relative to it
        os.chdir(order.folder)
    suite = Suite(replace(order.options, executor=LOCAL, executor_setting=[]))
    found = _measured(suite, order)
    return replace(found, environment_key=device_key(suite.device, suite.options.dtype))


def _measured(suite: Suite, order: Order) -> Answer:
    answer = Answer(
        environment=describe_environment(suite.device), node=platform.node(), environment_key=""
    )
    try:
        experiment = suite.experiment(order.case, suite.subject(order.case))
    except Exception as error:  # noqa: BLE001  it is raised where the run is
        return replace(answer, failure=Failure.of(error))
    identity = experiment.identity()
    kept = order.stored is not None and not differences(order.stored, identity)
    if kept and experiment.subject.identified:
        return answer
    try:
        evaluation = evaluate(experiment)
    except Exception as error:  # noqa: BLE001  likewise
        ended = Evaluation(experiment.error_record(error), {})
        return replace(answer, evaluation=ended, failure=Failure.of(error))
    if suite.device.type == "cpu":
        unmeasured = {**evaluation.record.not_measured, "throughput": SHARED_MACHINE}
        record = replace(evaluation.record, throughput=None, not_measured=unmeasured)
        evaluation = replace(evaluation, record=record)
    return replace(answer, evaluation=evaluation)


@dataclass(frozen=True)
class Remote:
    """The cases of a run that an executor's workers measure.

    Attributes:
        options: of the run.
        folder: the run's.
        executors: the one that was started; none before the work begins.
        items: by case id.
        answers: by case id, of those that were waited for.
    """

    options: Options
    folder: Path
    executors: list[Executor] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)

    def send(self, cases: Sequence[Case], stored: Mapping[str, Mapping[str, Any]]) -> None:
        """Have all cases measured; none is waited for.

        Args:
            cases: to be measured.
            stored: case id -> identity of a record that may be kept.
        """
        settings = read_settings(self.options.executor_setting)
        executor = start_executor(self.options.executor, self.folder / "jobs", settings)
        self.executors.append(executor)
        gpu = {"auto": None, "cpu": False}.get(self.options.device, True)
        for case in cases:
            order = Order(
                case=case,
                options=self.options,
                folder=Path.cwd(),
                search_path=tuple(sys.path),
                stored=stored.get(case.id),
            )
            self.items[case.id] = Item(
                lambda order=order: executor.submit(measure_case, order, gpu=gpu)  # type: ignore[misc]
            )

    def answer(self, case: Case) -> Answer:
        """Wait for a case.

        Raises:
            LostWorkerError: if all workers that were given it died.
            RemoteError: if a worker could not even begin.
        """
        if case.id not in self.answers:
            self.answers[case.id] = self.items[case.id].result()
        return self.answers[case.id]

    def subject(self, case: Case) -> Subject:
        """Wait for a case, and return a stand-in for the sampler that was measured.

        Raises:
            InvbenchError: what kept the sampler from being built, under its own name.
            LostWorkerError, RemoteError: see `answer`.
        """
        answer = self.answer(case)
        if answer.failure is not None and answer.evaluation is None:
            raise answer.failure.error()
        return Subject(_elsewhere)

    def execution(self, case: Case) -> ExecutionRecord:
        """Return who measured a case, and who died trying."""
        answer = self.answers.get(case.id)
        item = self.items.get(case.id)
        return ExecutionRecord(
            executor=self.options.executor,
            node=None if answer is None else answer.node,
            environment_key=None if answer is None else answer.environment_key,
            lost_workers=tuple(item.lost) if item else (),
        )

    def close(self) -> None:
        """End what is still going on."""
        for executor in self.executors:
            executor.close()


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE``, with values as in JSON where they are that, else as text.

    Raises:
        InvalidOptionError: if there is no key, or no value.

    Example:
        >>> read_settings(["num_cpus=4", "slurm_partition=gpu"])
        {'num_cpus': 4, 'slurm_partition': 'gpu'}
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise errors.InvalidOptionError(f"--executor-setting {text}: expected KEY=VALUE")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def check_remote(options: Options) -> None:
    """Refuse an executor that cannot be used, or a GPU that only this machine can have.

    Raises:
        InvalidOptionError, MissingPackageError: saying so.
    """
    check_executor(options.executor, read_settings(options.executor_setting))
    if options.executor != LOCAL and options.device not in ("auto", "cpu", "cuda"):
        raise errors.InvalidOptionError(
            f"--device {options.device}: with --executor {options.executor} each item gets a GPU "
            "that the executor chooses; give auto, cpu or cuda"
        )


def _elsewhere(observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:  # noqa: ARG001
    """Stand for a sampler that another machine has called."""
    raise errors.RemoteError("the case was measured by a worker; there is no sampler here")
