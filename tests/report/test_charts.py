"""Charts show what records say, and fit into a page that allows no style but its own."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from gate_records import metric
from run_records import case_record

from invbench.report.charts import case_charts, coverage_by_level, speed_chart


def interval_record():
    record = case_record("chimle-sr16")
    interval = replace(
        record.interval,
        rank_histogram=(0.3, 0.1, 0.2, 0.15, 0.25),
        width_per_image=(0.1, 0.2),
        coverage_per_image=(0.8, 0.8),
    )
    return replace(
        record,
        interval=interval,
        target={"psnr_of_mean": metric([20.0, 40.0], higher_is_better=True)},
    )


def parsed(chart):
    return ET.fromstring(str(chart.svg))  # noqa: S314  our own


@pytest.mark.parametrize("n_samples", [2, 5, 8])
def test_coverage_is_that_of_intervals_between_ordered_samples(n_samples):
    generator = np.random.default_rng(n_samples)
    samples, targets = generator.normal(size=(n_samples, 500)), generator.normal(size=500) * 2
    ranks = (samples < targets).sum(axis=0)
    histogram = np.bincount(ranks, minlength=n_samples + 1) / 500
    ordered = np.vstack([np.full(500, -np.inf), np.sort(samples, axis=0), np.full(500, np.inf)])
    for j, (level, covered) in enumerate(coverage_by_level(histogram)):
        inside = (ordered[j] < targets) & (targets <= ordered[n_samples + 1 - j])
        assert covered == pytest.approx(inside.mean())
        assert level == pytest.approx(1 - 2 * j / (n_samples + 1))


def test_a_case_has_three_charts_that_say_their_numbers():
    reliability, ranks, errors = case_charts(interval_record())
    assert reliability.said == "Covered by intervals of chimle-sr16: 0.45 at 0.60"
    assert "30% lie below all samples and 25% above all; 20% each were ideal" in ranks.said
    assert "widths of 0.100 to 0.200, errors of 0.010 to 0.100, correlation -1.00" in errors.said


def test_what_was_not_measured_is_not_drawn():
    record = interval_record()
    assert case_charts(replace(record, interval=None)) == []
    few = replace(record.interval, rank_histogram=())
    assert [one.title for one in case_charts(replace(record, interval=few))] == [
        "width against error, by image"
    ]
    assert len(case_charts(replace(record, target={}))) == 2


def test_drawings_share_no_names_and_bring_no_style():
    charts = case_charts(interval_record())
    names = [re.findall(r' id="([^"]+)"', chart.svg) for chart in charts]
    assert all(names)
    assert len({name for one in names for name in one}) == sum(map(len, names))
    for chart in charts:
        root = parsed(chart)
        assert root.tag == "svg"
        assert (root.get("role"), root.get("aria-label")) == ("img", chart.said)
        assert not any(e.get("style") or e.tag in ("style", "metadata") for e in root.iter())
        colours = {e.get(part) for e in root.iter() for part in ("fill", "stroke")}
        assert colours <= {None, "none", "currentColor", "var(--link)"}
        referred = set(re.findall(r"#([\w-]+)", chart.svg))
        assert referred == {e.get("id") for e in root.iter() if e.get("id")}


def test_names_of_models_are_text():
    hostile = "<script>$x^2$&\x1b[31m"
    chart = speed_chart([(hostile, 1.0, 20.0), ("b", 10.0, 30.0)], "sr16")
    words = [element.text for element in parsed(chart).iter("text")]
    assert "<script>$x^2$&\\x1b[31m" in words
    assert "b 30.0 dB at 10/s" in chart.said
