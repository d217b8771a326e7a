"""Models that were measured on different images, over the images that all of them share.

A mean over easy images beats a mean over hard ones whatever the models do. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from invbench.escaping import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from invbench.runs import CaseRecord, MetricRecord


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
    return [_table(task, of_task) for task, of_task in tasks.items() if differ(of_task)]


def differ(records: Sequence[CaseRecord]) -> bool:
    """Tell whether cases are known to have been measured on different images."""
    ids = [frozenset(image_ids(record)) for record in records]
    return all(ids) and len(set(ids)) > 1


def over_shared(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Return a task's cases as if measured on the images that all share alone.

    Chi-squared is left as it is; what is not known image by image is left out.
    """
    if not differ(records):
        return list(records)
    shared = shared_ids(records)
    return [_restricted(record, shared) for record in records]


def over_what(records: Sequence[CaseRecord]) -> str:
    """Say what means of `over_shared` are over."""
    images = counted(len(shared_ids(records)), "image")
    return f"means over the {images} that all {len(records)} cases share"


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


def _restricted(record: CaseRecord, shared: Sequence[str]) -> CaseRecord:
    """Take every mean of a record over some of its images."""
    places = [image_ids(record).index(name) for name in shared]

    def at(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[place] for place in places) if values else ()

    def metrics(some: Mapping[str, MetricRecord]) -> dict[str, MetricRecord]:
        chosen = {name: at(metric.per_image) for name, metric in some.items()}
        return {
            name: replace(some[name], mean=_mean(values), per_image=values, n_images=len(shared))
            for name, values in chosen.items()
        }

    data = record.identity["task"]["dataset"]
    of_shared = {"image_ids": list(shared), "groups": list(at(data.get("groups", ())))}
    task = record.identity["task"] | {"dataset": of_shared}
    interval = record.interval if shared else None
    if interval:
        covered, widths, winkler = (
            at(values)
            for values in (
                interval.coverage_per_image,
                interval.width_per_image,
                interval.winkler_per_image,
            )
        )
        means = [
            math.nan if mean is None else mean for mean in map(_mean, (covered, widths, winkler))
        ]
        interval = replace(
            interval,
            coverage=means[0],
            coverage_per_image=covered,
            mean_width=means[1],
            width_per_image=widths,
            winkler=means[2],
            winkler_per_image=winkler,
            scores={},
        )
    skill = {}
    for name, one in record.skill.items():
        own, other = at(one.per_image), at(one.reference_per_image)
        value = 1 - math.fsum(own) / math.fsum(other) if own and other else None
        skill[name] = replace(
            one, value=value, low=None, high=None, per_image=own, reference_per_image=other
        )
    return replace(
        record,
        identity={**record.identity, "task": task},
        validity=metrics(record.validity),
        target=metrics(record.target),
        spread=metrics(record.spread),
        interval=interval,
        skill=skill,
    )


def _table(task: str, records: Sequence[CaseRecord]) -> SharedTable:
    columns = [dict(_columns(record)) for record in over_shared(records)]
    names = [name for name in columns[0] if all(name in others for others in columns)]
    rows = []
    for record, means in zip(records, columns, strict=True):
        cells = (
            record.case_id,
            str(len(image_ids(record))),
            *(_cell(means[name]) for name in names),
        )
        rows.append((means[names[0]], cells))
    sign = -1 if records[0].validity[names[0]].higher_is_better else 1
    rows.sort(key=lambda row: math.inf if row[0] is None else sign * row[0])
    headings = ("case", "its images", *names)
    return SharedTable(f"{task}: {over_what(records)}", headings, tuple(cells for _, cells in rows))


def _columns(record: CaseRecord) -> Iterator[tuple[str, float | None]]:
    """Yield the main means, the first of validity first."""
    for name, metric in (*record.validity.items(), *record.spread.items()):
        yield name, metric.mean
    if record.interval:
        yield "coverage", record.interval.coverage
        yield "width", record.interval.mean_width
        yield "winkler", record.interval.winkler


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return math.fsum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None


def _cell(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"
