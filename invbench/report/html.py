"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from invbench.report.summary import SPEED_HEADINGS

if TYPE_CHECKING:
    from invbench.report.summary import Summary


def html_report(summary: Summary) -> str:
    """Return the report as HTML with its style inside; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("invbench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(summary=summary, speed_headings=SPEED_HEADINGS)
