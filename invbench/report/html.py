"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from invbench.escaping import html
from invbench.report.summary import SPEED_HEADINGS

if TYPE_CHECKING:
    from invbench.report.summary import Summary


def html_report(summary: Summary) -> str:
    """Return the report as HTML with its style inside; every text is escaped.

    Its policy lets a browser load nothing and run nothing, and apply no style but this one.
    """
    environment = Environment(
        loader=PackageLoader("invbench", "report"),
        autoescape=True,
        finalize=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["digest"] = lambda text: b64encode(sha256(text.encode()).digest()).decode()
    template = environment.get_template("report.html.j2")
    return template.render(summary=summary, speed_headings=SPEED_HEADINGS)
