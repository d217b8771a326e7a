"""The contract of a sampler: what breaks it is named, what keeps it is left in peace."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import dishonest
import numpy as np
import pytest
import torch

from invbench.data import DataSet
from invbench.data.photos import photos
from invbench.evaluation.contract import (
    DRAWS,
    Evidence,
    decided_by_row,
    depends_on_batch,
    draw_in_other_batches,
    duplicate_samples,
    features,
    find_breaches,
    global_states,
    irreproducible,
)
from invbench.evaluation.evaluate import evaluate
from invbench.evaluation.experiment import Experiment, Facts, Settings, Subject
from invbench.evaluation.sampling import observe
from invbench.machine import timing
from invbench.metrics import Metric, psnr
from invbench.models.cases import Case
from invbench.problems.tasks import get_task
from invbench.seeding import randn

TASK = get_task("colorization")
PROBLEM = TASK.problem((64, 64))
CPU = torch.device("cpu")


def run(sampler, *, n_images=9, n_samples=20, chunk_size=20, **facts):
    experiment = Experiment(
        case=Case("mine", TASK.name),
        task=TASK,
        subject=Subject(sampler, Facts(**facts)),
        data=DataSet("test", photos(64, n_images)),
        settings=Settings(n_samples=n_samples, chunk_size=chunk_size),
        metrics=METRICS,
    )
    return evaluate(experiment).record


METRICS = (Metric(name="psnr", unit="dB", higher_is_better=True, version="1", function=psnr),)


def names(record):
    return [breach.name for breach in record.contract]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Stop the clock; only pretended work moves it."""
    now = SimpleNamespace(seconds=0.0)

    def work(seconds):
        now.seconds += seconds

    monkeypatch.setattr(dishonest, "work", work)

    def read():
        now.seconds += 1e-9
        return now.seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=read))
    return now


SAID = {
    "upsampled": (["duplicate samples"], "under"),
    "leaked": (["duplicate samples"], "not tested"),
    "one_noisy": (["duplicate samples"], "under"),
    "random_colours": ([], "not tested"),
    "by_row": (["depends on its batch", "decided by row number"], "under"),
    "global_generator": (["irreproducible"], "under"),
    "batch_dependent": (["depends on its batch"], "under"),
    "null_space_noise": ([], "over"),
    "half_distinct": (["depends on its batch", "duplicate samples"], "under"),
    "honest": ([], "under"),
}


@pytest.mark.parametrize("name", SAID)
def test_each_way_to_look_good_is_told_by_a_column(name):
    record = run(dishonest.SAMPLERS[name](PROBLEM, CPU))
    assert (names(record), record.calibration.verdict) == SAID[name]
    assert record.status == "measured"


class Slow:
    """Lets every sample of another sampler take a millisecond of the stopped clock."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __call__(self, observation, generators):
        dishonest.work(0.001 * len(generators))
        return self.sampler(observation, generators)


def test_work_in_the_warm_up_shows_in_the_first_call():
    speed = run(Slow(dishonest.WarmUp(PROBLEM, CPU)), n_images=3).throughput
    assert speed.seconds_per_round == pytest.approx([0.02] * 3)
    assert speed.first_call_s == pytest.approx(0.02 + 20 * 12 * dishonest.WORK_S)
    assert not speed.keeps_results
    honest = run(Slow(dishonest.Honest(PROBLEM, CPU)), n_images=3).throughput
    assert honest.first_call_s == pytest.approx(0.02)


@pytest.mark.parametrize("n_images", [1, 3])
def test_a_memoiser_is_as_slow_as_it_is_and_noticed(n_images):
    record = run(Slow(dishonest.Memoiser(PROBLEM, CPU)), n_images=n_images)
    assert names(record) == []
    assert record.throughput.samples_per_second == pytest.approx(1 / 0.026)
    assert record.throughput.saved_by_repeating == pytest.approx(25 / 26)
    assert record.throughput.keeps_results
    honest = run(Slow(dishonest.Honest(PROBLEM, CPU)), n_images=n_images).throughput
    assert honest.saved_by_repeating == pytest.approx(0, abs=1e-3)


def test_no_timed_round_has_inputs_that_were_seen_before():
    seen = []

    class Recording(dishonest.Honest):
        def __call__(self, observation, generators):
            seen.append({generator.initial_seed() for generator in generators})
            return super().__call__(observation, generators)

    run(Recording(PROBLEM, CPU), n_images=3)
    warm_up, *rounds, again, others = seen
    assert len(set.union(warm_up, *rounds)) == 4 * 20
    assert again == rounds[0]
    assert len(others & again) == 10


@pytest.mark.parametrize(("n_samples", "chunk_size"), [(2, 1), (2, 2), (3, 2), (5, 20)])
def test_few_samples_in_small_chunks_are_checked_too(n_samples, chunk_size):
    sizes = {"n_images": 2, "n_samples": n_samples, "chunk_size": chunk_size}
    assert names(run(dishonest.Honest(PROBLEM, CPU), **sizes)) == []
    found = names(run(dishonest.ByRow(PROBLEM, CPU), **sizes))
    assert "depends on its batch" in found or "duplicate samples" in found


def test_a_sampler_that_says_it_is_deterministic_may_repeat_itself():
    assert names(run(dishonest.Upsampled(PROBLEM, CPU), n_images=2, stochastic="none")) == []
    assert names(run(dishonest.Upsampled(PROBLEM, CPU), n_images=2, stochastic="code")) != []


def images(seed=0, count=6):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def evidence(**changes):
    arguments = {
        "image_id": "here",
        "samples": images(),
        "again": images(),
        "touched": [],
        "batched": {5: images()[5], 0: images()[0]},
        "features": np.stack([features(images(seed)) for seed in range(5)]),
        "distinct": {"here": 6},
    }
    return Evidence(**arguments | changes)


class TestReproducibility:
    def test_equal_samples_are_no_breach(self):
        assert find_breaches(evidence()) == ()

    @pytest.mark.parametrize(("levels", "found"), [(1, False), (2, True)])
    def test_rounding_is_tolerated(self, levels, found):
        again = images()
        again[3] += levels / 255 - 1e-6
        assert (irreproducible(evidence(again=again)) is not None) is found
        batched = {3: again[3], 1: images()[1]}
        assert (depends_on_batch(evidence(batched=batched)) is not None) is found
        assert irreproducible(evidence(again=again, tolerance=4 / 255)) is None

    def test_a_breach_says_how_many_samples_changed_and_what_was_used(self):
        again = images()
        again[:2] = 1 - again[:2]
        found = irreproducible(evidence(again=again, touched=["torch", "numpy"]))
        assert found.seen.startswith("2 of 6 samples changed, by up to")
        assert found.seen.endswith("the global generator of torch and numpy was used")

    def test_samples_are_paired_by_their_index(self):
        """A check that compared row by row would call this a breach."""
        reverse = {k: images()[k] for k in (4, 2, 0)}
        assert depends_on_batch(evidence(batched=reverse)) is None
        swapped = {4: images()[2], 2: images()[4]}
        assert "2 of 2 samples changed" in depends_on_batch(evidence(batched=swapped)).seen

    def test_what_never_comes_twice_is_one_breach(self):
        other = images(9)
        found = find_breaches(evidence(again=other, batched={0: other[0]}))
        assert [breach.name for breach in found] == ["irreproducible"]

    def test_an_error_in_another_batch_is_a_breach(self):
        error = RuntimeError("needs 20 rows")
        assert "RuntimeError: needs 20 rows" in depends_on_batch(evidence(batched=error)).seen

    @pytest.mark.parametrize(
        ("use", "name"),
        [
            (lambda: torch.rand(1), "torch"),
            (np.random.rand, "numpy"),
            (random.random, "random"),
        ],
    )
    def test_use_of_a_global_generator_is_seen(self, use, name):
        before = global_states()
        assert global_states() == before
        use()
        after = global_states()
        assert [key for key in after if after[key] != before[key]] == [name]


class TestOtherBatches:
    def draw(self, sampler, **settings):
        seen = []

        def recording(observation, generators):
            seen.append((observation.clone(), [g.initial_seed() for g in generators]))
            return sampler(observation, generators)

        first, other = (observe(photo, PROBLEM, CPU) for photo in photos(64, 2))
        return draw_in_other_batches(recording, first, other, Settings(**settings)), seen, first

    def test_rows_come_in_another_order_beside_another_image(self):
        drawn, seen, first = self.draw(dishonest.Honest(PROBLEM, CPU), n_samples=9, chunk_size=4)
        assert list(drawn) == [8, 6, 4, 2, 0]
        assert [len(seeds) for _, seeds in seen] == [3, 3, 2]
        for observation, _ in seen:
            assert not torch.equal(observation[0], first.observation)
            assert all(torch.equal(row, first.observation) for row in observation[1:])

    def test_a_sampler_that_looks_at_one_row_alone_is_found(self):
        """All rows of a run are of one image; here the first is of another."""

        class FirstRow(dishonest.Honest):
            def __call__(self, observation, generators):
                return super().__call__(observation[:1].expand_as(observation), generators)

        assert names(run(FirstRow(PROBLEM, CPU), n_images=2)) == ["depends on its batch"]

    def test_whatever_a_sampler_raises_is_returned(self):
        def stubborn(*_):
            raise ZeroDivisionError

        drawn, *_ = self.draw(stubborn, n_samples=4, chunk_size=4)
        assert isinstance(drawn, ZeroDivisionError)


class TestDuplicates:
    def test_the_worst_image_is_named(self):
        found = duplicate_samples({"a": 20, "b": 10, "c": 19}, 20)
        assert found.seen == "10 of 20 samples of b are distinct, duplicates in 2 of 3 images"
        assert duplicate_samples({"a": 20, "b": 20}, 20) is None


class TestRows:
    def residuals(self, seed, *, common=0.0, n_images=12):
        """Draw residuals of which ``common`` is the share that all images have in common."""
        rng = np.random.default_rng(seed)
        own = rng.normal(size=(n_images, 20, 48))
        mixed = np.sqrt(common) * rng.normal(size=(20, 48)) + np.sqrt(1 - common) * own
        return mixed - mixed.mean(axis=1, keepdims=True)

    def test_false_alarms_are_as_rare_as_they_should_be(self):
        alarms = sum(decided_by_row(self.residuals(seed)) is not None for seed in range(300))
        assert alarms <= 3  # more with probability 0.0003, at a rate of 1 in 1000
        assert DRAWS == 999

    @pytest.mark.parametrize("common", [0.2, 1.0])
    def test_what_rows_have_in_common_is_found(self, common):
        found = decided_by_row(self.residuals(1, common=common))
        share = float(found.seen.rstrip("%")) / 100
        assert share == pytest.approx(common + (1 - common) / 12, abs=0.03)

    def test_rows_that_agree_within_images_only_are_not(self):
        """Samples of an image may be as alike as they like, and images as different."""
        level = np.arange(12.0)[:, None, None]
        assert decided_by_row(level * self.residuals(0)) is None

    def test_one_image_has_nothing_in_common_with_another(self):
        assert decided_by_row(self.residuals(0, common=1.0, n_images=1)) is None
        assert decided_by_row(self.residuals(0, common=1.0, n_images=2)) is not None
        assert decided_by_row(np.zeros((3, 20, 48))) is None

    def test_samples_that_are_kept_after_they_were_decided_by_row_are_found(self):
        """Drawn again in another batch these are the same, since they are remembered."""
        kept = {}

        class Remembering(dishonest.ByRow):
            def __call__(self, observation, generators):
                drawn = super().__call__(observation, generators)
                keys = [generator.initial_seed() for generator in generators]
                return torch.stack(
                    [kept.setdefault(k, x) for k, x in zip(keys, drawn, strict=True)]
                )

        assert names(run(Remembering(PROBLEM, CPU), n_images=4)) == ["decided by row number"]

    def test_features_count_every_image_alike(self):
        wide, narrow = (randn([torch.Generator().manual_seed(0)] * 1, (5, 3, 8, 8))[0],) * 2
        assert np.allclose(features(wide), features(narrow * 0.01 + 0.5), atol=1e-5)
        assert np.allclose(features(wide).mean(axis=0), 0)
        assert np.square(features(wide)).sum() == pytest.approx(1)
        assert not features(torch.ones(5, 3, 8, 8)).any()


def test_evidence_of_a_case_can_be_checked_one_by_one():
    """Another caller can leave a check out, or make one with evidence of its own."""
    found = find_breaches(replace(evidence(), distinct={"here": 5}))
    assert [breach.name for breach in found] == ["duplicate samples"]
