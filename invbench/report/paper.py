"""Comparing a run with the study's table: scores side by side, and correlations of their ranks."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import spearmanr

from invbench.errors import InvalidRecordError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from invbench.runs import CaseRecord

DIGITS = {"psnr": 2, "ssim": 3, "lpips": 4, "width": 3}
"""The scores that the study reports, with the digits that they are shown with."""

LEAST = 4
"""Methods with both values that a rank correlation needs to be worth a number."""


@dataclass(frozen=True)
class PaperTable:
    """The values that the study reports, as far as they are known.

    Attributes:
        models: model ids in the order of the rows.
        tasks: task ids in the order of the tables.
        values: case id -> score -> value.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]

    def value(self, model: str, task: str, score: str) -> float | None:
        """Return a value, or None where it is absent."""
        return self.values.get(f"{model}-{task}", {}).get(score)


def read_paper(path: Path) -> PaperTable:
    """Read the study's values from a TOML file, see ``fixtures/paper_table1.toml``.

    Raises:
        MissingDataError: if there is none.
        InvalidRecordError: if it is not TOML, names an unknown case or score, a value is no
            number, or a case has no source.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: no such table")
    try:
        content = tomllib.loads(path.read_text())
        models, tasks = tuple(content.pop("models")), tuple(content.pop("tasks"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidRecordError(f"{path}: not TOML ({error})") from error
    except KeyError as error:
        raise InvalidRecordError(f"{path}: {error} is not there") from error
    known = {f"{model}-{task}" for model in models for task in tasks}
    for case, values in content.items():
        if case not in known:
            raise InvalidRecordError(f"{path}: {case} is none of its models and tasks")
        if not values.get("source"):
            raise InvalidRecordError(f"{path}: {case} has no source")
        for score, value in values.items():
            if score == "source":
                continue
            if score not in DIGITS or not isinstance(value, (int, float)):
                raise InvalidRecordError(
                    f"{path}: {case}.{score} = {value}; expected a number for one of "
                    f"{', '.join(DIGITS)}"
                )
    numbers = {
        case: {score: float(value) for score, value in values.items() if score != "source"}
        for case, values in content.items()
    }
    return PaperTable(models, tasks, numbers)


def paper_report(records: Sequence[CaseRecord], paper: PaperTable) -> list[str]:
    """Lay out, for each task, all models with our scores beside the study's, in Markdown.

    Below each table stands Spearman's rank correlation of the two, for each score that enough
    methods have in both. LPIPS with random weights is shown under its own name, beside nothing.
    """
    measured = {record.case_id: record for record in records if record.validity}
    lines: list[str] = []
    for task in paper.tasks:
        lines += [f"## {task}", "", *_table(measured, paper, task), ""]
        lines += [*_agreement(measured, paper, task), ""]
    return lines


def our_value(record: CaseRecord | None, score: str) -> float | None:
    """Return the value of a score in a record, or None where it was not measured."""
    if record is None:
        return None
    if score in ("width", "coverage"):
        interval = record.interval
        if interval is None:
            return None
        return interval.mean_width if score == "width" else interval.coverage
    metric = record.validity.get(score)
    return metric.mean if metric else None


def correlation(ours: Sequence[float | None], theirs: Sequence[float | None]) -> str:
    """Say how the order of two columns agrees: Spearman's rho over the rows that have both.

    >>> correlation([1, 2, 3, 4, None], [2, 4, 8, 16, 5])
    'rho 1.00 over 4 methods'
    >>> correlation([1, 2, 3], [1, 2, 3])
    'not enough: 3 of 4 methods have both'
    """
    pairs = [
        (one, other)
        for one, other in zip(ours, theirs, strict=True)
        if one is not None and other is not None
    ]
    if len(pairs) < LEAST:
        return f"not enough: {len(pairs)} of {LEAST} methods have both"
    if any(len(set(column)) == 1 for column in zip(*pairs, strict=True)):
        return f"undefined: all {len(pairs)} values are the same"
    rho = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return f"rho {rho:.2f} over {len(pairs)} methods"


def _table(measured: Mapping[str, CaseRecord], paper: PaperTable, task: str) -> Iterator[str]:
    scores = list(DIGITS)
    random = any("lpips_random" in record.validity for record in measured.values())
    headings = ["model"]
    for score in scores:
        headings += [score, f"{score} (paper)"]
    headings += [*(["lpips_random"] if random else []), "coverage", "ideal"]
    yield _row(headings)
    yield _row(["---", *["---:"] * (len(headings) - 1)])
    for model in paper.models:
        record = measured.get(f"{model}-{task}")
        cells = [model]
        for score in scores:
            cells.append(_number(our_value(record, score), DIGITS[score]))
            cells.append(_number(paper.value(model, task, score), DIGITS[score], missing="absent"))
        if random:
            cells.append(_number(our_value(record, "lpips_random"), DIGITS["lpips"]))
        ideal = record.interval.ideal_coverage if record and record.interval else None
        cells += [_number(our_value(record, "coverage"), 3), _number(ideal, 3)]
        yield _row(cells)


def _agreement(measured: Mapping[str, CaseRecord], paper: PaperTable, task: str) -> Iterator[str]:
    yield "Spearman's rank correlation with the paper:"
    yield ""
    for score in DIGITS:
        ours = [our_value(measured.get(f"{model}-{task}"), score) for model in paper.models]
        theirs = [paper.value(model, task, score) for model in paper.models]
        yield f"- {score}: {correlation(ours, theirs)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int, *, missing: str = "-") -> str:
    return missing if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
