"""The models of a task beside the study's: one table, which every format lays out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from invbench.report.claims import RANDOM_LPIPS, lpips_of, our_score
from invbench.report.shared import differ, over_shared, over_what

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.gate import Ranking
    from invbench.report.paper import PaperTable
    from invbench.runs import CaseRecord

DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3}
"""The scores that the study reports, with the digits that they are shown with."""

REFERENCE = "reference"

PUBLISHED = "ddrm-published"
"""DDRM's name in a run in which it inverts the published operators, as the study's has to."""

MARKS = "Best in bold, second underlined."
TIES = "\N{ALMOST EQUAL TO}: not shown to be worse than the best; few photographs show little."


@dataclass(frozen=True)
class Cell:
    """A number as it is shown.

    Attributes:
        text: the number.
        place: whether it is the best or the second of its column.
        tied: whether the tests of `gate.rank` do not show it to be worse than the best.
    """

    text: str
    place: Literal["", "best", "second"] = ""
    tied: bool = False


@dataclass(frozen=True)
class ScoreTable:
    """All models of a task, the study's first.

    Attributes:
        task: id.
        headings: of the columns, the model first.
        rows: cells under them.
        over: what the means are over, where cases were measured on different images.
    """

    task: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    over: str = ""

    @property
    def beside_paper(self) -> bool:
        """Tell whether the study's values stand in the table."""
        return any(heading.endswith("(paper)") for heading in self.headings)

    @property
    def key(self) -> str:
        """What the marks mean, and what numbers are over where that is not as usual."""
        ties = any(cell.tied for row in self.rows for cell in row)
        return " ".join([*([self.over] if self.over else []), MARKS, *([TIES] if ties else [])])


def score_table(
    records: Mapping[str, CaseRecord],
    task: str,
    paper: PaperTable | None = None,
    rankings: Sequence[Ranking] = (),
) -> ScoreTable:
    """Lay out our scores, and beside each the study's where it has the task.

    Models that the study does not have stand below its own, and the reference below all. LPIPS has
    the name that it was scored under; one of random weights is shown, and has no place. With noise,
    chi-squared takes the place of the scores. Of models that were measured on different images,
    means are over those that all share, but for chi-squared.

    Args:
        records: of one run, by case id.
        task: id.
        paper: the study's values.
        rankings: of the run, by which ties with the best are marked.
    """
    own = [
        record
        for record in records.values()
        if record.validity and record.identity.get("task", {}).get("name") == task
    ]
    measured = {record.case_id: record for record in over_shared(own)}
    over = f"Our numbers are {over_what(own)}." if differ(own) else ""
    theirs = paper if paper and task in paper.tasks else None
    models = [*(theirs.models if theirs else ()), *other_models(measured, theirs, task)]
    lpips_of_task = lpips_heading(measured)
    found = {model: measured.get(f"{model}-{task}") for model in models}
    tiers = {
        "lpips" if ranking.score == lpips_of_task else ranking.score: frozenset(ranking.tiers[0])
        for ranking in rankings
        if ranking.task == task
    }
    columns: dict[str, list[Cell]] = {"model": [Cell(model) for model in models]}
    if any(record.noise_fit for record in measured.values()):
        columns |= _noise_columns(found)
        over = over.replace("Our numbers", "Our numbers but chi-squared")
    else:
        for score, digits in DIGITS.items():
            heading = lpips_of_task if score == "lpips" else score
            ours = {model: our_score(record, score) for model, record in found.items()}
            tied = tiers.get(score, frozenset())
            cells = _placed(ours, digits, more=score != "lpips", tied=tied)
            random = heading == RANDOM_LPIPS
            columns[heading] = [Cell(cell.text) for cell in cells] if random else cells
            if theirs:
                columns[f"{score} (paper)"] = _paper_cells(theirs, models, task, score)
    columns |= _target_columns(found, lpips_of_task)
    skill = {
        model: record.skill["crps"].value if record and "crps" in record.skill else None
        for model, record in found.items()
    }
    columns["skill"] = _placed(skill, 2, more=True, tied=tiers.get("crps", frozenset()))
    for name in ("width", "coverage"):
        columns[name] = [Cell(number(our_score(record, name), 3)) for record in found.values()]
    columns["ideal"] = [
        Cell(number(record.interval.ideal_coverage if record and record.interval else None, 3))
        for record in found.values()
    ]
    return ScoreTable(task, tuple(columns), tuple(zip(*columns.values(), strict=True)), over)


def other_models(
    measured: Mapping[str, CaseRecord], paper: PaperTable | None, task: str
) -> list[str]:
    """Return the models of a task that the study does not have, the reference as the last."""
    published = [PUBLISHED] if f"{PUBLISHED}-{task}" in measured else []
    known = (*(paper.models if paper else ()), PUBLISHED, REFERENCE)
    names = {
        case: record.identity.get("model", {}).get("name") for case, record in measured.items()
    }
    others = [name for case, name in names.items() if case == f"{name}-{task}"]
    reference = [REFERENCE] if f"{REFERENCE}-{task}" in measured else []
    return [*published, *(name for name in others if name not in known), *reference]


def lpips_heading(measured: Mapping[str, CaseRecord]) -> str:
    """Return the names that LPIPS was scored under."""
    names = {name for record in measured.values() if (name := lpips_of(record))}
    return ", ".join(sorted(names)) or "lpips"


def number(value: float | None, digits: int) -> str:
    """Show a number, or a dash."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _placed(
    values: Mapping[str, float | None],
    digits: int,
    *,
    more: bool,
    tied: frozenset[str] = frozenset(),
) -> list[Cell]:
    """Mark the best and second of two numbers or more; equal numbers share a place."""
    known = sorted(
        {value for value in values.values() if value is not None and math.isfinite(value)},
        reverse=more,
    )
    places: dict[float, Literal["", "best", "second"]] = {}
    if len(known) > 1:
        places = {known[0]: "best", known[1]: "second"}
    cells = []
    for model, value in values.items():
        place = "" if value is None else places.get(value, "")
        cells.append(Cell(number(value, digits), place, place != "best" and model in tied))
    return cells


def _noise_columns(found: Mapping[str, CaseRecord | None]) -> dict[str, list[Cell]]:
    fits = [record.noise_fit if record else None for record in found.values()]
    return {
        "chi-squared": [Cell(number(fit.value if fit else None, 3)) for fit in fits],
        "noise": [Cell(fit.verdict if fit else "-") for fit in fits],
    }


def _target_columns(found: Mapping[str, CaseRecord | None], lpips: str) -> dict[str, list[Cell]]:
    """Return the scores of single samples against the target, as far as there are any."""
    columns = {}
    for score, digits in (("psnr", 2), (lpips, 3)):
        values = {
            model: record.target[score].mean if record and score in record.target else None
            for model, record in found.items()
        }
        if any(value is not None for value in values.values()):
            cells = _placed(values, digits, more=score == "psnr")
            random = score == RANDOM_LPIPS
            columns[f"target {score}"] = [Cell(c.text) for c in cells] if random else cells
    return columns


def _paper_cells(paper: PaperTable, models: Sequence[str], task: str, score: str) -> list[Cell]:
    values = {model: _paper_value(paper, model, task, score) for model in models}
    return [
        replace(cell, text="absent") if cell.text == "-" and _known(paper, model) else cell
        for model, cell in zip(
            models, _placed(values, DIGITS[score], more=score != "lpips"), strict=True
        )
    ]


def _paper_value(paper: PaperTable, model: str, task: str, score: str) -> float | None:
    return paper.value("ddrm" if model == PUBLISHED else model, task, score)


def _known(paper: PaperTable, model: str) -> bool:
    return model in paper.models or model == PUBLISHED
