"""Names and reasons that come from anywhere forge nothing in what is printed and written."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tomllib
import unicodedata
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from run_records import case_record, run_record, timing_record

from invbench.cli import main
from invbench.escaping import csv_cell, error_text, html, markdown, plain, terminal, toml_key
from invbench.runs.store import RunStore

HOSTILE = [
    "a\n\n# forged heading",
    "a | b |\n| --- |\n| forged | row |",
    "- forged\n- list",
    "1. forged",
    "> forged",
    "---",
    "===",
    "```\nforged",
    "~~~\nforged",
    "    forged code",
    "![forged](https://example.org/x.png)",
    "[forged](javascript:alert(1))",
    "[forged]: https://example.org",
    "<https://example.org/forged>",
    "<b>forged</b><script>alert(1)</script><img src=x onerror=alert(1)>",
    "--><!-- forged",
    "**forged** __forged__ _forged_ *forged* ~~forged~~ `forged`",
    "&lt;b&gt; &#35; forged",
    "\\*forged\\* \\",
    "$\\color{red}{forged}$",
    "@somebody and www.example.org and https://example.org",
    '" onmouseover="alert(1)" class="forged',
    "{{ forged }} {% forged %}",
    "=1+1",
    "+1",
    "-1+forged",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\uff1d1+1",
    "a\rforged,row",
    "\x1b[2J\x1b[31mforged\x07\x9b1m",
    "\u202egnp.forged\u2066",
    "\u2028forged",
    "::error file=x::forged",
    "  ::stop-commands::forged",
    "##[error]forged",
    'a"]\n[forged]\nkey = 1\n["',
    "a.b.c",
    "\ud800 lone \x7f \x00",
    "caf\u00e9 \U0001f600",
]


def visible(text):
    return all(
        unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or c == "\u2060" for c in text
    )


def shape(text):
    """Return the tags that a Markdown text opens and closes, in order, and its plain text."""
    renderer = pytest.importorskip("markdown_it", reason="markdown-it-py judges Markdown")
    tokens = (
        renderer.MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .parse(text)
    )
    tags, words = [], []
    for token in tokens:
        tags.append(token.type)
        for child in token.children or ():
            tags += [child.type] * (child.type not in {"text", "text_special"})
            words.append(child.content)
    return tags, "".join(words)


@pytest.mark.parametrize("text", HOSTILE)
class TestOneText:
    @pytest.mark.parametrize("around", ["{}", "# {}", "- {}", "**{}**", "- a: {}"])
    def test_markdown_shows_it_and_has_no_other_shape(self, text, around):
        escaped = markdown(text)
        tags, words = shape(around.format(escaped))
        assert tags == shape(around.format("word"))[0]
        shown = plain(" ".join(text.split()))
        assert words.replace("\u2060", "").endswith(shown)
        assert "s://" not in escaped
        assert "www." not in escaped

    def test_markdown_keeps_it_in_its_cell(self, text):
        table = "| {} | b |\n| --- | --- |\n| {} | {} |"
        tags, _ = shape(table.format(*[markdown(text)] * 3))
        assert tags == shape(table.format(*["word"] * 3))[0]

    def test_html_is_text_and_an_attribute(self, text):
        found = []

        class Reader(HTMLParser):
            def handle_starttag(self, tag, attrs):
                found.append((tag, attrs))

            def handle_data(self, data):
                found.append(data)

        reader = Reader()
        reader.feed(f'<td class="{html(text)}">{html(text)}')
        reader.close()
        assert found == [("td", [("class", plain(text))]), plain(text)]

    def test_a_spreadsheet_gets_one_cell_of_text(self, text):
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerow([csv_cell(text), 1])
        content = stream.getvalue()
        assert visible(content.removesuffix("\n"))
        ((cell, one),) = csv.reader(io.StringIO(content))
        assert one == "1"
        assert cell.removeprefix("'") == plain(text)
        assert cell.lstrip()[0] not in "=+-@\uff1d\uff0b\uff0d\uff20"

    def test_toml_reads_the_same_key(self, text):
        (table,) = tomllib.loads(f"[tiny.{toml_key(text)}]\npsnr = 1")["tiny"].items()
        assert table == (text.replace("\ud800", "?"), {"psnr": 1})
        assert visible(toml_key(text))

    def test_a_terminal_gets_one_line_without_commands(self, text):
        line = terminal(text)
        assert visible(line)
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
        assert terminal(line) == line
        for told in error_text(ValueError(text)).split("\n")[1:]:
            assert told.startswith("  ")
            assert visible(told)
            assert not told.lstrip().startswith("::")


@pytest.fixture
def run(tmp_path):
    """Write a run in which all that can be a text is hostile."""
    store = RunStore(tmp_path / "a\n# run")
    everything = "\n".join(HOSTILE).encode("utf-8", "replace").decode()
    case = "a\n| # x] `b` [c](d) <i>"
    store.write_run(run_record(run_id=everything, profile='tiny"]\n[slack', created=everything))
    scores = {"psnr": np.full((2, 2), 28.0), "lpips_random": np.full((2, 2), 0.1)}
    first = case_record(case, status="failed", reason=everything, remarks=(everything,))
    store.write_case(first, scores)
    store.write_case(case_record("=cmd", not_measured={everything: everything}), scores)
    store.write_case(
        case_record("::error::x", status="skipped", reason=everything, validity={}, interval=None)
    )
    store.write_timing(timing_record(case, environment_key=everything))
    return store


PLAIN_TAGS = {
    "html",
    "head",
    "title",
    "body",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "strong",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
PLAIN_TAGS |= {
    "ul",
    "li",
    "code",
    "div",
    "a",
    "nav",
    "dl",
    "dt",
    "dd",
    "span",
    "section",
    "figure",
    "figcaption",
    "img",
}
PLAIN_TAGS |= {"input", "label", "button", "details", "summary"}
DRAWN_TAGS = {"svg", "defs", "g", "path", "use", "text", "clippath", "rect"}
LATEX_COMMANDS = {
    "begin",
    "end",
    "caption",
    "toprule",
    "midrule",
    "bottomrule",
    "textbf",
    "underline",
    "approx",
}
LATEX_COMMANDS |= {"textbackslash", "textasciitilde", "textasciicircum", "usepackage"}


class TestRun:
    def report(self, run, tmp_path, suffix):
        assert main(["report", str(run.folder), "-o", str(tmp_path / f"r.{suffix}")]) == 0
        return (tmp_path / f"r.{suffix}").read_text()

    def test_markdown(self, run, tmp_path, capsys):
        tags, words = shape(self.report(run, tmp_path, "md"))
        wanted = {"heading", "paragraph", "inline", "strong", "bullet_list", "list_item"}
        wanted |= {"table", "thead", "tbody", "tr", "th", "td"}
        assert {tag.removesuffix("_open").removesuffix("_close") for tag in tags} == wanted
        assert (
            tags.count("heading_open") == 6
        )  # title, failed, skipped, remarks, speed, environment
        assert tags.count("table_open") == 2
        assert tags.count("tr_open") == 2 + 2 + 1
        assert "forged" in words
        assert capsys.readouterr().out.count("\n") == 1

    def test_html_lets_nothing_in(self, run, tmp_path):
        text = self.report(run, tmp_path, "html")
        attributes, inside, policy = {}, {}, []

        class Reader(HTMLParser):
            def handle_starttag(self, tag, attrs):
                assert tag in PLAIN_TAGS | DRAWN_TAGS | {"meta", "style", "script"}
                for name, value in attrs:
                    attributes.setdefault(name, set()).add(value)
                if dict(attrs).get("http-equiv"):
                    policy.append(dict(attrs)["content"])

            def handle_data(self, data):
                if self.lasttag in ("style", "script") and data.strip():
                    inside.setdefault(self.lasttag, data)

        Reader().feed(text)
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert all(link.startswith("#") for link in attributes["href"])
        assert all(source.startswith("data:image/") for source in attributes.get("src", ()))
        digests = {
            tag: b64encode(sha256(part.encode()).digest()).decode() for tag, part in inside.items()
        }
        assert policy == [
            (
                f"default-src 'none'; img-src data:; style-src 'sha256-{digests['style']}'; "
                f"script-src 'sha256-{digests['script']}'; base-uri 'none'; form-action 'none'"
            )
        ]
        assert text.count("<script") == text.count("<style") == 1
        assert visible(text.replace("\n", ""))

    def test_latex(self, run, tmp_path):
        lines = self.report(run, tmp_path, "tex").splitlines()
        commands = set(re.findall(r"\\([a-zA-Z]+)", "\n".join(lines)))
        assert commands <= LATEX_COMMANDS
        rows = [line for line in lines if line.endswith(r" \\")]
        assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1

    def test_spreadsheet(self, run, tmp_path):
        text = self.report(run, tmp_path, "csv")
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == text.count("\n") == 4
        assert {len(row) for row in rows} == {len(rows[0])}
        assert rows[2][0] == "'=cmd"

    def test_limits(self, run, tmp_path):
        file = tmp_path / "limits.toml"
        file.write_text(
            "[slack]\npsnr = 1\nlpips_random = 1\ncoverage = 1\nwinkler = 1\ncrps = 1\n"
        )
        assert main(["limits", str(run.folder), str(file)]) == 0
        limits = tomllib.loads(file.read_text())
        assert set(limits) == {"slack", 'tiny"]\n[slack'}
        assert set(limits['tiny"]\n[slack']) == {"=cmd", "a\n| # x] `b` [c](d) <i>"}

    def test_gate(self, run, tmp_path, capsys):
        files = [tmp_path / "gate.md", tmp_path / "gate.json"]
        given = ["--markdown", str(files[0]), "--json", str(files[1])]
        main(["compare", str(run.folder), str(run.folder), *given])
        out = capsys.readouterr().out
        assert all(visible(line) and not line.startswith("::") for line in out.split("\n"))
        tags, _ = shape(files[0].read_text())
        assert tags.count("heading_open") == tags.count("table_open") == 1
        rows = len(json.loads(files[1].read_text())["rows"])
        assert tags.count("tr_open") == 1 + rows
        assert not {"link_open", "code_inline", "html_inline", "em_open", "image"} & set(tags)


def test_a_console_without_the_letters_shows_escapes(tmp_path):
    name = str(tmp_path / "caf\u00e9")
    for encoding in ("ascii", "iso8859-2", "utf-8"):
        done = subprocess.run(
            [sys.executable, "-m", "invbench", "validate", name],
            env={"PYTHONIOENCODING": encoding, "PATH": ""},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 4
        assert b"Traceback" not in done.stderr
