"""The action and the workflow call what exists, with every argument in its place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from invbench.cli import _parser
from invbench.suite.options import Options

ROOT = Path(__file__).parents[1]
ACTION = (ROOT / "action.yml").read_text()
WORKFLOWS = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").iterdir()}
ALL = "\n".join([ACTION, *WORKFLOWS.values()])

# Writes down its arguments, a line a call, and ends with the status that a test chose for a word.
PYTHON = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
for name in os.environ.get("WRITE", "").split():
    open(name, "a").write("# written\\n")
sys.exit(3 if os.environ.get("FAIL") in sys.argv else 0)
"""


def script(name, text=ACTION):
    """Return the commands of a step."""
    step = re.search(rf"- name: {name}\n(.*?)(?=\n\s+- |\Z)", text, flags=re.DOTALL)[1]
    return textwrap.dedent(step.partition("run: |\n")[2].partition("\n\n")[0])


@pytest.fixture
def run(tmp_path):
    """Run a step's commands as GitHub does, with a Python that only writes down its arguments."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=os.sys.executable))
    python.chmod(0o755)

    def call(name, **variables):
        text = script(name) if f"- name: {name}\n" in ACTION else name
        calls = tmp_path / "calls"
        calls.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],  # noqa: S607
            cwd=tmp_path,
            env=variables
            | {
                "PATH": f"{python.parent}:{os.environ['PATH']}",
                "CALLS": str(calls),
                "GITHUB_ACTION_PATH": "/an action",
                "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in calls.read_text().splitlines()]

    return call


MEASURE = {
    "SAMPLER": "mine=my_sampler:load\n\nother=my sampler:load\n",
    "SELECT": "mine and not sr16",
    "PROFILE": "tiny",
    "RESULTS": "my results",
    "ARGUMENTS": "--invbench-images 2  \n--invbench-seed=1\n",
}


def test_measure_hands_every_input_to_pytest(run):
    status, calls = run("Measure", **MEASURE)
    assert status == 0
    assert calls == [
        [
            *("-m", "pytest", "/an action/benchmarks/test_pairs.py"),
            "--junitxml=my results/junit.xml",
            *("--invbench-profile=tiny", "--invbench-results=my results", "--invbench-fresh"),
            "--invbench-sampler=mine=my_sampler:load",
            "--invbench-sampler=other=my sampler:load",
            *("-kmine and not sr16", "--invbench-images", "2", "--invbench-seed=1"),
        ]
    ]
    status, calls = run("Measure", **MEASURE | {"SAMPLER": "", "SELECT": "", "ARGUMENTS": ""})
    assert status == 0
    assert not [
        word for word in calls[0] if word.startswith(("-k", "--invbench-sampler")) or not word
    ]
    assert run("Measure", **MEASURE, FAIL="pytest")[0] == 3
    status, calls = run("Measure", **MEASURE | {"RESULTS": ""})  # junit.xml would go to the root
    assert (status, calls) == (1, [])


def test_report_goes_to_the_summary_and_the_run_is_validated(run, tmp_path):
    (tmp_path / "r s").mkdir()
    status, calls = run("Report", RESULTS="r s", BASELINE="", WRITE="")
    assert status != 0  # there is no report
    (tmp_path / "r s" / "report.md").write_text("# my report\n")
    status, calls = run("Report", RESULTS="r s", BASELINE="")
    assert status == 0
    assert (tmp_path / "summary.md").read_text() == "# my report\n"
    page, report, validate = (_parser().parse_args(call[2:]) for call in calls)
    assert (report.folder, validate.paths) == (Path("r s"), [Path("r s")])
    assert [path.suffix for path in report.output] == [".md", ".csv"]
    assert (page.output, page.baseline) == ([Path("r s/report.html")], None)
    _, calls = run("Report", RESULTS="r s", BASELINE="base line")
    assert _parser().parse_args(calls[0][2:]).baseline == Path("base line")


COMPARE = {"RESULTS": "r", "BASELINE": "base line", "RELEASE": "", "GATE": "warn", "SELECT": ""}


def test_compare_ends_with_its_own_status_and_shows_what_it_found(run, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "gate.md").write_text("# gate\n")
    status, calls = run("Compare", **COMPARE, FAIL="compare")
    assert status == 3
    assert (tmp_path / "summary.md").read_text() == "# gate\n"
    assert run("Compare", **COMPARE)[0] == 0
    (arguments,) = (_parser().parse_args(call[2:]) for call in calls)
    assert (arguments.baseline, arguments.candidate) == (Path("base line"), Path("r"))
    assert (arguments.gate, arguments.markdown) == ("warn", Path("r/gate.md"))
    assert not arguments.allow_missing


def test_what_was_not_selected_is_not_missing(run):
    _, calls = run("Compare", **COMPARE | {"SELECT": "mine"})
    assert _parser().parse_args(calls[0][2:]).allow_missing


def test_a_release_is_compared_with_as_well_and_either_fails(run, tmp_path):
    (tmp_path / "r").mkdir()
    for name in ("gate", "gate-release"):
        (tmp_path / "r" / f"{name}.md").write_text(f"# {name}\n")
    status, calls = run("Compare", **COMPARE | {"RELEASE": "re lease"})
    arguments = [_parser().parse_args(call[2:]) for call in calls]
    assert [found.baseline for found in arguments] == [Path("base line"), Path("re lease")]
    assert (status, (tmp_path / "summary.md").read_text()) == (0, "# gate\n# gate-release\n")
    for worse in ("base line", "re lease"):
        assert run("Compare", **COMPARE | {"RELEASE": "re lease"}, FAIL=worse)[0] == 3


def test_what_begins_as_an_option_stays_a_value(run, tmp_path):
    """A baseline named ``--help`` would have the comparison end with success."""
    odd = {"RESULTS": "--version", "BASELINE": "--help", "RELEASE": "-h"}
    _, calls = run("Measure", **MEASURE | odd | {"SELECT": "--co", "PROFILE": "--co"})
    assert not {"--version", "--co"} & set(calls[0])
    _, calls = run("Compare", **COMPARE | odd)
    arguments = [_parser().parse_args(call[2:]) for call in calls]
    assert [found.baseline for found in arguments] == [Path("--help"), Path("-h")]
    (tmp_path / "--version").mkdir()
    (tmp_path / "--version" / "report.md").write_text("# my report\n")
    status, calls = run("Report", RESULTS="--version", BASELINE="--help")
    assert status == 0
    page, report, validate = (_parser().parse_args(call[2:]) for call in calls)
    assert page.folder == report.folder == Path("--version")
    assert (page.baseline, validate.paths) == (Path("--help"), [Path("--version")])


def test_every_option_of_pytest_exists():
    named = set(re.findall(r"--invbench-([a-z-]+)", ALL))
    assert named >= {"profile", "results", "sampler", "fresh", "device"}
    assert named <= {name.replace("_", "-") for name in Options.__dataclass_fields__}


def test_every_verb_exists():
    named = set(re.findall(r"python -m invbench (\w+)", ALL))
    assert named == {"report", "validate", "compare"}
    for verb in named:
        assert (ROOT / "invbench" / "verbs" / f"{verb}.py").is_file()


def test_inputs_are_declared_and_used_through_the_environment_alone():
    """An input inside a script would be run as part of it."""
    declared = set(
        re.findall(r"^  (\w+):\n    description", ACTION.partition("outputs:")[0], re.MULTILINE)
    )
    used = set(re.findall(r"inputs\.(\w+)", ACTION))
    assert declared == used
    texts = [ACTION, *WORKFLOWS.values()]
    scripts = [
        script(name, text)
        for text in texts
        for name in re.findall(r"- name: (.*)", text)
        if "run: |" in text.partition(f"- name: {name}\n")[2].partition("- name:")[0]
    ]
    assert len(scripts) == 9
    for text in scripts:
        assert "${{" not in text
        assert subprocess.run(["bash", "-nc", text], check=False).returncode == 0  # noqa: S607
    for text in WORKFLOWS.values():
        given = re.search(r"uses: \./\n\s+with:\n((?:\s+\w+: .*\n)+)", text)[1]
        assert set(re.findall(r"(\w+):", given.replace("${{", ""))) <= declared


def test_no_request_reaches_a_machine_of_ours():
    """A request brings its own workflow, so only one that it cannot start may name a machine."""
    own = [name for name, text in WORKFLOWS.items() if "self-hosted" in text]
    assert own == ["gpu"]
    started = WORKFLOWS["gpu"].partition("\non:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\w+):", started, re.MULTILINE) == ["workflow_dispatch"]
    assert "github.ref == 'refs/heads/main'" in WORKFLOWS["gpu"]
    assert "ref: ${{ inputs.commit }}" in WORKFLOWS["gpu"]
    assert "pull_request_target" not in ALL
    assert "secrets." not in ALL
    assert "label" not in ALL


def test_nothing_cancels_what_was_started_by_hand():
    assert "cancel-in-progress: false" in WORKFLOWS["gpu"]


def test_actions_are_pinned_and_leave_no_credentials():
    used = re.findall(r"uses: (.*)", ALL)
    foreign = [use for use in used if use != "./"]
    assert len(foreign) == 5
    for use in foreign:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
    assert ALL.count("actions/checkout@") == ALL.count("persist-credentials: false") == 2


@pytest.mark.parametrize(
    ("commit", "status"),
    [("0123456789abcdef0123456789abcdef01234567", 0), ("main", 1), ("0123456", 1), ("", 1)],
)
def test_only_a_whole_sha_is_measured(run, commit, status):
    text = script("Refuse what is no commit", WORKFLOWS["gpu"])
    assert run(text, COMMIT=commit)[0] == status


class TestBaseline:
    """A request may not take the baseline away that it is held against."""

    def find(self, folder, before, after, base="main"):
        """Return the step's status and output in a clone whose origin has ``before``."""

        def git(*arguments):
            who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
            subprocess.run(["git", *who, *arguments], cwd=folder, check=True)  # noqa: S607

        file = folder / "fixtures" / "baselines" / "cpu" / "tiny.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"cases": dict.fromkeys(before)}))
        git("init", "--quiet", "--initial-branch=main")
        git("add", ".")
        git("commit", "--quiet", "--message=before")
        git("remote", "add", "origin", str(folder))
        if after is None:
            file.unlink()
        else:
            file.write_text(json.dumps({"cases": dict.fromkeys(after)}))
        text = WORKFLOWS["benchmark"]
        check = textwrap.dedent(re.search(r"CHECK: \|\n(.*?)\n +run:", text, re.DOTALL)[1])
        (folder / "temp").mkdir()
        names = {"RUNNER_TEMP": "temp", "GITHUB_OUTPUT": "output", "BASE": base, "CHECK": check}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script("Find the baseline", text)],  # noqa: S607
            cwd=folder,
            env=os.environ | names,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def test_it_is_found(self, tmp_path):
        assert self.find(tmp_path, ["a", "b"], ["a", "b", "c"])[0] == 0
        assert (tmp_path / "output").read_text() == "file=fixtures/baselines/cpu/tiny.json\n"

    def test_a_branch_named_as_an_option_has_nothing_run(self, tmp_path):
        written = tmp_path / "written"
        base = f"--upload-pack=touch {written};git-upload-pack"
        assert self.find(tmp_path, ["a"], ["a"], base)[0] != 0
        assert not written.exists()

    def test_deleting_it_is_no_success(self, tmp_path):
        status, said = self.find(tmp_path, ["a", "b"], None)
        assert status == 1
        assert "nothing would be compared" in said

    def test_deleting_a_case_is_no_success(self, tmp_path):
        status, said = self.find(tmp_path, ["a", "b"], ["b"])
        assert status == 1
        assert "no longer in the baseline: a" in said


@pytest.mark.parametrize("text", [ACTION, *WORKFLOWS.values()], ids=["action", *WORKFLOWS])
def test_indentation_is_even_and_without_tabs(text):
    assert "\t" not in text
    for line in text.splitlines():
        assert (len(line) - len(line.lstrip())) % 2 == 0
        assert line == line.rstrip()
