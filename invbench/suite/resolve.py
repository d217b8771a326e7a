"""From the words of a user to objects: profile, device, metrics, samplers and photographs."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, cast

from invbench.data import DataSet
from invbench.data.folder import folder_photos
from invbench.data.photos import photos as embedded_photos
from invbench.errors import (
    InvalidOptionError,
    MissingCheckpointError,
    MissingDataError,
    RandomLpipsWarning,
    UnknownNameError,
)
from invbench.evaluation import Experiment, Facts, Settings, Subject, reference_scores
from invbench.machine import forbid_tf32, keep_freed_memory, resolve_device
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import (
    CASES,
    MODELS,
    REFERENCE,
    REFERENCES,
    Case,
    fitted_prior,
    get_method,
    load_checkpoint,
    reference_sampler,
)
from invbench.problems import TASKS, get_profile, get_task
from invbench.suite.own_samplers import OwnSampler

EMBEDDED = "embedded"  # name of the data set that needs no folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from invbench.data.folder import Grouping
    from invbench.metrics import Metric
    from invbench.metrics.weights import Net
    from invbench.problems import Profile
    from invbench.suite.options import Options


@dataclass(frozen=True)
class Shard:
    """One of several parts that a run is split into, given as ``I/N``.

    Attributes:
        part: which one, from 1.
        parts: how many there are.
    """

    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read the option's text.

        Raises:
            InvalidOptionError: if it has another form, or the part is none of the parts.

        Example:
            >>> Shard.parse("2/3").select(["a", "b", "c", "d", "e"])
            ['b', 'e']
        """
        part, _, parts = text.partition("/")
        numbers = part.isdecimal() and parts.isdecimal()
        if not (numbers and 1 <= int(part) <= int(parts)):
            raise InvalidOptionError(f"--shard {text}: expected i/n with i from 1 to n, as 2/8")
        return cls(int(part), int(parts))

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    def select(self, cases: Sequence[str]) -> Sequence[str]:
        """Return this part of the cases; the parts together are all of them, none twice."""
        return cases[self.part - 1 :: self.parts]


@dataclass(frozen=True)
class Suite:
    """What the options of a run stand for; each object is made when it is first asked for.

    Attributes:
        options: what the user chose.
        root: the folder that holds ``fixtures/``.
        worker: number of this process among parallel ones; None for a process on its own.
    """

    options: Options
    root: Path
    worker: int | None = None

    @cached_property
    def profile(self) -> Profile:
        """The profile, with the user's changes to it."""
        profile = get_profile(self.options.profile)
        return replace(
            profile,
            n_images=self.options.images or profile.n_images,
            n_samples=self.options.samples or profile.n_samples,
        )

    @cached_property
    def device(self) -> torch.device:
        """The device, with TF32 forbidden; parallel processes spread over several GPUs."""
        forbid_tf32()
        if self.options.freed_memory == "keep":
            keep_freed_memory()
        return resolve_device(self.options.device, worker=self.worker or 0)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of validity. Embedded profiles never download weights."""
        offline = self.options.offline or self.profile.embedded
        return load_metrics(self.options, self.device, offline=offline)

    @cached_property
    def own(self) -> dict[str, OwnSampler]:
        """The user's own samplers by name."""
        return {own.name: own for own in map(OwnSampler.parse, self.options.sampler)}

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The 24 cases, the reference and the user's samplers on every task."""
        return CASES + REFERENCES + tuple(Case(name, task) for name in self.own for task in TASKS)

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
        )

    def data_set(self, task: str) -> DataSet:
        """Return the targets of a task: the user's photographs, or the embedded ones.

        Of the user's there are as many as the profile has images, or fewer.

        Raises:
            MissingDataError: if the profile needs a folder of photographs and none was given, or
                there are fewer images in it than the user asked for.
            EmptyFolderError, UnreadableImageError: see `data.folder.folder_photos`.
        """
        folder, size, count = self.options.data, self.profile.sizes[task], self.profile.n_images
        if folder is None:
            if not self.profile.embedded:
                raise MissingDataError(
                    f"profile {self.profile.name} has no data of its own; give --data"
                )
            return read_data_set(None, size, count)
        own = folder / task
        data = read_data_set(
            own if own.is_dir() else folder, size, count, groups=self.options.groups
        )
        if self.options.images and len(data.photos) < self.options.images:
            raise MissingDataError(
                f"{folder}: {len(data.photos)} images, {self.options.images} are asked for"
            )
        return data

    def subject(self, case: Case) -> Subject:
        """Build a case's sampler, and say what it is.

        Raises:
            MissingCheckpointError: if there are no weights for it.
            CorruptCheckpointError, ForeignCheckpointError: see `models.checkpoints`.
        """
        if case.model in self.own:
            return self.own[case.model].subject(case.task, self.device)
        if case.model == REFERENCE:
            return reference_subject(case.task, self.profile.sizes[case.task])
        method, configuration = get_method(case.model), self.profile.configuration
        folder = self.options.checkpoints or self.root / "fixtures" / "checkpoints"
        sampler, checkpoint = load_checkpoint(
            folder / f"{method.stem(case.task, configuration)}.safetensors",
            method=method,
            task=case.task,
            configuration=configuration,
            device=self.device,
        )
        facts = Facts(
            family=method.family,
            source=method.source,
            configuration=configuration,
            stochastic=method.stochastic(method.configure(case.task, configuration)),
            checkpoint=checkpoint,
        )
        return Subject(sampler, facts)

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
        data = self.data_set(case.task)
        return Experiment(
            case=case,
            subject=subject,
            data=data,
            reference=reference_scores(get_task(case.task), data, self.settings),
            settings=self.settings,
            metrics=self.metrics,
        )

    def requires(self, case: Case) -> bool:
        """Tell whether missing weights of a case are a failure."""
        names = {name.strip() for name in self.options.require.split(",")}
        return bool(names & {"all", case.model, case.id})


def reference_subject(task: str, size: int) -> Subject:
    """Build the reference sampler of a task, for targets of a size."""
    facts = Facts(
        family="closed form",
        source="Gaussian prior fitted to photographs",
        configuration=f"version {fitted_prior().version}",
        stochastic="noise",
    )
    return Subject(reference_sampler(get_task(task).operator, size, size), facts)


def load_metrics(options: Options, device: torch.device, *, offline: bool) -> tuple[Metric, ...]:
    """Load the metrics of validity, with the trunk of LPIPS that the options name.

    Args:
        options: its `lpips_net` and `lpips_weights` count.
        device: where LPIPS runs.
        offline: whether its weights must not be downloaded.
    """
    net = cast("Net", options.lpips_net)
    lpips = load_lpips(net=net, weights=options.lpips_weights, offline=offline, device=device)
    if lpips.reason:
        random = f"LPIPS is made with random weights, as {lpips.name}: {lpips.reason}"
        warnings.warn(random, RandomLpipsWarning, stacklevel=2)
    return validity_metrics(lpips)


@lru_cache(maxsize=len(TASKS))  # the models of a task share its photographs
def read_data_set(
    folder: Path | None, size: int, count: int | None, *, groups: Grouping = "image"
) -> DataSet:
    """Read photographs as ``size`` x ``size`` targets.

    Args:
        folder: holds the photographs; without one they are the embedded ones.
        size: side of the targets, in pixels.
        count: how many, of a folder's at most; all by default.
        groups: see `data.folder.folder_photos`.
    """
    if folder is None:
        return DataSet(EMBEDDED, embedded_photos(size, count))
    return DataSet(folder.name, folder_photos(folder, size, count, groups=groups))
