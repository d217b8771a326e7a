"""Pictures enter a page whole where they fit, on one scale a task."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from invbench.report.page_pictures import interval_scales, make_album
from invbench.runs import Picture

NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def picture(name="cat-0", *, width=51):
    panels = {"sample 1": NOISE, "mean": np.full_like(NOISE, 100)}
    return Picture(name, panels | {"width": np.full_like(NOISE, width)})


def pixels(panel):
    head, _, data = panel.source.partition(";base64,")
    with Image.open(io.BytesIO(b64decode(data))) as image:
        assert head == f"data:image/{image.format.lower()}"
        assert image.size == (panel.width, panel.height)
        return np.array(image), image.format


def test_panels_are_whole_where_they_fit():
    album = make_album({"a-sr16": [picture()]}, {"a-sr16": "sr16"})
    (shown,) = album.cases["a-sr16"]
    assert (shown.image_id, [panel.name for panel in shown.panels]) == (
        "cat-0",
        ["sample 1", "mean", "width"],
    )
    np.testing.assert_array_equal(pixels(shown.panels[0])[0], NOISE)
    assert album.note == ""


@pytest.mark.parametrize(
    ("share", "kind", "count", "note"),
    [(0.99, "JPEG", 3, "JPEG of quality 92"), (0.4, "JPEG", 1, "1 of 3 images; JPEG")],
)
def test_what_does_not_fit_becomes_smaller_then_less(share, kind, count, note):
    given = {"a-sr16": [picture(str(k)) for k in range(3)]}, {"a-sr16": "sr16"}
    whole = make_album(*given)
    size = sum(len(p.source) * 3 / 4 for one in whole.cases["a-sr16"] for p in one.panels)
    album = make_album(*given, largest_bytes=int(share * size))
    shown = album.cases["a-sr16"]
    assert (len(shown), pixels(shown[0].panels[0])[1]) == (count, kind)
    assert album.note.startswith(note)


def test_nothing_is_shown_where_not_one_fits():
    album = make_album({"a-sr16": [picture()]}, {"a-sr16": "sr16"}, largest_bytes=10)
    assert (album.cases, album.note) == ({"a-sr16": ()}, "left out, since they do not fit")


def test_widths_are_light_on_the_mean_on_one_scale_a_task():
    pictures = {
        "a-sr16": [picture(width=51)],
        "b-sr16": [picture(width=102)],
        "a-jpeg": [picture(width=204)],
    }
    tasks = {case: case.partition("-")[2] for case in pictures}
    assert interval_scales(pictures, tasks) == {
        "sr16": pytest.approx(0.4),
        "jpeg": pytest.approx(0.8),
    }
    album = make_album(pictures, tasks)
    lights = {case: pixels(album.cases[case][0].panels[2])[0][0, 0, 0] for case in pictures}
    half, full = 0.4 * 100 + 0.6 * 255 / 2, 0.4 * 100 + 0.6 * 255
    assert lights == {"a-sr16": round(half), "b-sr16": round(full), "a-jpeg": round(full)}


def test_without_intervals_there_is_no_scale():
    kept = Picture("cat-0", {"sample 1": NOISE, "mean": NOISE})
    album = make_album({"a-sr16": [kept], "b-sr16": []}, {"a-sr16": "sr16", "b-sr16": "sr16"})
    assert album.scales == {}
    assert len(album.cases["a-sr16"][0].panels) == 2
