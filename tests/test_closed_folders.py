"""Folders that may not be entered, and names that no system takes, are named as such.

As the superuser enters every folder, a name that is too long stands for a closed one where files
are looked for: of both the system says neither yes nor no.
"""

from __future__ import annotations

import errno
import os

import pytest
from run_records import case_record, run_record

from invbench.cli import main
from invbench.errors import MissingDataError, UnreadableImageError
from invbench.exit_codes import ExitCode
from invbench.files import cannot_write, is_file, is_folder, is_there
from invbench.images import read_image
from invbench.runs.store import RunStore

LONG = "a" * 5000


def test_what_is_there_is_told_apart(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "lost").symlink_to("nowhere")
    names = ("file", ".", "fifo", "lost", "none", "file/none", "nul\0")
    paths = {name: tmp_path / name for name in names}
    assert [name for name, path in paths.items() if is_there(path)] == ["file", ".", "fifo"]
    assert [name for name, path in paths.items() if is_file(path)] == ["file"]
    assert [name for name, path in paths.items() if is_folder(path)] == ["."]


@pytest.mark.parametrize("ask", [is_there, is_file, is_folder])
def test_what_cannot_be_told_is_not_taken_for_absent(ask, tmp_path):
    with pytest.raises(MissingDataError, match="cannot be opened"):
        ask(tmp_path / LONG)


@pytest.fixture
def run(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    store.write_case(case_record())
    return store.folder


@pytest.mark.parametrize(
    "verb",
    [
        "report LONG -o x.md",
        "validate LONG",
        "compare LONG RUN",
        "compare RUN LONG",
        "rank LONG",
        "merge LONG -o new",
        "limits LONG x.toml",
        "limits RUN LONG",
        "baseline promote LONG",
        "baseline promote RUN --allow-incomplete --folder LONG",
        "paper LONG",
        "observe --task sr16 --images LONG -o new",
        "observe --task sr16 --images . -o LONG",
        "score LONG --task sr16 --observations . -o new",
        "train chimle sr16 --images LONG --steps 1",
        "import-checkpoint LONG --model chimle --task sr16",
    ],
)
def test_every_verb_names_it(verb, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_text("[slack]\npsnr = 1\n")
    places = {"RUN": str(run), "LONG": LONG}
    assert main([places.get(word, word) for word in verb.split()]) == ExitCode.MISSING
    assert "File name too long" in capsys.readouterr().err


def test_a_file_that_may_not_be_opened_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.touch()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(UnreadableImageError, match=r"cannot be opened \(Permission denied\)"):
        read_image(path)


def test_the_advice_is_about_what_the_system_says(tmp_path):
    def said(code):
        return str(cannot_write(tmp_path, OSError(code, os.strerror(code))))

    assert "make room" in said(errno.ENOSPC)
    assert "permission" in said(errno.EROFS)
    assert "name another place; what" in said(errno.EEXIST)
    assert said(errno.EIO).endswith("(Input/output error); what was stored before is intact")
