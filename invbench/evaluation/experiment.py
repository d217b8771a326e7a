"""What one case's numbers depend on, gathered before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import InvalidSamplerError
from invbench.evaluation.noise_fit import NoiseFit
from invbench.runs import CaseRecord
from invbench.seeding import SEED_SCHEME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.data import DataSet
    from invbench.evaluation.skill import ReferenceScores
    from invbench.metrics import Metric
    from invbench.models import Case, Sampler
    from invbench.models.checkpoints import Checkpoint
    from invbench.problems import Problem, Task
    from invbench.uncertainty import Rule
    from invbench.worlds import World

MOST_EVALUATIONS = 2**53  # beyond it not every whole number can be told from the next in JSON
FEWEST_SAMPLES = 2  # of an image: scores ask how samples differ


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a sampler besides its samples; what is not known is None.

    Attributes:
        family: "imle", "gan" or "diffusion".
        source: the paper, or where a sampler of the user's own is imported from.
        source_sha256: digest of a sampler of the user's own, see `suite.fingerprint`.
        configuration: name of the method's configuration.
        stochastic: by what the samples of one observation differ, see `models.Method`.
        checkpoint: the weights.
        network_dtype: what its network computes in, where it is not what was asked for.
    """

    family: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    configuration: str | None = None
    stochastic: str | None = None
    checkpoint: Checkpoint | None = None
    network_dtype: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return the facts that are known, for the record."""
        facts = {
            "family": self.family,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "configuration": self.configuration,
            "stochastic": self.stochastic,
            "checkpoint": self.checkpoint and self.checkpoint.identity(),
            "network_dtype": self.network_dtype,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


@dataclass(frozen=True, eq=False)
class Subject:
    """Who is measured: a sampler, and what is known of it."""

    sampler: Sampler
    facts: Facts = Facts()

    @property
    def nfe(self) -> int | None:
        """Return the network evaluations that one sample takes, where the sampler says so.

        Raises:
            InvalidSamplerError: if what it says is no whole number that JSON can hold.
        """
        said = getattr(self.sampler, "nfe", None)
        try:
            number = None if said is None else index(said)
        except TypeError as error:
            raise InvalidSamplerError(f"nfe is {said!r}; give a whole number, or none") from error
        if number is not None and not 0 <= number < MOST_EVALUATIONS:
            raise InvalidSamplerError("nfe is negative or beyond 2^53; give a whole number")
        return number

    @property
    def stochastic(self) -> bool:
        """Tell whether samples of one observation are meant to differ."""
        return self.facts.stochastic != "none"

    @property
    def identified(self) -> bool:
        """Tell whether the identity would change if the sampler did."""
        return self.facts.checkpoint is not None or self.facts.source_sha256 is not None

    def identity(self) -> dict[str, Any]:
        """Return what identifies the sampler, for the record."""
        return self.facts.identity()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How samples are drawn and summarized.

    Attributes:
        n_samples: K, samples an image.
        chunk_size: samples drawn in one call of the sampler.
        seed: root seed.
        device: where the sampler and its observations are.
        dtype: what networks compute in: "float32" or "bfloat16".
        rule: of the interval's quantiles; `linear` is the study's.
        n_pictures: of how many images, the first, pictures are kept, and of the
            worst; see `pictures.Gallery`.
    """

    n_samples: int
    chunk_size: int
    seed: int = 0
    device: torch.device = torch.device("cpu")
    dtype: str = "float32"
    rule: Rule = "linear"
    n_pictures: int = 0

    def identity(self, *, nfe: int | None) -> dict[str, Any]:
        """Return what samples depend on, for the record.

        Samples must not depend on chunk size and device, so these are left out; the rule is written
        beside the intervals.

        Args:
            nfe: network evaluations a sample, which the sampler settles.
        """
        return {
            "n_samples": self.n_samples,
            "dtype": self.dtype,
            "nfe": nfe,
            "seed": self.seed,
            "seed_scheme": SEED_SCHEME,
            "rng_device": "cpu",
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One case, ready to be measured by `evaluate`.

    Attributes:
        case: model and name of the task.
        task: what the sampler has to solve.
        subject: the sampler, on ``settings.device``.
        data: the targets, all of one size.
        settings: how many samples, and how they are drawn.
        metrics: of reobservations, and of samples against the target.
        reference: the reference sampler's scores on the same images, for the skill.
        world: that the images are draws of, if they are no photographs.
    """

    case: Case
    task: Task
    subject: Subject
    data: DataSet
    settings: Settings
    metrics: Sequence[Metric]
    reference: ReferenceScores | None = None
    world: World | None = None

    @cached_property
    def problem(self) -> Problem:
        """Return the task at the size of the targets."""
        height, width = self.data.photos[0].pixels.shape[-2:]
        return self.task.problem((height, width))

    @cached_property
    def noise_fit(self) -> NoiseFit | None:
        """Return how samples are held against the noise, if there is any."""
        return NoiseFit.of(self.problem)

    @property
    def validity_metrics(self) -> Sequence[Metric]:
        """Return what reobservations are scored by: with noise, how they fit it and nothing else.

        Samples that are more like a noisy observation than the noise allows are no better.
        """
        return self.metrics if self.noise_fit is None else (self.noise_fit.metric(),)

    def error_record(self, error: Exception) -> CaseRecord:
        """Return the record of a case whose measuring was ended by an error."""
        return CaseRecord(
            case_id=self.case.id,
            identity=self.identity(),
            status="error",
            reason=f"{type(error).__name__}: {error}",
        )

    def identity(self) -> dict[str, Any]:
        """Return all that the numbers depend on; records compare only where it agrees."""
        metrics = {m.name: m.identity() for m in (*self.metrics, *self.validity_metrics)}
        return {
            "model": {"name": self.case.model, **self.subject.identity()},
            "task": {**self.task.identity(), "dataset": self.data.identity()},
            "sampling": self.settings.identity(nfe=self.subject.nfe),
            "metrics": metrics,
        }
