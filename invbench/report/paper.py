"""A run beside the study's table: scores, correlations of their ranks, and the study's claims."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  `build` asks for the types of fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invbench.errors import InvalidRecordError
from invbench.escaping import counted, markdown
from invbench.report.agreement import LEAST, agreement
from invbench.report.claims import RANDOM_LPIPS, check_claims, lpips_of, our_score
from invbench.report.markdown_tables import markdown_row
from invbench.report.score_table import DIGITS, PUBLISHED, lpips_heading, score_table
from invbench.report.shared import over_shared
from invbench.runs.typed_json import build, named, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from invbench.report.agreement import Agreement
    from invbench.report.claims import Finding
    from invbench.report.score_table import Cell, ScoreTable
    from invbench.runs import CaseRecord

APART = "ddrm"
"""The method whose published code inverts operators that are not the benchmark's."""


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


@dataclass(frozen=True)
class _Head:
    """What a table begins with."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """The values of a table."""

    cases: Mapping[str, Mapping[str, Any]]


def read_paper(path: Path) -> PaperTable:
    """Read the study's values from a TOML file, see ``fixtures/paper_table1.toml``.

    Raises:
        MissingDataError: if there is none.
        InvalidRecordError: if it is not TOML, names an unknown case or score, a value is no
            number, or a case has no source.
    """
    content = read_toml(path)
    try:
        head: _Head = build(_Head, content)
        models, tasks = head.models, head.tasks
        content = {name: value for name, value in content.items() if name not in vars(head)}
        build(_Table, {"cases": content})
    except InvalidRecordError as error:
        raise named(error, path) from error
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


def paper_report(records: Mapping[str, CaseRecord], paper: PaperTable) -> list[str]:
    """Lay out, for each task, all models with our scores beside the study's, in Markdown.

    Models that the study does not have stand below its own. Below each table stand the rank
    correlations of the two, for each score that enough methods have in both, and whether the
    study's claims hold here. DDRM counts for itself: correlations are also told without it and,
    where a run has it, with `PUBLISHED` in its place. Of models that were measured on different
    images all of this is over those that all share. LPIPS has the name that it was scored under;
    one of random weights is shown, and not correlated with the study's.

    Args:
        records: of one run, by case id.
        paper: the study's values.
    """
    lines: list[str] = []
    for task in paper.tasks:
        own = [
            record
            for name, record in records.items()
            if record.validity and name.endswith(f"-{task}")
        ]
        measured = {record.case_id: record for record in over_shared(own)}
        lines += [f"## {markdown(task)}", "", *_table(score_table(records, task, paper)), ""]
        lines += [*_agreements(measured, paper, task), ""]
        lines += [*_claims(check_claims(measured, task)), ""]
    return lines


def _table(table: ScoreTable) -> list[str]:
    """Lay out a table, with its marks and what they mean below."""
    rule = f"| --- |{' ---: |' * (len(table.headings) - 1)}"
    rows = [f"| {' | '.join(map(_cell, cells))} |" for cells in table.rows]
    return [markdown_row(table.headings), rule, *rows, "", table.key]


def _cell(cell: Cell) -> str:
    text = markdown(cell.text)
    marked = {"best": f"**{text}**", "second": f"<ins>{text}</ins>", "": text}[cell.place]
    return f"{marked} \N{ALMOST EQUAL TO}" if cell.tied else marked


def _shown_name(measured: Mapping[str, CaseRecord], score: str) -> str:
    return lpips_heading(measured) if score == "lpips" else score


def _agreements(measured: Mapping[str, CaseRecord], paper: PaperTable, task: str) -> Iterator[str]:
    yield "Rank correlations with the paper, and their 95 % intervals over photographs:"
    yield ""
    for score in DIGITS:
        names = {model: model for model in paper.models}
        told = _correlation(measured, paper, task, score, names)
        yield f"- {markdown(_shown_name(measured, score))}: {told}"
        if f"{APART}-{task}" not in measured or not told.startswith("Spearman"):
            continue
        others = {model: model for model in paper.models if model != APART}
        yield f"  - without {APART}: {_correlation(measured, paper, task, score, others)}"
        if f"{PUBLISHED}-{task}" in measured:
            told = _correlation(measured, paper, task, score, names | {APART: PUBLISHED})
            yield f"  - with {PUBLISHED} in its place: {told}"


def _correlation(
    measured: Mapping[str, CaseRecord],
    paper: PaperTable,
    task: str,
    score: str,
    names: Mapping[str, str],
) -> str:
    """Tell how a score orders some methods here and there.

    Args:
        measured: records by case id.
        paper: the study's values.
        task: id.
        score: name.
        names: the study's method -> its name in the run.
    """
    if score == "lpips" and RANDOM_LPIPS in _shown_name(measured, score):
        return "made with random weights, which is no LPIPS to be held against the paper's"
    pairs = [
        (record, ours, theirs)
        for model, name in names.items()
        if (record := measured.get(f"{name}-{task}"))
        and (ours := our_score(record, score)) is not None
        and (theirs := paper.value(model, task, score)) is not None
    ]
    if len(pairs) < LEAST:
        return f"not enough: {len(pairs)} of {LEAST} models have both"
    records, ours_all, theirs_all = zip(*pairs, strict=True)
    found = agreement(ours_all, theirs_all, **_per_image(records, score))
    if found is None:
        return f"undefined: all {len(pairs)} values are the same"
    return _shown(found)


def _per_image(records: Sequence[CaseRecord], score: str) -> dict[str, Any]:
    """Return the scores of each image and its photograph, if all models saw the same images."""
    data = [record.identity.get("task", {}).get("dataset", {}) for record in records]
    if any("groups" not in one or one != data[0] for one in data):
        return {}
    names = [lpips_of(record) or score if score == "lpips" else score for record in records]
    rows = [record.validity[name].per_image for record, name in zip(records, names, strict=True)]
    if any(value is None for row in rows for value in row):
        return {}
    return {"per_image": rows, "groups": data[0]["groups"]}


def _shown(found: Agreement) -> str:
    rho, tau = (
        f"{value:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
        for value, interval in ((found.rho, found.rho_interval), (found.tau, found.tau_interval))
    )
    return f"Spearman's rho {rho}, Kendall's tau {tau}, over {counted(found.n_models, 'model')}"


def _claims(findings: Sequence[Finding]) -> Iterator[str]:
    yield "What the study says, and what was measured here:"
    yield ""
    for finding in findings:
        claim = finding.claim
        numbers = ""
        if finding.ahead is not None and finding.behind is not None:
            sign = ">" if claim.more else "<"
            is_or_not = sign if finding.verdict == "holds" else f"not {sign}"
            numbers = f": {finding.ahead:.4g} {is_or_not} {finding.behind:.4g}"
        mark = {"holds": "x", "does not hold": " ", "not measured": "-"}[finding.verdict]
        yield f"- [{mark}] {claim.text}, in its {claim.source}; {finding.verdict}{numbers}"
