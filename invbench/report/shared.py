"""Models that were measured on different images, over the images that all of them share.

A mean over easy images beats a mean over hard ones whatever the models do. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.escaping import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from invbench.runs import CaseRecord


@dataclass(frozen=True)
class SharedTable:
    """Means of a task's cases over the images that all of them were measured on.

    Attributes:
        title: what the means are over.
        headings: of the table.
        rows: cells of each case, the best by its first score on top.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def shared_tables(records: Sequence[CaseRecord]) -> list[SharedTable]:
    """Return a table for every task whose cases were measured on different images."""
    tasks: dict[str, list[CaseRecord]] = {}
    for record in records:
        if record.validity and image_ids(record):
            tasks.setdefault(str(record.identity["task"]["name"]), []).append(record)
    return [
        _table(task, of_task)
        for task, of_task in tasks.items()
        if len({frozenset(image_ids(record)) for record in of_task}) > 1
    ]


def image_ids(record: CaseRecord) -> list[str]:
    """Return the ids of the images that a case was measured on."""
    return list(record.identity.get("task", {}).get("dataset", {}).get("image_ids", ()))


def shared_ids(records: Sequence[CaseRecord]) -> list[str]:
    """Return the ids that all cases have, in the order of the first."""
    others = [set(image_ids(record)) for record in records[1:]]
    return [name for name in image_ids(records[0]) if all(name in ids for ids in others)]


def scope_parts(record: CaseRecord) -> tuple[str, str, str]:
    """Say of how many samples, images and pixels a record is, "" for what is not known."""
    data = record.identity.get("task", {}).get("dataset") or {}
    n_samples = record.identity.get("sampling", {}).get("n_samples")
    n_images = len(image_ids(record)) or next(iter(record.validity.values())).n_images
    images = counted(n_images, "image")
    if data.get("groups"):
        images += f" of {counted(len(set(data['groups'])), 'photograph')}"
    if data.get("name"):
        images += f" ({data['name']})"
    size = f"{data['size']} px wide" if data.get("size") else ""
    return (f"K = {n_samples} samples an image" if n_samples else "", images, size)


def _table(task: str, records: Sequence[CaseRecord]) -> SharedTable:
    shared, columns = shared_ids(records), [dict(_columns(record)) for record in records]
    names = [name for name in columns[0] if all(name in others for others in columns)]
    rows = []
    for record, scores in zip(records, columns, strict=True):
        index = {image_id: number for number, image_id in enumerate(image_ids(record))}
        means = [_mean([scores[name][index[image_id]] for image_id in shared]) for name in names]
        rows.append((means, (record.case_id, str(len(index)), *map(_cell, means))))
    sign = -1 if records[0].validity[names[0]].higher_is_better else 1
    rows.sort(key=lambda row: math.inf if row[0][0] is None else sign * row[0][0])
    images = counted(len(shared), "image")
    title = f"{task}: means over the {images} that all {len(records)} cases share"
    return SharedTable(title, ("case", "its images", *names), tuple(cells for _, cells in rows))


def _columns(record: CaseRecord) -> Iterator[tuple[str, Sequence[float | None]]]:
    """Yield the main scores that are there image by image, the first of validity first."""
    for name, metric in (*record.validity.items(), *record.spread.items()):
        yield name, metric.per_image
    if record.interval:
        yield "coverage", record.interval.coverage_per_image
        yield "width", record.interval.width_per_image
        yield "winkler", record.interval.winkler_per_image


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return math.fsum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
