"""A run of the suite: data, metrics, samplers and limits, and the folder the records go to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from invbench.cases import CASES, Case
from invbench.data.folder import folder_photos
from invbench.data.photos import photos as embedded_photos
from invbench.environment import describe_environment, forbid_tf32, resolve_device
from invbench.errors import MissingDataError, UnknownNameError
from invbench.evaluate import Measure, evaluate
from invbench.limits import apply_limits, read_limits
from invbench.metrics import load_lpips, validity_metrics
from invbench.models.checkpoints import load_checkpoint
from invbench.models.registry import MODELS, get_method, load_factory
from invbench.profiles import get_profile
from invbench.records import CaseRecord
from invbench.rounds import Settings
from invbench.tasks import TASKS
from invbench.timing import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from invbench.data import Photo
    from invbench.metrics import Metric
    from invbench.metrics.weights import Net
    from invbench.models import Sampler
    from invbench.options import Options
    from invbench.profiles import Profile
    from invbench.store import RunStore


@dataclass(frozen=True)
class Suite:
    """Everything that the cases of one run share, made when first asked for.

    Attributes:
        options: what the user chose.
        root: the folder that holds ``fixtures/``.
        store: where records go.
    """

    options: Options
    root: Path
    store: RunStore

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
        return resolve_device(self.options.device)

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
        evaluation = evaluate(
            case,
            sampler,
            photos,
            settings=settings,
            metrics=self.metrics,
            model=facts,
            dataset=dataset,
            measure_rounds=measure_rounds,
        )
        record = evaluation.record
        if self._has_limits(dataset):
            limits = self.root / "fixtures" / "thresholds.toml"
            record = apply_limits(
                record, read_limits(limits), profile=self.profile.name, source=limits.name
            )
        self.store.write_case(record, evaluation.scores)
        return record

    def skip(self, case: Case, reason: str) -> None:
        """Record that a case was skipped, and why."""
        identity = {"model": {"name": case.model}, "task": {"name": case.task}}
        self.store.write_case(
            CaseRecord(case_id=case.id, identity=identity, status="skipped", reason=reason)
        )

    def describe(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return what ``run.json`` says."""
        from invbench import __version__

        return {
            "run_id": self.store.folder.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "invbench": __version__,
            "argv": list(argv),
            "profile": self.profile.name,
            "environment": describe_environment(self.device),
            "expected_cases": [case.id for case in self.cases],
        }

    def _has_limits(self, dataset: str) -> bool:
        """Limits hold for the profile's own images and numbers only."""
        own = get_profile(self.options.profile)
        same = (self.profile.n_images, self.profile.n_samples) == (own.n_images, own.n_samples)
        return same and dataset == "scikit-image" and self.options.seed == 0


def default_results(root: Path) -> Path:
    """Return a fresh folder's path for a run's records, named by the time."""
    return root / "results" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
