"""Score samples that lie on disk as image files.

Samples, observations and targets are paired by image id. What is wrong with a file is named and
costs that file alone; everything else is still scored.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from invbench.errors import (
    EmptyFolderError,
    InvbenchError,
    MissingDataError,
    UnreadableImageError,
)
from invbench.evaluation.scoring import ImageScores, score_image
from invbench.files import atomic_write
from invbench.images import from_uint8, read_image
from invbench.models import SampleFiles, find_image, find_models, find_samples
from invbench.operators import PillowBicubic
from invbench.runs import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from invbench.metrics import Metric
    from invbench.operators import Operator
    from invbench.problems import Task
    from invbench.uncertainty import Rule

SCHEMA = "invbench.scores/1"


@dataclass(frozen=True)
class Flaw:
    """Something on disk that could not be scored as it lies."""

    where: str
    error: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What samples on disk are compared with, and how.

    Attributes:
        task: the samples are reobserved by its operator.
        observations: folder of ``<image id>.png``, which the samplers were given.
        metrics: compare reobservations with observations.
        targets: folder of ``<image id>.png``; without it there is no coverage.
        rule: how the interval's quantiles are estimated.
    """

    task: Task
    observations: Path
    metrics: Sequence[Metric]
    targets: Path | None = None
    rule: Rule = "linear"


@dataclass(frozen=True, eq=False)
class DiskScores:
    """Scores of all models in a folder.

    Attributes:
        task: task id.
        results: model -> image id -> metric -> list over samples in order of file names;
            beside the metrics "files", "interval_width", "operator" and, with targets, "coverage".
        flaws: what was left out, or scored with a remark; "problems" in the JSON.
    """

    task: str
    results: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)

    def means(self) -> dict[str, dict[str, float | None]]:
        """Return for each model the mean over images of the mean over samples."""
        return {model: _means(images.values()) for model, images in self.results.items()}

    def write(self, path: Path) -> None:
        """Write everything as JSON.

        Raises:
            StorageError: if it cannot be written.
        """
        content = {
            "schema": SCHEMA,
            "task": self.task,
            "results": self.results,
            "means": self.means(),
            "problems": [asdict(flaw) for flaw in self.flaws],
        }
        with atomic_write(path) as stream:
            stream.write(f"{json.dumps(finite(content), indent=1)}\n".encode())


def score_folder(folder: Path, question: Question) -> DiskScores:
    """Score ``<folder>/<model>/<image id>/*.png`` against ``<observations>/<image id>.png``.

    What is wrong with one file is reported and costs that file alone; `images.read_image` says
    which files can be read. Images whose number of samples differs from the others' are scored with
    what they have. For super-resolution the factor is the ratio of the sizes.

    Raises:
        EmptyFolderError: if a folder is missing, or holds no samples at all.
    """
    for needed in (question.observations, question.targets):
        if needed is not None and not needed.is_dir():
            raise EmptyFolderError(f"{needed}: no such folder")
    scores = DiskScores(question.task.name)
    for model in find_models(folder):
        try:
            found = find_samples(folder / model)
        except EmptyFolderError as error:
            scores.flaws.append(_flaw(model, error))
            continue
        images = scores.results.setdefault(model, {})
        for files in found:
            where = f"{model}/{files.image_id}"
            try:
                samples, names = _read_samples(files, scores.flaws, where)
                images[files.image_id] = _score(samples, names, files.image_id, question)
            except InvbenchError as error:
                scores.flaws.append(_flaw(where, error))
        scores.flaws.extend(_remarks(model, images, question.observations))
    return scores


def _read_samples(files: SampleFiles, flaws: list[Flaw], where: str) -> tuple[Tensor, list[str]]:
    """Read the samples of the size that most have; report every other file."""
    read: dict[str, Tensor] = {}
    for path in files.paths:
        try:
            read[path.name] = read_image(path)
        except UnreadableImageError as error:
            flaws.append(_flaw(f"{where}/{path.name}", error))
    if not read:
        raise UnreadableImageError(f"{where}: no sample can be read")
    usual = Counter(image.shape for image in read.values()).most_common(1)[0][0]
    for name, image in read.items():
        if image.shape != usual:
            message = f"{_size(image.shape)} pixels where the other samples have {_size(usual)}"
            flaws.append(_flaw(f"{where}/{name}", UnreadableImageError(message)))
    kept = [name for name, image in read.items() if image.shape == usual]
    return torch.stack([read[name] for name in kept]), kept


def _score(samples: Tensor, names: list[str], image_id: str, question: Question) -> dict[str, Any]:
    """Score one image's samples with its observation and target."""
    channels = question.task.operator.observation_shape(*samples.shape[-2:])[0]
    observation = _partner(question.observations, image_id, channels)
    target = None
    if question.targets is not None:
        target = _partner(question.targets, image_id, 3)
        if target.shape != samples.shape[1:]:
            raise UnreadableImageError(
                f"target {_size(target.shape)}, samples {_size(samples.shape)}: sizes must agree"
            )
    operator = _operator(question.task, samples, observation)
    found = score_image(
        from_uint8(samples),
        from_uint8(observation),
        operator=operator,
        metrics=question.metrics,
        target=None if target is None else from_uint8(target),
        rule=question.rule,
    )
    facts = {"name": operator.name, **operator.identity()["params"]}
    return {"files": names, "operator": facts} | _plain(found)


def _partner(folder: Path, image_id: str, channels: int) -> Tensor:
    path = find_image(folder, image_id)
    if path is None:
        raise MissingDataError(f"no {image_id}.png in {folder.name}")
    return read_image(path, channels=channels)


def _operator(task: Task, samples: Tensor, observation: Tensor) -> Operator:
    """Return the task's operator; for super-resolution with the factor that the sizes show."""
    if not isinstance(task.operator, PillowBicubic):
        return task.operator
    (height, width), (small_height, small_width) = samples.shape[-2:], observation.shape[-2:]
    factor = height // small_height
    if (height, width) != (factor * small_height, factor * small_width) or factor < 2:
        raise UnreadableImageError(
            f"samples {_size(samples.shape)} are no multiple of the observation's "
            f"{_size(observation.shape)}"
        )
    return PillowBicubic(factor=factor)


def _plain(found: ImageScores) -> dict[str, Any]:
    plain: dict[str, Any] = {name: scores.tolist() for name, scores in found.validity.items()}
    others = {"interval_width": found.width, "coverage": found.coverage}
    return plain | {name: value for name, value in others.items() if value is not None}


def _remarks(model: str, images: Mapping[str, Any], observations: Path) -> list[Flaw]:
    """Report images that have fewer or more samples than most, and observations without any."""
    if not images:
        return []
    counts = {image_id: len(scores["files"]) for image_id, scores in images.items()}
    usual = Counter(counts.values()).most_common(1)[0][0]
    remarks = [
        _flaw(
            f"{model}/{image_id}",
            MissingDataError(f"{count} samples where most images have {usual}; scored with those"),
        )
        for image_id, count in counts.items()
        if count != usual
    ]
    stems = {path.stem for path in observations.iterdir() if path.is_file()}
    return remarks + [
        _flaw(f"{model}/{stem}", MissingDataError("an observation without samples"))
        for stem in sorted(stems - set(images))
    ]


def _means(images: Any) -> dict[str, float | None]:
    values: dict[str, list[float]] = {}
    for scores in images:
        for name, value in scores.items():
            if name not in {"files", "operator"}:
                values.setdefault(name, []).append(float(np.mean(value)))
    return {name: float(np.mean(column)) for name, column in values.items()}


def _flaw(where: str, error: InvbenchError) -> Flaw:
    return Flaw(where, type(error).__name__, str(error))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1]}x{shape[-2]}"
