"""Score samples that somebody else drew and left on disk, into records like the suite's.

Samples, observations and targets lie as `data.layout` says and are paired by image id. What is
wrong with a file is stated in the record and costs that file alone.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch

from invbench.data import DataSet, digest
from invbench.errors import InvbenchError, UnreadableImageError
from invbench.escaping import counted, plain
from invbench.evaluation.evaluate import Evaluation, assess
from invbench.evaluation.folder_reference import FolderReference
from invbench.evaluation.partners import read_partners
from invbench.evaluation.pictures import Gallery, picture
from invbench.evaluation.scoring import score_image
from invbench.images import from_uint8, read_image
from invbench.models import Case
from invbench.runs import CaseRecord
from invbench.uncertainty import FactorStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from invbench.data.layout import SampleFiles
    from invbench.evaluation.partners import Partners, Question
    from invbench.evaluation.scoring import ImageScores
    from invbench.runs import Picture

NOT_MEASURED = {
    "throughput": "samples were drawn elsewhere",
    "contract": "no sampler was at hand",
}


def score_samples(models: Mapping[str, SampleFiles], question: Question) -> Iterator[Evaluation]:
    """Score what `data.layout.find_samples` has found, one model after the other.

    Images are scored with the samples that they have. Where their numbers differ, intervals are
    made from as many samples of every image as the image with the fewest has. With targets there is
    the skill, too, where the task has a reference.

    Returns:
        Each model's record and scores, made when they are asked for; a record of status "error" if
        nothing of it could be scored.

    Raises:
        EmptyFolderError: if the folder of observations or targets is missing, or holds nothing.
    """
    ids = dict.fromkeys(image_id for files in models.values() for image_id in files.images)
    partners = read_partners(question, ids)
    reference = FolderReference(question, partners)
    return (
        _score_model(Case(model, question.task.name), files, question, partners, reference)
        for model, files in models.items()
    )


SHOWN = 3  # of the samples that are there twice


@dataclass
class _Scored:
    """Images of one model that were scored so far."""

    gallery: Gallery
    images: dict[str, ImageScores] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    factors: FactorStore = field(default_factory=FactorStore)


def _score_model(
    case: Case,
    files: SampleFiles,
    question: Question,
    partners: Partners,
    reference: FolderReference,
) -> Evaluation:
    start = time.monotonic()
    usable = {name: paths for name, paths in files.images.items() if name not in partners.missing}
    scored = _score_images(usable, question, partners, min(map(len, usable.values()), default=0))
    if scored.counts and min(scored.counts.values()) < min(map(len, usable.values())):
        # A file that could not be read has left an image with fewer samples than were counted on
        scored = _score_images(usable, question, partners, min(scored.counts.values()))
    unpaired = [f"{name}: {why}" for name, why in partners.missing.items() if name in files.images]
    left_out = (*map(str, files.flaws), *unpaired, *scored.left_out)
    model = {"name": case.model, "source": "folder"}
    if not scored.images:
        record = CaseRecord(
            case_id=case.id,
            identity={"model": model, "task": question.task.identity()},
            status="error",
            reason="nothing could be scored",
            left_out=left_out or ("no sample; expected <image id>/<sample>.png",),
        )
        return Evaluation(record, {})
    model["source_sha256"] = sha256("".join(scored.digests).encode()).hexdigest()
    n_samples = min(scored.counts.values())
    photos = partners.of(scored.images)
    evaluation = assess(
        list(scored.images.values()),
        case_id=case.id,
        identity={
            "model": model,
            "task": question.task.identity() | {"dataset": _identity(question, partners, scored)},
            "sampling": {"sampler": "folder", "n_samples": n_samples},
            "metrics": {metric.name: metric.identity() for metric in question.metrics},
        },
        metrics=question.metrics,
        groups=[photo.group for photo in photos],
        n_samples=n_samples,
        rule=question.rule,
        reference=reference.scores(scored.images, n_samples),
    )
    record = replace(
        evaluation.record,
        not_measured=NOT_MEASURED,
        left_out=left_out,
        remarks=(*partners.remarks, *_remarks(files, scored, partners)),
        wall_s=time.monotonic() - start,
    )
    return replace(evaluation, record=record, pictures=scored.gallery.pictures)


def _score_images(
    images: Mapping[str, Sequence[Path]], question: Question, partners: Partners, n_samples: int
) -> _Scored:
    """Score images, with intervals from their first samples; name what cannot be."""
    scored = _Scored(Gallery(question.n_pictures, question.metrics))
    for image_id, paths in images.items():
        try:
            samples = _read_samples(image_id, paths, scored)
            scored.images[image_id] = _score(
                image_id, samples, question, partners, n_samples, scored.factors
            )
        except InvbenchError as error:
            scored.left_out.append(f"{image_id}: {error}")
        else:
            scored.counts[image_id] = len(samples)
            scored.digests.append(f"{image_id} {sha256(samples.numpy().data).hexdigest()}\n")
            draw = partial(_picture, image_id, samples, question, partners)
            scored.gallery.offer(scored.images[image_id], draw)
    return scored


def _read_samples(image_id: str, paths: Sequence[Path], scored: _Scored) -> Tensor:
    """Read the samples of the size that most have, ``[K, 3, H, W]``; name every other file.

    A file of the same pixels as an earlier one is a sample like any other, and is named, too.
    """
    read: dict[str, Tensor] = {}
    first: dict[bytes, str] = {}
    left_out = scored.left_out
    for path in paths:
        try:
            read[path.name] = read_image(path)
        except UnreadableImageError as error:
            reason = str(error).removeprefix(f"{path}: ")
            left_out.append(f"{image_id}/{path.name}: {reason}")
            continue
        same = first.setdefault(sha256(read[path.name].numpy().data).digest(), path.name)
        if same != path.name:
            scored.repeated.append(f"{image_id}/{path.name} is {same}")
    if not read:
        raise UnreadableImageError("no sample can be read")
    usual = Counter(image.shape for image in read.values()).most_common(1)[0][0]
    for name, image in read.items():
        if image.shape != usual:
            left_out.append(
                f"{image_id}/{name}: {_size(image)} pixels where the others have "
                f"{usual[-1]}x{usual[-2]}"
            )
    return torch.stack([image for image in read.values() if image.shape == usual])


def _score(
    image_id: str,
    samples: Tensor,
    question: Question,
    partners: Partners,
    n_samples: int,
    factors: FactorStore,
) -> ImageScores:
    """Score one image's samples with its observation and target."""
    observation, target = partners.observations[image_id], partners.targets.get(image_id)
    if target is not None and target.pixels.shape != samples.shape[1:]:
        raise UnreadableImageError(
            f"target {_size(target.pixels)}, samples {_size(samples)}: sizes must agree"
        )
    expected = question.task.operator.observation_shape(*samples.shape[-2:])
    if observation.pixels.shape != expected:
        raise UnreadableImageError(
            f"{question.task.name} makes {expected[-1]}x{expected[-2]} pixels of samples "
            f"{_size(samples)}, the observation has {_size(observation.pixels)}"
        )
    device = question.device
    return score_image(
        from_uint8(samples.to(device)),
        from_uint8(observation.pixels.to(device)),
        operator=question.task.operator,
        metrics=question.metrics,
        target=None if target is None else from_uint8(target.pixels.to(device)),
        other=None if target is None else _other(image_id, partners, device),
        rule=question.rule,
        n_samples=n_samples,
        store=factors,
    )


def _picture(image_id: str, samples: Tensor, question: Question, partners: Partners) -> Picture:
    observation, target = partners.observations[image_id], partners.targets.get(image_id)
    return picture(
        image_id,
        from_uint8(samples),
        from_uint8(observation.pixels),
        None if target is None else from_uint8(target.pixels),
        rule=question.rule,
    )


def _other(image_id: str, partners: Partners, device: torch.device) -> Tensor | None:
    """Return the first target after this one that is of another photograph, if there is one."""
    photos = list(partners.targets.values())
    index = next(i for i, photo in enumerate(photos) if photo.id == image_id)
    own = photos[index]
    for photo in (*photos[index + 1 :], *photos[:index]):
        if photo.group != own.group and photo.pixels.shape == own.pixels.shape:
            return from_uint8(photo.pixels.to(device))
    return None


def _identity(question: Question, partners: Partners, scored: _Scored) -> dict[str, Any]:
    """Identify the images that a model was scored on, their observations as well."""
    folder = question.targets or question.observations
    data = DataSet(plain(folder.absolute().name), partners.of(scored.images))
    observed = [partners.observations[name] for name in scored.images]
    return data.identity() | {"observations_sha256": digest(observed)}


def _remarks(files: SampleFiles, scored: _Scored, partners: Partners) -> list[str]:
    """State links, samples twice there, images with more or fewer, observations without any."""
    counts = scored.counts
    usual, fewest = Counter(counts.values()).most_common(1)[0][0], min(counts.values())
    said = [
        f"{image_id}: {counted(count, 'sample')} where most images have {usual}"
        for image_id, count in counts.items()
        if count != usual
    ]
    if said:
        few = counted(fewest, "sample")
        said.append(f"intervals are made from {few} of every image, as the fewest are")
    if files.links:
        said.append(f"followed links: {', '.join(files.links)}")
    if scored.repeated:
        found, shown = counted(len(scored.repeated), "sample"), scored.repeated[:SHOWN]
        said.append(f"{found} of the same pixels as another of the image, as {', '.join(shown)}")
    without = [name for name in partners.ids if name not in files.images]
    if without:
        said.append(f"observations without samples: {', '.join(without)}")
    return said


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
