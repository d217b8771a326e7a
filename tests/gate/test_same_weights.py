"""The same weights and seeds: equal but for rounding, and what changed is named by image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gate_records import CASES, metric, record, row_of, snapshot, with_record

from invbench.exit_codes import ExitCode
from invbench.gate import TOLERANCES, Verdict, compare
from invbench.gate.identities import same_subject

DESTROYED = {"psnr": 10.0, "ssim": 0.2, "lpips_random": 0.4}


def with_scores(plain, images, value_of):
    """Replace the scores of some images; ``value_of(metric, score)`` is the new one."""
    validity = {}
    for name, old in plain.validity.items():
        values = np.array(old.per_image)
        values[images] = [value_of(name, values[image]) for image in images]
        validity[name] = metric(values, old.higher_is_better)
    return replace(plain, validity=validity)


def moved(images, psnr, **identity):
    """Make a record whose PSNR of some images moved by so many dB, and nothing else."""
    return with_scores(
        record(**identity), images, lambda name, x: x + psnr if name == "psnr" else x
    )


class TestSubject:
    def test_the_same_checkpoint_is_the_same_and_another_is_not(self):
        assert same_subject(record(checkpoint="a"), record(checkpoint="a"))
        assert not same_subject(record(checkpoint="a"), record(checkpoint="b"))

    def test_a_sampler_of_one_s_own_is_known_by_the_digest_of_its_source(self):
        def own(**model):
            identity = dict(record().identity) | {"model": {"name": "mine", **model}}
            return replace(record(), identity=identity)

        assert same_subject(own(source_sha256="x"), own(source_sha256="x"))
        assert not same_subject(own(source_sha256="x"), own(source_sha256="y"))
        assert not same_subject(own(source="mine:load"), own(source="mine:load"))


class TestVerdicts:
    def test_the_same_run_is_identical(self):
        report = with_record(record())
        assert {row.verdict for row in report.rows} == {Verdict.IDENTICAL}
        assert report.passed
        assert report.exit_code is ExitCode.OK
        assert report.family_size == 0

    @pytest.mark.parametrize(
        ("dB", "verdict"), [(0.9, Verdict.IDENTICAL), (-0.9, Verdict.IDENTICAL)]
    )
    def test_what_another_machine_makes_of_it_is_identical(self, dB, verdict):  # noqa: N803
        report = with_record(moved([3], dB * TOLERANCES["psnr"].drift))
        assert row_of(report).verdict is verdict

    def test_one_image_of_sixteen_that_lost_more_than_tolerated_fails(self):
        report = with_record(moved([3], -1.2 * TOLERANCES["psnr"].loss))
        found = row_of(report)
        assert found.estimate < 0.1 * TOLERANCES["psnr"].loss  # the mean says nothing
        assert (found.verdict, found.images) == (Verdict.CHANGED, ("photo-3",))
        assert found.largest_loss == pytest.approx(1.2 * TOLERANCES["psnr"].loss, abs=1e-5)
        assert report.fails(found)
        assert report.exit_code is ExitCode.FAILED

    def test_a_change_within_the_tolerance_is_named_and_no_failure(self):
        report = with_record(moved([3, 5], -0.6 * TOLERANCES["psnr"].loss))
        found = row_of(report)
        assert (found.verdict, found.images) == (Verdict.CHANGED, ("photo-3", "photo-5"))
        assert not report.fails(found)
        assert report.exit_code is ExitCode.OK
        assert not report.passed  # it is not what passed means

    def test_if_no_changed_image_is_worse_it_is_improved(self):
        assert row_of(with_record(moved([3, 5], 0.5))).verdict is Verdict.IMPROVED
        both = with_scores(moved([3], 0.5), [4], lambda _, x: x - 0.2)
        assert row_of(with_record(both)).verdict is Verdict.CHANGED

    def test_a_gain_elsewhere_outweighs_no_loss(self):
        report = with_record(with_scores(moved([3], -1.0), [4, 5, 6, 7], lambda _, x: x + 5.0))
        assert row_of(report).estimate < 0
        assert report.exit_code is ExitCode.FAILED


class TestDestroyed:
    """From the first image destroyed, in one case or in all, the gate names it and fails."""

    @pytest.mark.parametrize("checkpoint", ["a", "b"], ids=["same weights", "other weights"])
    @pytest.mark.parametrize("cases", [CASES[:1], CASES], ids=["one case", "all cases"])
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
    def test_it_fails_from_the_first(self, count, cases, checkpoint):
        images = [2, 3, 5, 7, 11][:count]

        def destroyed(case):
            plain = record(case, n_images=12, checkpoint=checkpoint)
            return with_scores(plain, images, lambda name, _: DESTROYED[name])

        rest = [record(case, n_images=12) for case in CASES if case not in cases]
        before = snapshot("a", [record(case, n_images=12) for case in CASES])
        after = snapshot("b", [*map(destroyed, cases), *rest])
        report = compare(before, after)
        assert report.exit_code is ExitCode.FAILED
        for case in cases:
            found = row_of(report, case)
            assert found.verdict in (Verdict.LOST, Verdict.CHANGED, Verdict.REGRESSED)
            if found.verdict is not Verdict.REGRESSED:
                assert set(found.images) == {f"photo-{i}" for i in images}
        assert {row.case for row in report.losses} == set(cases)

    def test_lost_is_far_beyond_the_tolerance_and_beyond_the_row(self):
        within = moved([3], -7.9 * TOLERANCES["psnr"].loss)
        beyond = moved([3], -8.1 * TOLERANCES["psnr"].loss)
        assert row_of(with_record(within)).verdict is Verdict.CHANGED
        assert row_of(with_record(beyond)).verdict is Verdict.LOST

    def test_images_that_all_vary_so_much_are_not_lost(self):
        restless = record(noise=12.0, seed=1, checkpoint="b")
        assert row_of(with_record(restless)).largest_loss is None

    @pytest.mark.parametrize("n_images", [1, 4])
    def test_few_photographs_hide_nothing(self, n_images):
        report = with_record(moved([0], -5.0, n_images=n_images))
        assert report.exit_code is ExitCode.FAILED
