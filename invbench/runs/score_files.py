"""The scores behind a case's record, one row an image: read whole, and held against the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.files import read_bytes, read_npz
from invbench.runs.typed_json import damaged

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from invbench.runs.records import CaseRecord


def read_scores(path: Path, case_id: str) -> dict[str, NDArray[np.float64]]:
    """Read a file of scores.

    Raises:
        MissingDataError: if there is none.
        InvalidRecordError: if it is damaged.
    """
    content = read_bytes(path, InvalidRecordError, hint=f", no scores for {case_id}")
    try:
        arrays = read_npz(content)
    except ValueError as error:
        raise damaged(path, f"damaged ({error})") from error
    if wrong := [name for name, a in arrays.items() if a.dtype.kind != "f" or not a.ndim]:
        raise damaged(path, f"{wrong[0]} holds no list of numbers")
    return arrays


def check_scores(path: Path, record: CaseRecord) -> None:
    """Refuse scores whose means over samples are not those in the record.

    Raises:
        InvalidRecordError: saying which, or that the file is damaged or not there.
    """
    try:
        scores = read_scores(path, record.case_id)
    except MissingDataError as error:
        raise damaged(path, str(error)) from error
    for name, metric in record.validity.items():
        if name not in scores:
            raise damaged(path, f"no scores of {name}")
        means = _means(path, scores[name], scores.get("sample_counts"))
        stated = np.array(metric.per_image, dtype=np.float64)  # None becomes NaN
        if means.shape != stated.shape or not np.allclose(
            np.where(np.isfinite(means), means, np.nan), stated, rtol=1e-9, equal_nan=True
        ):
            raise damaged(path, f"{name} is not what the record says")


def _means(
    path: Path, scores: NDArray[np.float64], counts: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Average rows, of which only the first counts are filled where images differ in samples."""
    if scores.ndim != 2 or not scores.size:
        raise damaged(path, "no row of scores for each image")
    if counts is None or len(counts) != len(scores):
        return np.asarray(scores.mean(axis=-1))
    if not ((counts >= 1) & (counts <= scores.shape[-1])).all():
        raise damaged(path, "an image has no sample, or more than there are scores")
    rows = zip(scores, counts.astype(int), strict=True)
    return np.array([row[:count].mean() for row, count in rows])
