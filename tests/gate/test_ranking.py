"""Models are told apart by photographs, all pairs together, in either direction."""

from __future__ import annotations

import numpy as np
import pytest
from gate_records import record, write_run
from scipy.stats import t

from invbench.cli import main
from invbench.errors import ConflictingRunsError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.gate import rank, rank_run

GROUPS = [f"photo-{i // 2}" for i in range(24)]


def scores(seed=0, **shifts):
    """Make scores of models on 24 crops of 12 photographs, each shifted, with noise of its own."""
    draws = np.random.default_rng(seed)
    common = draws.standard_normal(24)
    return {m: common + shift + 0.1 * draws.standard_normal(24) for m, shift in shifts.items()}


class TestRank:
    def test_the_best_come_first_whatever_the_direction(self):
        values = scores(a=0.0, b=1.0, c=2.0)
        up = rank(values, GROUPS, higher_is_better=True)
        down = rank(values, GROUPS, higher_is_better=False)
        assert up.tiers == (("c",), ("b",), ("a",))
        assert down.tiers == (("a",), ("b",), ("c",))
        assert [(p.better, p.worse) for p in up.pairs] == [("c", "b"), ("c", "a"), ("b", "a")]
        assert all(pair.p <= 0.05 and pair.photographs_missing == 0 for pair in up.pairs)

    def test_what_is_not_shown_is_tied(self):
        found = rank(scores(a=0.0, b=0.01, c=1.0), GROUPS, higher_is_better=True)
        assert found.tiers[0] == ("c",)
        assert set(found.tiers[1]) == {"a", "b"}

    def test_crops_of_one_photograph_are_one_witness(self):
        draws = np.random.default_rng(1)
        gain = 0.3 + 0.35 * np.repeat(draws.standard_normal(6), 8)
        values = {"a": np.zeros(48), "b": gain}
        crops = rank(values, [str(i) for i in range(48)], higher_is_better=True)
        photographs = rank(values, [str(i // 8) for i in range(48)], higher_is_better=True)
        assert crops.pairs[0].p < 0.05 < photographs.pairs[0].p
        assert (crops.n_photographs, photographs.n_photographs) == (48, 6)

    def test_more_models_need_more_evidence(self):
        few = scores(a=0.0, b=0.09)
        many = few | scores(seed=5, **{f"m{i}": 0.0 for i in range(8)})
        pair = {"a", "b"}

        def p(values):
            found = rank(values, GROUPS, higher_is_better=True)
            return next(one.p for one in found.pairs if {one.better, one.worse} == pair)

        assert p(many) > p(few)

    def test_photographs_missing_are_the_fewest_that_a_t_test_needs(self):
        values = scores(seed=2, a=0.0, b=0.02)
        (pair,) = rank(values, GROUPS, higher_is_better=True).pairs
        differences = (values["b"] - values["a"]).reshape(12, 2).mean(1)
        ratio = abs(differences.mean()) / (differences.std(ddof=1) / 12**0.5)

        def enough(n):
            # The bootstrap is asked at a tenth of .05, for two directions
            return ratio * (n / 12) ** 0.5 >= t.isf(0.0025, n - 1) + t.ppf(0.8, n - 1)

        wanted = 12 + pair.photographs_missing
        assert wanted > 13
        assert enough(wanted)
        assert not enough(wanted - 1)

    def test_equal_models_have_no_difference_to_show(self):
        values = scores(a=0.0)
        (pair,) = rank({"a": values["a"], "b": values["a"]}, GROUPS, higher_is_better=True).pairs
        assert (pair.p, pair.photographs_missing) == (1, None)

    @pytest.mark.parametrize(
        ("values", "groups"),
        [({"a": [1.0, 2.0]}, "xy"), ({"a": [1.0, 2.0], "b": [2.0, 1.0]}, "xx")],
    )
    def test_one_model_or_photograph_is_refused(self, values, groups):
        with pytest.raises(MissingDataError, match="two of each"):
            rank(values, list(groups), higher_is_better=True)

    def test_equal_models_are_seldom_told_apart(self):
        errors = 0
        for seed in range(60):
            found = rank(scores(seed=seed, a=0, b=0, c=0, d=0), GROUPS, higher_is_better=True)
            errors += any(pair.p <= 0.05 for pair in found.pairs)
        assert errors <= 8  # of 60 at .05 each, exceeded with probability .01


class TestRun:
    def test_each_task_and_score_is_a_family(self):
        cases = [record(f"{m}-{t}") for m in ("chimle", "ddrm") for t in ("sr16", "colorization")]
        found = rank_run({one.case_id: one for one in cases})
        names = {(one.task, one.score) for one in found}
        assert {("sr16", "psnr"), ("colorization", "ssim")} <= names
        assert all(set(one.means) == {"chimle", "ddrm"} for one in found)
        only = rank_run({one.case_id: one for one in cases}, scores=["psnr"])
        assert {one.score for one in only} == {"psnr"}

    def test_models_on_different_images_are_refused(self):
        cases = [record("chimle-sr16"), record("ddrm-sr16", data_sha256="other")]
        with pytest.raises(ConflictingRunsError, match="different images"):
            rank_run({one.case_id: one for one in cases})

    def test_the_verb_prints_tiers(self, tmp_path, capsys):
        cases = [record("chimle-sr16", shift={"psnr": 50.0}), record("ddrm-sr16")]
        folder = write_run(tmp_path / "run", cases)
        assert main(["rank", str(folder), "--score", "psnr"]) is ExitCode.OK
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("sr16 psnr, ")
        assert lines[1].startswith("  1. chimle ")
        assert lines[2].startswith("  2. ddrm ")
        assert main(["rank", str(folder), "--score", "psn"]) is ExitCode.USAGE
        assert "unknown score 'psn'; did you mean psnr" in capsys.readouterr().err
