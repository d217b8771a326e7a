"""From the words of a user to objects: profile, device, metrics, samplers and photographs."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from invbench.errors import (
    InvalidOptionError,
    MissingCheckpointError,
    MissingDataError,
    UnknownNameError,
)
from invbench.escaping import counted
from invbench.evaluation import Experiment, Facts, Settings, Subject, reference_scores
from invbench.executors import LOCAL
from invbench.files import is_folder
from invbench.machine import forbid_tf32, keep_freed_memory, resolve_device
from invbench.models import (
    CASES,
    MODELS,
    REFERENCE,
    Case,
    has_reference,
)
from invbench.problems import get_profile
from invbench.suite.loading import (
    load_metrics,
    read_data_set,
    reference_subject,
    trained_subject,
)
from invbench.suite.own_samplers import OwnSampler, read_samplers
from invbench.suite.own_tasks import read_tasks
from invbench.suite.shard import Shard
from invbench.worlds import SOLVERS, World, get_world, targets_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from invbench.data import DataSet
    from invbench.metrics import Metric
    from invbench.problems import Problem, Profile, Task
    from invbench.suite.options import Options


@dataclass(frozen=True)
class Suite:
    """What the options of a run stand for; each object is made when it is first asked for.

    Attributes:
        options: what the user chose.
        worker: number of this process among parallel ones; None for a process on its own.
    """

    options: Options
    worker: int | None = field(default=None, kw_only=True)

    @cached_property
    def profile(self) -> Profile:
        """The profile, with the user's changes to it."""
        profile = get_profile(self.options.profile)
        for option in ("images", "samples", "chunk_size"):
            number = getattr(self.options, option)
            if number is not None and number < 1:
                name = option.replace("_", "-")
                raise InvalidOptionError(f"--{name} {number}: give at least 1")
        return replace(
            profile,
            n_images=self.options.images or profile.n_images,
            n_samples=self.options.samples or profile.n_samples,
            chunk_size=self.options.chunk_size or profile.chunk_size,
        )

    @cached_property
    def device(self) -> torch.device:
        """The device, with TF32 forbidden; parallel processes spread over several GPUs.

        Where workers do the measuring it is theirs that matters, which this machine may lack.
        """
        forbid_tf32()
        if self.options.freed_memory == "keep":
            keep_freed_memory()
        name = self.options.device if self.options.executor == LOCAL else "cpu"
        return resolve_device(name, worker=self.worker or 0)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of validity. Embedded profiles never download weights."""
        offline = self.options.offline or self.profile.embedded
        return load_metrics(self.options, self.device, offline=offline)

    @cached_property
    def own(self) -> Mapping[str, OwnSampler]:
        """The user's own samplers by name."""
        return read_samplers(self.options.sampler)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the run by name: those that the user chose, or the study's three.

        Raises:
            InvalidOptionError: if a world knows the answer of none of them.
        """
        chosen = read_tasks(self.options.task)
        if self.world is None:
            return chosen
        known = self.world.tasks({name: (task, self._size(task)) for name, task in chosen.items()})
        if not known:
            raise InvalidOptionError(
                f"--world {self.world.name} knows the answer of none of {', '.join(chosen)}; "
                "choose reductions (sr2 to sr16) or colorization, without noise of their own"
            )
        return known

    @cached_property
    def world(self) -> World | None:
        """The world that takes the place of photographs, if one does."""
        if self.options.world and self.options.data:
            raise InvalidOptionError("--world replaces the photographs of --data; choose one")
        return get_world(self.options.world) if self.options.world else None

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The methods on what they were trained for, the reference and own samplers on all tasks.

        In a world its solvers take the place of methods and reference.

        Raises:
            UnknownNameError: if two cases have one id, as ``a-b`` on ``c`` and ``a`` on ``b-c``.
        """
        own = [Case(name, task) for name in self.own for task in self.tasks]
        cases = (*self._cases_of_ours, *own)
        found = Counter(case.id.casefold() for case in cases)  # as some file systems compare
        if twice := sorted({case.id for case in cases if found[case.id.casefold()] > 1}):
            raise UnknownNameError(
                f"{', '.join(twice)} would be the id of two cases; give a sampler or task "
                "another name, different in more than capitals"
            )
        return cases

    @property
    def _cases_of_ours(self) -> list[Case]:
        if self.world:
            return [Case(name, task) for name in SOLVERS for task in self.tasks]
        trained = [case for case in CASES if case.task in self.tasks]
        tasks = [name for name in self.tasks if has_reference(self.problem(name))]
        return trained + [Case(REFERENCE, name) for name in tasks]

    @cached_property
    def shard(self) -> Shard:
        """The part of the selected cases that this run measures; all of them by default."""
        return Shard.parse(self.options.shard) if self.options.shard else Shard()

    @cached_property
    def settings(self) -> Settings:
        """How samples are drawn."""
        return Settings(
            n_samples=self.profile.n_samples,
            chunk_size=self.profile.chunk_size,
            seed=self.options.seed,
            device=self.device,
            dtype=self.options.dtype,
            n_pictures=self.options.pictures,
        )

    def problem(self, task: str) -> Problem:
        """Return a task's problem, at the size of its targets.

        Raises:
            UnknownNameError: if the run has no such task.
        """
        size = self.size(task)
        if self.world:
            return self.world.problem(self.tasks[task], size)
        return self.tasks[task].problem((size, size))

    def size(self, task: str) -> int:
        """Return the side of a task's targets: the profile's, else its own, else the usual one.

        Raises:
            UnknownNameError: if the run has no such task.
        """
        if task not in self.tasks:
            raise UnknownNameError.among("task", task, self.tasks)
        return self._size(self.tasks[task])

    def _size(self, task: Task) -> int:
        return self.profile.sizes.get(task.name) or task.size or self.profile.size

    def data_set(self, task: str) -> DataSet:
        """Return the targets of a task: the user's photographs, or the embedded ones.

        Of the user's there are as many as the profile has images, or fewer.

        Raises:
            MissingDataError: if the profile needs a folder of photographs and none was given, or
                there are fewer images in it than the user asked for.
            EmptyFolderError, UnreadableImageError: see `data.folder.folder_photos`.
        """
        folder, size, count = self.options.data, self.size(task), self.profile.n_images
        if self.world:
            return targets_of(self.world, size, count)
        if folder is None:
            if not self.profile.embedded:
                raise MissingDataError(
                    f"profile {self.profile.name} has no data of its own; give --data"
                )
            return read_data_set(None, size, count)
        own = folder / task
        data = read_data_set(
            own if is_folder(own) else folder, size, count, groups=self.options.groups
        )
        if self.options.images and len(data.photos) < self.options.images:
            raise MissingDataError(
                f"{folder}: {counted(len(data.photos), 'image')}, "
                f"{self.options.images} are asked for"
            )
        return data

    def subject(self, case: Case) -> Subject:
        """Build a case's sampler, and say what it is.

        Raises:
            UnsupportedProblemError: if a sampler of the user's own declines the problem.
            InvalidSamplerError: see `own_samplers.OwnSampler.subject`.
            MissingCheckpointError: if there are no weights for it.
            CorruptCheckpointError, ForeignCheckpointError: see `models.checkpoints`.
        """
        if case.model in self.own:
            return self.own[case.model].subject(
                self.problem(case.task), self.device, dtype=self.options.dtype
            )
        if self.world:
            sampler = SOLVERS[case.model](self.world, self.problem(case.task))
            return Subject(sampler, Facts(source=f"invbench.worlds:SOLVERS[{case.model!r}]"))
        if case.model == REFERENCE:
            return reference_subject(self.problem(case.task))
        options = self.options
        return trained_subject(
            case,
            self.profile.configuration,
            folder=options.checkpoints,
            device=self.device,
            dtype=options.dtype,
        )

    def subjects(self, task: str, models: Sequence[str] | None = None) -> dict[str, Subject]:
        """Build the samplers of a task, by name: of the methods that have weights, and one's own.

        Args:
            task: id.
            models: names; all by default.

        Raises:
            UnknownNameError: if there is no model or sampler of a name.
        """
        known = (*MODELS, *self.own)
        subjects = {}
        for model in known if models is None else models:
            if model not in known:
                raise UnknownNameError.among("model", model, known)
            with suppress(MissingCheckpointError):
                subjects[model] = self.subject(Case(model, task))
        return subjects

    def experiment(self, case: Case, subject: Subject) -> Experiment:
        """Gather all that the numbers of a case depend on."""
        task, data = self.tasks[case.task], self.data_set(case.task)
        return Experiment(
            case=case,
            task=task,
            subject=subject,
            data=data,
            reference=reference_scores(task, data, self.settings),
            settings=self.settings,
            metrics=self.metrics,
            world=self.world,
        )

    @property
    def required(self) -> set[str]:
        """The names that the user requires."""
        return {name for each in self.options.require.split(",") if (name := each.strip())}

    def requires(self, case: Case) -> bool:
        """Tell whether missing weights of a case are a failure."""
        return bool(self.required & {"all", case.model, case.id})
