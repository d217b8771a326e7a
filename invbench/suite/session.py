"""A run of the suite: data, metrics, samplers and limits, and the folder the records go to."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from invbench.data.folder import folder_photos
from invbench.data.photos import photos as embedded_photos
from invbench.errors import (
    InvalidOptionError,
    InvalidRecordError,
    MissingDataError,
    ResumeWarning,
    UnknownNameError,
)
from invbench.evaluation import Measure, Settings, evaluate, identify
from invbench.gate import apply_limits, read_limits
from invbench.machine import describe_environment, forbid_tf32, measure, resolve_device
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import CASES, MODELS, Case, get_method, load_checkpoint, load_factory
from invbench.problems import TASKS, get_profile
from invbench.runs import CaseRecord, RunRecord, conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from invbench.data import Photo
    from invbench.metrics import Metric
    from invbench.metrics.weights import Net
    from invbench.models import Sampler
    from invbench.problems import Profile
    from invbench.runs import RunStore
    from invbench.suite.options import Options


@dataclass(frozen=True)
class Suite:
    """Everything that the cases of one run share, made when first asked for.

    Attributes:
        options: what the user chose.
        root: the folder that holds ``fixtures/``.
        store: where records go.
        worker: number of this process among parallel ones, which share the machine and so do not
            measure speed; None for a process on its own.
    """

    options: Options
    root: Path
    store: RunStore
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
        """The device, with TF32 forbidden."""
        forbid_tf32()
        return resolve_device(self.options.device, worker=self.worker or 0)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of validity. Embedded profiles never download weights."""
        options = self.options
        lpips = load_lpips(
            net=cast("Net", options.lpips_net),
            weights=options.lpips_weights,
            offline=options.offline or self.profile.embedded,
            device=self.device,
        )
        return validity_metrics(lpips)

    @cached_property
    def factories(self) -> dict[str, Callable[..., Sampler]]:
        """The user's own samplers by name."""
        pairs = [entry.partition("=") for entry in self.options.sampler]
        for name, equals, path in pairs:
            if not (name and equals and path) or name in MODELS:
                raise UnknownNameError(
                    f"--sampler {name}{equals}{path}: expected NAME=package.module:factory "
                    "with a name of your own"
                )
        return {name: load_factory(path) for name, _, path in pairs}

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The 24 cases, and the user's samplers on every task."""
        return CASES + tuple(Case(name, task) for name in self.factories for task in TASKS)

    @cached_property
    def _photos(self) -> dict[str, tuple[str, list[Photo]]]:
        return {}

    def photos(self, task: str) -> tuple[str, list[Photo]]:
        """Return the data set's name and its targets for a task."""
        if task not in self._photos:
            profile, data = self.profile, self.options.data
            size = profile.sizes[task]
            if data is not None:
                folder = data / task if (data / task).is_dir() else data
                found = folder.name, folder_photos(folder, size, self.options.images)
            elif profile.embedded:
                found = "scikit-image", embedded_photos(size, profile.n_images)
            else:
                raise MissingDataError(
                    f"profile {profile.name} has no data of its own; give --data"
                )
            self._photos[task] = found
        return self._photos[task]

    def sampler(self, case: Case) -> tuple[Sampler, dict[str, Any]]:
        """Build a case's sampler, and say what it is.

        Raises:
            MissingCheckpointError: if there are no weights for it.
            CorruptCheckpointError, ForeignCheckpointError: see `models.checkpoints`.
        """
        if case.model in self.factories:
            sources = dict(entry.split("=", 1) for entry in self.options.sampler)
            sampler = self.factories[case.model](task=case.task, device=self.device)
            return sampler, {"source": sources[case.model]}
        method = get_method(case.model)
        configuration = self.profile.configuration
        folder = self.options.checkpoints or self.root / "fixtures" / "checkpoints"
        path = folder / f"{method.stem(case.task, configuration)}.safetensors"
        sampler, checkpoint = load_checkpoint(
            path,
            method=method,
            task=case.task,
            configuration=configuration,
            device=self.device,
        )
        facts = {
            "family": method.family,
            "source": method.source,
            "configuration": configuration,
            "stochastic": method.stochastic(method.configure(case.task, configuration)),
            "checkpoint": {
                "file": path.name,
                "sha256": checkpoint.sha256,
                "bytes": checkpoint.bytes,
            },
        }
        return sampler, facts

    def requires(self, case: Case) -> bool:
        """Tell whether missing weights of a case are a failure."""
        names = {name.strip() for name in self.options.require.split(",")}
        return bool(names & {"all", case.model, case.id})

    def run(
        self,
        case: Case,
        sampler: Sampler,
        facts: dict[str, Any],
        *,
        measure_rounds: Measure = measure,
    ) -> CaseRecord:
        """Evaluate a case, hold it against its limits and store the record.

        A resumed run takes a record that an earlier session stored, if it is whole and measured
        the same; its limits are checked anew and its speed stays that of its own device.

        Raises:
            InvalidSamplesError: if the sampler breaks the convention; the record says so.
            StorageError: if the record cannot be written.
        """
        dataset, photos = self.photos(case.task)
        settings = Settings(
            n_samples=self.profile.n_samples,
            chunk_size=self.profile.chunk_size,
            seed=self.options.seed,
            device=self.device,
            dtype=self.options.dtype,
        )
        subject: dict[str, Any] = {
            "settings": settings,
            "metrics": self.metrics,
            "model": facts,
            "dataset": dataset,
        }
        identity = identify(case, sampler, photos, **subject)
        stored = self._stored(case, identity)
        if stored is not None:
            record = self._check(replace(stored, status="passed", reason=None, checks=()), dataset)
            if record != stored:
                self.store.write_case(record)
            self.reused.append(case.id)
            return record
        try:
            evaluation = evaluate(case, sampler, photos, measure_rounds=measure_rounds, **subject)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.store.write_case(
                CaseRecord(case_id=case.id, identity=identity, status="error", reason=reason)
            )
            raise
        record = self._check(evaluation.record, dataset)
        if self.worker is not None:
            reason = "pytest-xdist: processes that share a machine slow each other"
            record = replace(record, throughput=None, not_measured={"throughput": reason})
        self.store.write_case(record, evaluation.scores)
        return record

    @cached_property
    def reused(self) -> list[str]:
        """Ids of the cases whose record an earlier session had stored."""
        return []

    def skip(self, case: Case, reason: str) -> None:
        """Record that a case was skipped, and why; what an earlier session measured stays."""
        if self.options.resume and (before := self._readable(case)) and before.validity:
            return
        identity = {"model": {"name": case.model}, "task": {"name": case.task}}
        self.store.write_case(
            CaseRecord(case_id=case.id, identity=identity, status="skipped", reason=reason)
        )

    @cached_property
    def shard(self) -> tuple[int, int]:
        """Which part of the cases this run measures, from 0, and of how many."""
        text = self.options.shard or "1/1"
        part, slash, parts = text.partition("/")
        numbers = (part + parts).isdecimal() and part and parts
        if not (slash and numbers and 1 <= int(part) <= int(parts)):
            raise InvalidOptionError(f"--shard {text}: expected i/n with i from 1 to n, as 2/8")
        return int(part) - 1, int(parts)

    def begin(self, argv: Sequence[str], selected: Sequence[str]) -> None:
        """Make the folder ready and write ``run.json``, before anything is measured.

        Args:
            argv: the command.
            selected: ids of the cases that will be measured.

        Raises:
            ExistingRunError: if the folder holds a run and neither resume nor fresh is chosen.
            StorageError: if the folder cannot be written to.
        """
        options = self.options
        if options.resume and options.fresh:
            raise InvalidOptionError("--resume keeps what --fresh deletes; choose one")
        if options.resume and options.results is None:
            raise InvalidOptionError("--resume needs --results, the folder of the run to continue")
        facts = self.describe(argv, selected)
        self.store.begin(resume=options.resume, fresh=options.fresh)
        self.store.write_run(asdict(replace(facts, earlier=self._earlier(asdict(facts)))))

    def describe(self, argv: Sequence[str], selected: Sequence[str]) -> RunRecord:
        """Return what ``run.json`` says."""
        from invbench import __version__

        return RunRecord(
            run_id=self.store.folder.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            invbench=__version__,
            argv=tuple(argv),
            profile=self.profile.name,
            environment=describe_environment(self.device),
            expected_cases=tuple(case.id for case in self.cases),
            selected_cases=tuple(selected),
            shard=f"{self.shard[0] + 1}/{self.shard[1]}" if self.options.shard else None,
        )

    def _earlier(self, facts: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Return the sessions that this one resumes; warn if they ran under other conditions."""
        try:
            before = self.store.read_run()
        except MissingDataError:
            return ()
        except InvalidRecordError as error:
            warnings.warn(f"{error}; written anew", ResumeWarning, stacklevel=2)
            return ()
        if found := conflicts(before, facts):
            changed = f"resumed under other conditions: {', '.join(found)}"
            warnings.warn(changed, ResumeWarning, stacklevel=2)
        session = {name: before.get(name) for name in ("created", "invbench", "argv")}
        return (*before.get("earlier", ()), session | {"environment": before.get("environment")})

    def _readable(self, case: Case) -> CaseRecord | None:
        try:
            return self.store.read_case(case.id)
        except InvalidRecordError:
            return None

    def _stored(self, case: Case, identity: dict[str, Any]) -> CaseRecord | None:
        """Return the record to reuse, if there is one; warn of one that cannot be."""
        if not self.options.resume:
            return None
        try:
            record = self.store.read_whole_case(case.id, identity)
        except InvalidRecordError as error:
            warnings.warn(f"{error}; measured anew", ResumeWarning, stacklevel=2)
            return None
        return record if record and record.validity else None

    def _check(self, record: CaseRecord, dataset: str) -> CaseRecord:
        """Hold a record against its limits, which are of the profile's own images and numbers."""
        own = get_profile(self.options.profile)
        same = (self.profile.n_images, self.profile.n_samples) == (own.n_images, own.n_samples)
        if not (same and dataset == "scikit-image" and self.options.seed == 0):
            return record
        limits = self.root / "fixtures" / "thresholds.toml"
        return apply_limits(
            record, read_limits(limits), profile=self.profile.name, source=limits.name
        )


def default_results(root: Path) -> Path:
    """Return a fresh folder's path for a run's records, named by the time."""
    return root / "results" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
