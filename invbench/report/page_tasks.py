"""What a page says of all models of a task, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import ConflictingRunsError, MissingDataError
from invbench.gate import rank_run
from invbench.report.charts import speed_chart
from invbench.report.score_table import lpips_heading, score_table
from invbench.report.shared import scope_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from invbench.gate import Ranking
    from invbench.report.charts import Chart
    from invbench.report.page_pictures import Album, Panel
    from invbench.report.paper import PaperTable
    from invbench.report.score_table import ScoreTable
    from invbench.runs import CaseRecord


@dataclass(frozen=True, kw_only=True)
class TaskSection:
    """What a page says of all models of a task.

    Attributes:
        task: id.
        size: how many images, photographs and samples the numbers are over.
        table: scores, beside the study's where it has the task.
        chart: validity against speed, if two models have both.
        uncertainty: of an image, what was given, what it was made from, and model by model where
            samples disagree.
        image_id: of that image.
        scale: interval width that pictures show at full brightness.
    """

    task: str
    size: str
    table: ScoreTable
    chart: Chart | None
    uncertainty: Mapping[str, Panel]
    image_id: str
    scale: float | None


def score_tables(records: Sequence[CaseRecord], paper: PaperTable | None) -> list[ScoreTable]:
    """Lay out the scores of every task of a run, those of the study first."""
    return [
        score_table({record.case_id: record for record in cases}, task, paper, _rankings(cases))
        for task, cases in _by_task(records, paper).items()
    ]


def _by_task(
    records: Sequence[CaseRecord], paper: PaperTable | None
) -> dict[str, list[CaseRecord]]:
    of_task: dict[str, list[CaseRecord]] = {task: [] for task in (paper.tasks if paper else ())}
    for record in records:
        if record.validity:
            of_task.setdefault(str(record.identity["task"]["name"]), []).append(record)
    return {task: cases for task, cases in of_task.items() if cases}


def task_sections(
    records: Sequence[CaseRecord], paper: PaperTable | None, album: Album
) -> Iterator[TaskSection]:
    """Collect what a page says of each task of measured cases, those of the study first."""
    tables = score_tables(records, paper)
    for table, (task, cases) in zip(tables, _by_task(records, paper).items(), strict=True):
        points = [
            (_model(record), record.throughput.samples_per_second, psnr)
            for record in cases
            if record.throughput
            and (psnr := record.validity["psnr"].mean if "psnr" in record.validity else None)
        ]
        yield TaskSection(
            task=task,
            size="; ".join(sorted({", ".join(filter(None, scope_parts(one))) for one in cases})),
            table=table,
            chart=speed_chart(points, task) if len(points) > 1 else None,
            **_uncertainty(cases, album),
            scale=album.scales.get(task),
        )


def _uncertainty(records: Sequence[CaseRecord], album: Album) -> dict[str, Any]:
    """Return the interval map of every model on one image, the first that is shown of any."""
    shown = {_model(record): album.cases[record.case_id] for record in records}
    image_id = next((one.image_id for of_case in shown.values() for one in of_case), "")
    panels = {
        model: {panel.name: panel for panel in one.panels}
        for model, of_case in shown.items()
        for one in of_case
        if one.image_id == image_id
    }
    maps = {model: named["width"] for model, named in panels.items() if "width" in named}
    first = next(iter(panels.values()), {})
    common = {name: first[name] for name in ("observation", "target") if name in first}
    return {"uncertainty": common | maps if maps else {}, "image_id": image_id}


def _model(record: CaseRecord) -> str:
    return record.case_id.removesuffix(f"-{record.identity['task']['name']}")


def _rankings(records: Sequence[CaseRecord]) -> list[Ranking]:
    """Rank a task's models by the scores of its table; nothing where they do not compare."""
    measured = {record.case_id: record for record in records}
    try:
        return rank_run(measured, scores=("psnr", "ssim", lpips_heading(measured), "crps"))
    except (ConflictingRunsError, MissingDataError):
        return []
