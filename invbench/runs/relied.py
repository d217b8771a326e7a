"""What readers of records rely on in parts that may say anything more. No torch here.

Identities and environments are plain JSON, to which facts may be added freely; these classes state
of which type the facts are that the gate and reports look up, so that others are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  readers ask for the types of fields
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DatasetIdentity:
    """What readers rely on in the data set of an identity, which says more."""

    name: str = ""
    image_ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SamplingIdentity:
    """What readers rely on in the sampling of an identity, which says more."""

    n_samples: int = 1
    nfe: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """What readers rely on in the model of an identity, which says more."""

    name: str
    checkpoint: Mapping[str, Any] | None = None
    source_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """What readers rely on in the task of an identity, which says more."""

    name: str
    dataset: DatasetIdentity | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What readers rely on in the identity of a case, which says more."""

    model: ModelIdentity
    task: TaskIdentity
    sampling: SamplingIdentity | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What readers rely on in an environment, which says more."""

    cpu: Mapping[str, Any] | None = None
    gpu: Mapping[str, Any] | None = None
    git: Mapping[str, Any] | None = None
    libjpeg: Mapping[str, Any] | None = None
    packages: Mapping[str, str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a baseline holds of the run that a case is from."""

    profile: str
    environment: Environment
    run_id: str = ""
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class IntervalScores:
    """What readers rely on in the scores of intervals."""

    scores: Mapping[str, IntervalScore]


@dataclass(frozen=True, kw_only=True)
class IntervalScore:
    """A score and its confidence interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
