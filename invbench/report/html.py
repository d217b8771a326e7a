"""A run as one HTML file that needs nothing else, and the environment of all our pages."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from invbench.escaping import html
from invbench.report.legend import LEGEND, MORE
from invbench.report.page import make_page
from invbench.report.summary import SPEED_HEADINGS, read_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.gate import GateReport, Snapshot
    from invbench.report.paper import PaperTable
    from invbench.runs import RunStore


def html_report(
    store: RunStore,
    *,
    paper: PaperTable | None = None,
    gate: GateReport | None = None,
    baseline: Snapshot | None = None,
) -> str:
    """Return the page of a run, with everything inside.

    Its policy lets a browser load nothing, and apply and run nothing but the page's own style and
    script; every text is escaped.

    Args:
        store: of the run.
        paper: the study's values, to stand beside the run's.
        gate: the run held against a baseline.
        baseline: that baseline.

    Raises:
        MissingDataError: if the folder is not a run, or holds neither a case nor timings.
        InvalidRecordError: if a record of it is damaged.
    """
    records = read_records(store) if store.case_ids() else []
    page = make_page(store, records, paper=paper, gate=gate, baseline=baseline)
    given = {"page": page, "speed_headings": SPEED_HEADINGS, "legend": {**LEGEND, **MORE}}
    return render("report.html.j2", **given)


def _verdict_second(cells: Sequence[str]) -> list[str]:
    """Put the last cell of a case's row where every screen shows it."""
    return [cells[0], cells[-1], *cells[1:-1]]


def render(template: str, **given: Any) -> str:
    """Fill in one of our templates; every text that enters it is escaped."""
    return _environment().get_template(template).render(**given)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("invbench", "report"),
        autoescape=True,
        finalize=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["digest"] = lambda text: b64encode(sha256(text.encode()).digest()).decode()
    environment.filters["verdict_second"] = _verdict_second
    return environment
