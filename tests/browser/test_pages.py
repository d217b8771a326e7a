"""Pages work in a real browser: nothing is asked for, everything shows, keys are enough."""

from __future__ import annotations

import pytest

TAB, ENTER = "\ue004", "\ue007"  # as WebDriver writes keys

CELLS = """
const head = [...document.querySelectorAll('#scores thead th')].findIndex(
  (one) => one.textContent.trim() === arguments[0]);
return [...document.querySelectorAll('#scores tbody tr')].filter((row) => row.offsetHeight)
  .map((row) => row.cells[head].textContent.trim());
"""
FOCUS = """
[...document.querySelectorAll('#scores th button')].find(
  (one) => one.textContent.trim() === arguments[0]).focus();
"""
ORDER = """
return [...document.querySelectorAll('#scores th')].find(
  (one) => one.textContent.trim() === arguments[0]).getAttribute('aria-sort');
"""
# Text of a page with its contrast, by the formula of WCAG 2: colours are composited upon what lies
# below them, and made linear before they are weighted.
CONTRAST = """
const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((k) => top[k] * top[3] + below[k] * (1 - top[3]));
const probe = document.createElement('div');
document.body.append(probe);
probe.style.background = 'canvas';
const canvas = rgba(getComputedStyle(probe).backgroundColor).slice(0, 3);
probe.remove();
const background = (element) => {
  if (!element) return canvas;
  const own = rgba(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own.slice(0, 3) : over(own, background(element.parentElement));
};
const luminance = (colour) => {
  const linear = colour.map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const found = [];
for (const element of document.querySelectorAll('body, body *')) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const style = getComputedStyle(element);
  const shown = element.getClientRects().length && style.visibility === 'visible';
  if (!own || !shown || ['SCRIPT', 'STYLE', 'TITLE'].includes(element.tagName)) continue;
  const below = background(element);
  const ink = rgba(style.color);
  let opacity = 1;
  for (let one = element; one; one = one.parentElement) opacity *= getComputedStyle(one).opacity;
  const text = over([ink[0], ink[1], ink[2], ink[3] * opacity], below);
  const [light, dark] = [luminance(text), luminance(below)].sort((a, b) => b - a);
  found.push([(light + 0.05) / (dark + 0.05), element.tagName, element.textContent.slice(0, 40)]);
}
return found;
"""
FOCUSABLE = """
[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter(
  (one) => one.checkVisibility())
"""


def test_nothing_goes_wrong_and_nothing_is_asked_for(browser, page):
    browser.open(page)
    assert browser.console() == []
    requested = browser.requested()
    assert requested[0] == page.as_uri()
    assert [url for url in requested if not url.startswith(("file://", "data:"))] == []


def test_a_request_and_an_error_would_be_seen(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<img src='http://127.0.0.1:9/none.png'><script>throw Error('wrong')</script>")
    browser.open(page)
    assert "http://127.0.0.1:9/none.png" in browser.requested()
    assert any("wrong" in line for line in browser.console())


def test_every_image_is_decoded(browser, page):
    browser.open(page)
    widths = browser.run(
        "const all = [...document.images]; all.forEach((one) => { one.loading = 'eager'; });"
        "return Promise.allSettled(all.map((one) => one.decode()))"
        ".then(() => all.map((one) => one.naturalWidth))"
    )
    assert all(widths)
    assert len(widths) == page.read_text().count("<img ")


@pytest.mark.parametrize("by", ["click", "keyboard"])
def test_a_heading_sorts(browser, scores, by):
    browser.open(scores)
    before = browser.run(CELLS, "psnr")
    assert len(before) == 3

    def activate():
        browser.run(FOCUS, "psnr")
        if by == "keyboard":
            browser.press(ENTER)
        else:
            browser.driver.switch_to.active_element.click()
        return browser.run(ORDER, "psnr"), [float(cell) for cell in browser.run(CELLS, "psnr")]

    orders = dict([activate(), activate()])
    assert orders["ascending"] == sorted(map(float, before))  # as numbers: 9.5 before 28
    assert orders["descending"] == sorted(map(float, before), reverse=True)


def test_a_filter_leaves_the_rows_that_have_its_words(browser, scores):
    browser.open(scores)
    browser.run("document.getElementById('filter').focus()")
    browser.press("ndm")
    assert [cell.split("-")[0] for cell in browser.run(CELLS, "case")] == ["ndm"]
    browser.press(" nothing")
    assert browser.run(CELLS, "case") == []


@pytest.mark.parametrize("size", [(375, 800), (1280, 900)], ids=["phone", "wide"])
def test_a_page_does_not_scroll_sideways(browser, page, size):
    browser.open(page, size=size)
    assert browser.run("return window.innerWidth") == size[0]
    assert browser.run("return document.scrollingElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser, page, scheme):
    browser.open(page, scheme=scheme)
    found = browser.run(CONTRAST)
    assert len(found) > 10
    assert [one for one in found if one[0] < 4.5] == []


def test_the_contrast_is_that_of_the_standard(browser, tmp_path):
    page = tmp_path / "gray.html"
    page.write_text(
        "<body style='background: white'><p style='color: #777'>gray"
        "<p style='color: #000'>black<p style='color: #000; opacity: 0.5'>faint"
    )
    browser.open(page)
    ratios = {words: ratio for ratio, _, words in browser.run(CONTRAST)}
    assert ratios["gray"] == pytest.approx(4.48, abs=0.01)
    assert ratios["black"] == pytest.approx(21)
    assert ratios["faint"] == pytest.approx(3.98, abs=0.06)  # 127.5 of 255, rounded either way


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_keys_reach_everything_and_focus_shows(browser, page, scheme):
    browser.open(page, scheme=scheme)
    count = browser.run(f"return {FOCUSABLE.strip()}.length")
    reached = set()
    for _ in range(count):
        browser.press(TAB)
        place, outline = browser.run(
            f"const one = document.activeElement, style = getComputedStyle(one);"
            f"const all = {FOCUSABLE.strip()};"
            "return [all.indexOf(one), style.outlineStyle !== 'none' && "
            "parseFloat(style.outlineWidth) >= 1]"
        )
        assert outline, place
        reached.add(place)
    assert reached == set(range(count))


def test_paper_shows_every_table(browser, page):
    browser.open(page, media="print")
    assert browser.run("return matchMedia('print').matches")
    hidden = browser.run(
        "return [...document.querySelectorAll('table')].filter((one) => !one.offsetHeight || "
        "getComputedStyle(one).visibility !== 'visible').length"
    )
    assert hidden == 0
    clipped = browser.run(
        "return [...document.querySelectorAll('table')].filter((one) => "
        "getComputedStyle(one.parentElement).overflowX !== 'visible').length"
    )
    assert clipped == 0
