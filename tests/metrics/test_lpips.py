"""LPIPS against the package it is built on, and the search for its weights."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.error import URLError

import lpips
import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from invbench.errors import (
    CorruptCheckpointError,
    ForeignCheckpointError,
    InvalidImagesError,
    MissingDataError,
    RandomLpipsWarning,
    UnknownNameError,
)
from invbench.metrics import load_lpips, validity_metrics, weights
from invbench.metrics import lpips as lpips_module
from invbench.networks.weight_files import UnsafeCheckpointError, read_tensors
from invbench.suite import Options
from invbench.suite.loading import load_metrics

NETS = ("alex", "vgg", "squeeze")
DATA = Path(os.environ.get("INVBENCH_DATA", Path(__file__).parents[3] / "shared" / "data"))
FP16_SQUEEZE = DATA / "squeezenet1_1-fp16rounded-from-ncnn.npz"


@pytest.fixture(autouse=True)
def torch_home(tmp_path, monkeypatch):
    """Give each test an empty cache, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    return tmp_path / "torch" / "hub" / "checkpoints"


def no_network(url, *_, **__):
    raise URLError(f"no network for {url}")


@pytest.fixture(scope="module")
def random_lpips(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("empty")))
        patch.setattr(weights, "SHIPPED", {})
        return {net: load_lpips(net=net, offline=True) for net in NETS}


@cache
def stock(metric):
    """Build the package's own module, given the same trunk."""
    state = torch.random.get_rng_state()
    model = lpips.LPIPS(net=metric.net, pnet_rand=True, verbose=False)
    torch.random.set_rng_state(state)
    model.net.load_state_dict(metric.model.net.state_dict())
    return model


def pairwise(metric, reobservations, observation):
    model = stock(metric)
    with torch.no_grad():
        scores = [model(observation[None], y[None], normalize=True) for y in reobservations]
    return torch.cat(scores).flatten().double()


def pattern(channels, height, width):
    """Return an image of levels that no generator has a say in."""
    c, i, j = torch.meshgrid(*map(torch.arange, (channels, height, width)), indexing="ij")
    return ((c * 91 + i * i * 3 + j * 17 + i * j) % 256).float() / 255


def altered(image, samples=3):
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn((samples, *image.shape), generator=draws)
    return (image + 0.1 * noise).clamp(0, 1)


class TestLpips:
    @pytest.mark.parametrize("net", NETS)
    @pytest.mark.parametrize("size", [(3, 64, 64), (1, 31, 47)], ids=["rgb", "gray"])
    def test_it_equals_the_package_pair_by_pair(self, random_lpips, net, size):
        observation = pattern(*size)
        reobservations = altered(observation)
        scores = random_lpips[net](reobservations, observation)
        assert scores.dtype == torch.float64
        expected = pairwise(random_lpips[net], reobservations, observation)
        assert expected.min() > 1e-3
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)

    def test_images_in_minus_one_to_one_would_give_another_number(self, random_lpips):
        observation = pattern(3, 40, 40)
        reobservation = altered(observation, 1)
        metric = random_lpips["alex"]
        wrong = stock(metric)(observation[None], reobservation)
        assert abs(metric(reobservation, observation).item() - wrong.item()) > 1e-3
        with pytest.raises(InvalidImagesError, match="from_signed"):
            metric(reobservation * 2 - 1, observation * 2 - 1)

    def test_each_sample_is_compared_with_its_own_observation(self, random_lpips):
        metric = random_lpips["alex"]
        observations = torch.stack([pattern(3, 32, 40), pattern(3, 32, 40).flip(0)])
        reobservations = torch.stack([altered(x) for x in observations])
        scores = metric(reobservations, observations)
        assert scores.shape == (2, 3)
        for image in range(2):
            expected = pairwise(metric, reobservations[image], observations[image])
            torch.testing.assert_close(scores[image], expected, rtol=0, atol=1e-6)
        swapped = metric(reobservations, observations.flip(0))
        assert (swapped - scores).abs().min() > 1e-3

    def test_batches_and_other_samples_do_not_change_a_score(self, random_lpips, monkeypatch):
        metric = random_lpips["squeeze"]
        observation = pattern(3, 32, 32)
        reobservations = altered(observation, 7)
        whole = metric(reobservations, observation)
        alone = torch.cat([metric(y[None], observation) for y in reobservations])
        torch.testing.assert_close(alone, whole, rtol=0, atol=1e-7)
        for images in (1, 3, 8):
            monkeypatch.setitem(lpips_module._PIXELS_PER_CALL, "cpu", images * 32 * 32)
            cut = metric(reobservations, observation)
            torch.testing.assert_close(cut, whole, rtol=0, atol=1e-7)

    def test_identical_images_score_zero(self, random_lpips):
        observation = pattern(3, 64, 64)
        scores = random_lpips["alex"](observation.expand(2, -1, -1, -1), observation)
        assert scores.abs().max() < 1e-9

    @pytest.mark.parametrize("net", NETS)
    def test_the_smallest_side_is_what_the_trunk_can_read(self, random_lpips, net):
        metric = random_lpips[net]
        side = metric.smallest_side
        model = stock(metric)
        with pytest.raises(RuntimeError, match="too small"):
            model(torch.zeros(1, 3, side - 1, 64), torch.zeros(1, 3, side - 1, 64))
        assert model(pattern(3, side, 64)[None], torch.zeros(1, 3, side, 64)).isfinite()
        assert metric.enlargement(side, 64) == 1
        assert metric.enlargement(64, side - 1) == 2

    @pytest.mark.parametrize(("net", "factor"), [("alex", 4), ("vgg", 2), ("squeeze", 3)])
    def test_small_images_are_enlarged_by_a_whole_factor(self, random_lpips, net, factor):
        metric = random_lpips[net]
        observation = pattern(3, 8, 9)
        reobservations = altered(observation)
        assert metric.enlargement(8, 9) == factor
        large = [np.kron(x, np.ones((1, factor, factor))) for x in (reobservations, observation)]
        expected = pairwise(metric, *(torch.tensor(x).float() for x in large))
        torch.testing.assert_close(metric(reobservations, observation), expected, rtol=0, atol=1e-6)

    def test_two_channels_are_refused(self, random_lpips):
        with pytest.raises(InvalidImagesError, match="2 channels"):
            random_lpips["alex"](torch.zeros(1, 2, 32, 32), torch.zeros(2, 32, 32))

    def test_shapes_that_do_not_fit_are_refused(self, random_lpips):
        with pytest.raises(InvalidImagesError, match="do not fit"):
            random_lpips["alex"](torch.zeros(4, 2, 3, 32, 32), torch.zeros(2, 3, 32, 32))

    def test_reduced_precision_is_not_obeyed(self, random_lpips):
        metric = random_lpips["alex"]
        observation = pattern(3, 64, 64)
        reobservations = altered(observation)
        expected = metric(reobservations, observation)
        convolutions = torch.backends.mkldnn.conv
        before = convolutions.fp32_precision
        try:
            convolutions.fp32_precision = "bf16"
            with torch.autocast("cpu", dtype=torch.bfloat16):
                scores = metric(reobservations, observation)
            assert convolutions.fp32_precision == "bf16"
        finally:
            convolutions.fp32_precision = before
        assert torch.equal(scores, expected)

    def test_inputs_are_left_as_they_were(self, random_lpips):
        observation = pattern(3, 32, 32)
        reobservations = altered(observation)
        copies = reobservations.clone(), observation.clone()
        random_lpips["alex"](reobservations, observation)
        assert torch.equal(reobservations, copies[0])
        assert torch.equal(observation, copies[1])


class TestKnownAnswers:
    """Numbers kept from the package ``lpips`` 0.1.4 with the same trunks, pair by pair."""

    OBSERVATION = pattern(3, 48, 40)
    REOBSERVATION = pattern(3, 48, 40).flip(-1)[None]

    @pytest.mark.parametrize(
        ("net", "score"), [("alex", 0.10318963), ("vgg", 0.13798368), ("squeeze", 0.13729703)]
    )
    def test_a_random_trunk_gives_the_same_number_everywhere(self, random_lpips, net, score):
        found = random_lpips[net](self.REOBSERVATION, self.OBSERVATION).item()
        assert found == pytest.approx(score, abs=1e-6)

    def test_the_half_precision_squeezenet_gives_its_number(self):
        if not FP16_SQUEEZE.is_file():
            pytest.skip(f"no weights at {FP16_SQUEEZE}; set INVBENCH_DATA")
        metric = load_lpips(net="squeeze", weights=FP16_SQUEEZE)
        assert metric.name == "lpips_squeeze_fp16"
        assert metric.reason == ""
        found = metric(self.REOBSERVATION, self.OBSERVATION).item()
        assert found == pytest.approx(0.10528969, abs=1e-6)
        expected = pairwise(metric, self.REOBSERVATION, self.OBSERVATION)
        assert found == pytest.approx(expected.item(), abs=1e-6)

    def test_the_shipped_alexnet_gives_what_torchvisions_layers_and_the_heads_give(self):
        metric = load_lpips(offline=True)
        assert (metric.name, metric.reason) == ("lpips", "")
        found = metric(self.REOBSERVATION, self.OBSERVATION).item()
        expected = by_torchvision(self.REOBSERVATION[0], self.OBSERVATION)
        assert expected > 0.05
        assert found == pytest.approx(expected, abs=1e-6)


def by_torchvision(one, other):
    """Compute LPIPS from torchvision's own AlexNet, the file's tensors, and the learned heads."""
    network = torchvision.models.alexnet(weights=None).features
    state = load_file(weights.SHIPPED["alex"])
    network.load_state_dict({key.removeprefix("features."): v for key, v in state.items()})
    heads = torch.load(
        Path(lpips.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu", weights_only=True
    )
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    features = [((2 * image - 1 - shift) / scale)[None] for image in (one, other)]
    total, head = 0.0, iter(heads.values())
    with torch.no_grad():
        for layer in network[:12]:
            features = [layer(feature) for feature in features]
            if isinstance(layer, torch.nn.ReLU):
                unit = [f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10) for f in features]
                squares = (unit[0] - unit[1]).square()
                total += (squares * next(head)).sum(1).mean().item()
    return total


class TestRandomTrunk:
    def test_it_is_named_and_says_why(self):
        metric = load_lpips(net="vgg", offline=True)
        assert metric.name == "lpips_random"
        assert "vgg16-397923af.pth" in metric.reason
        assert "downloads are off" in metric.reason

    def test_it_neither_reads_nor_moves_the_global_generator(self, random_lpips):
        torch.random.manual_seed(7)
        before = torch.random.get_rng_state()
        metric = load_lpips(net="squeeze", offline=True)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert metric.backbone_sha256 == random_lpips["squeeze"].backbone_sha256
        states = (m.model.state_dict() for m in (metric, random_lpips["squeeze"]))
        assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))

    @pytest.mark.parametrize(
        ("net", "digest"),
        [
            ("alex", "cbd46f88b52def04"),
            ("vgg", "3fa7fe5fc7fb0410"),
            ("squeeze", "499934a16945f71e"),
        ],
    )
    def test_its_weights_are_the_same_everywhere(self, random_lpips, net, digest):
        assert random_lpips[net].backbone_sha256[:16] == digest


@pytest.fixture
def torchvision_state(random_lpips):
    """Return a state of SqueezeNet as torchvision names it, with a classifier on top."""
    state = {
        f"features.{key.split('.', 1)[1]}": value.contiguous()
        for key, value in random_lpips["squeeze"].model.net.state_dict().items()
    }
    return state | {"classifier.1.weight": torch.zeros(10, 512, 1, 1)}


def write_npz(state, path):
    np.savez(path, **{key: value.numpy() for key, value in state.items()})


def write_legacy(state, path):
    """Write as torch did before 1.6, and as its zoo's files still are."""
    torch.save(state, path, _use_new_zipfile_serialization=False)


WRITERS = {
    ".pth": torch.save,
    ".legacy.pth": write_legacy,
    ".safetensors": save_file,
    ".npz": write_npz,
}


class TestWeights:
    @pytest.mark.parametrize("suffix", WRITERS)
    def test_every_format_gives_the_same_numbers(
        self, tmp_path, torchvision_state, random_lpips, suffix
    ):
        path = tmp_path / f"trunk{suffix}"
        WRITERS[suffix](torchvision_state, path)
        metric = load_lpips(net="squeeze", weights=path)
        assert metric.name == "lpips_custom"
        assert metric.backbone_sha256 == random_lpips["squeeze"].backbone_sha256
        pair = altered(pattern(3, 32, 32)), pattern(3, 32, 32)
        assert torch.equal(metric(*pair), random_lpips["squeeze"](*pair))

    @pytest.mark.parametrize("suffix", WRITERS)
    @pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
    def test_a_damaged_file_is_named(self, tmp_path, torchvision_state, suffix, damage):
        path = tmp_path / f"trunk{suffix}"
        WRITERS[suffix](torchvision_state, path)
        content = path.read_bytes()
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "text": b"not weights", "empty": b""}[
                damage
            ]
        )
        with pytest.raises(CorruptCheckpointError, match=path.name):
            load_lpips(net="squeeze", weights=path)

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @pytest.mark.parametrize("suffix", WRITERS)
    def test_no_damage_shows_as_another_error(self, tmp_path, suffix):
        path = tmp_path / f"trunk{suffix}"
        WRITERS[suffix]({"features.0.weight": torch.ones(4, 3)}, path)
        content, draws = path.read_bytes(), np.random.default_rng(0)
        refused = 0
        for trial in range(400):
            damaged = bytearray(
                content if trial % 3 else content[: draws.integers(1, len(content))]
            )
            for _ in range(draws.integers(1, 9)):
                damaged[draws.integers(len(damaged))] = draws.integers(256)
            try:
                path.write_bytes(damaged)
                read_tensors(path)
            except (CorruptCheckpointError, UnsafeCheckpointError):
                refused += 1
        assert refused > 50

    def test_an_array_in_place_of_an_archive_is_refused(self, tmp_path):
        with (tmp_path / "trunk.npz").open("wb") as file:
            np.save(file, np.ones(3))
        with pytest.raises(CorruptCheckpointError, match=r"trunk\.npz"):
            load_lpips(weights=tmp_path / "trunk.npz")

    def test_pickled_code_is_not_run(self, tmp_path):
        path = tmp_path / "trunk.pth"
        torch.save({"features.0.weight": Path}, path)
        with pytest.raises(UnsafeCheckpointError, match=r"trunk\.pth"):
            load_lpips(net="squeeze", weights=path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(MissingDataError, match=r"nowhere\.pth"):
            load_lpips(weights=tmp_path / "nowhere.pth")

    def test_weights_of_another_trunk_are_refused_with_the_right_one(
        self, tmp_path, torchvision_state
    ):
        save_file(torchvision_state, tmp_path / "trunk.safetensors")
        with pytest.raises(ForeignCheckpointError, match="choose net='squeeze'"):
            load_lpips(net="alex", weights=tmp_path / "trunk.safetensors")

    @pytest.mark.parametrize(
        "change",
        [
            lambda state: state.pop("features.3.squeeze.bias"),
            lambda state: state.update({"features.99.weight": torch.zeros(1)}),
            lambda state: state.update({"features.0.bias": torch.zeros(63)}),
        ],
        ids=["missing", "unexpected", "shape"],
    )
    def test_a_state_that_does_not_fit_is_refused(self, tmp_path, torchvision_state, change):
        change(torchvision_state)
        save_file(torchvision_state, tmp_path / "trunk.safetensors")
        with pytest.raises(ForeignCheckpointError, match="of no known trunk"):
            load_lpips(net="squeeze", weights=tmp_path / "trunk.safetensors")

    @pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {3: torch.zeros(1)}], ids=str)
    def test_a_file_of_something_else_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "trunk.pth")
        with pytest.raises(ForeignCheckpointError, match="dictionary of tensors"):
            load_lpips(weights=tmp_path / "trunk.pth")

    def test_weights_that_give_no_finite_distance_are_refused(self, tmp_path, torchvision_state):
        large = {name: value * 1e36 for name, value in torchvision_state.items()}
        torch.save(large, tmp_path / "large.pth")
        with pytest.raises(CorruptCheckpointError, match="no distance is finite"):
            load_lpips(net="squeeze", weights=tmp_path / "large.pth")

    def test_weights_that_are_not_finite_are_refused(self, tmp_path, torchvision_state):
        torchvision_state["features.0.bias"] = torch.full((64,), torch.nan)
        save_file(torchvision_state, tmp_path / "trunk.safetensors")
        with pytest.raises(CorruptCheckpointError, match=r"features\.0\.bias is not finite"):
            load_lpips(net="squeeze", weights=tmp_path / "trunk.safetensors")

    def test_an_unknown_trunk_is_named(self):
        with pytest.raises(UnknownNameError, match="did you mean alex"):
            load_lpips(net="alexnet")


class TestOfficialWeights:
    @pytest.fixture
    def official(self, tmp_path, torchvision_state, monkeypatch):
        """Make a file and have it pinned as the official one of SqueezeNet."""
        torch.save(torchvision_state, tmp_path / "official.pth")
        content = (tmp_path / "official.pth").read_bytes()
        pinned = replace(weights.TRUNKS["squeeze"], sha256=sha256(content).hexdigest())
        monkeypatch.setitem(weights.TRUNKS, "squeeze", pinned)
        return pinned.file, content

    @pytest.mark.parametrize("suffix", WRITERS)
    def test_alexnet_is_known_by_its_tensors_in_whatever_file(self, tmp_path, suffix):
        state = load_file(weights.SHIPPED["alex"])
        path = tmp_path / f"renamed{suffix}"
        WRITERS[suffix](state | {"classifier.1.weight": torch.zeros(2, 2)}, path)
        metric = load_lpips(weights=path)
        assert metric.name == "lpips"
        assert metric.backbone_sha256 == load_lpips().backbone_sha256

    def test_one_other_value_in_a_million_is_another_network(self, tmp_path):
        state = load_file(weights.SHIPPED["alex"])
        state["features.10.weight"][0, 0, 0, 0] += 1e-6
        save_file(state, tmp_path / "alexnet-owt-7be5be79.safetensors")
        assert load_lpips(weights=tmp_path / "alexnet-owt-7be5be79.safetensors").name == (
            "lpips_custom"
        )

    @pytest.mark.parametrize("digits", [8, 16])
    def test_a_file_with_the_right_first_digits_is_not_official(
        self, tmp_path, official, monkeypatch, digits
    ):
        genuine = sha256(official[1]).hexdigest()
        forged = genuine[:digits] + "0" * (64 - digits)
        monkeypatch.setitem(
            weights.TRUNKS, "squeeze", replace(weights.TRUNKS["squeeze"], sha256=forged)
        )
        (tmp_path / "forged.pth").write_bytes(official[1])
        assert load_lpips(net="squeeze", weights=tmp_path / "forged.pth").name == "lpips_custom"

    def test_every_pinned_digest_is_whole(self):
        pinned = [trunk.sha256 for trunk in weights.TRUNKS.values()]
        for digest in [*pinned, *weights._KNOWN_TENSORS]:
            assert len(bytes.fromhex(digest)) == 32
        for trunk in weights.TRUNKS.values():
            assert trunk.sha256.startswith(Path(trunk.file).stem.rpartition("-")[2])

    def test_they_are_taken_from_the_cache(self, torch_home, official):
        file, content = official
        torch_home.mkdir(parents=True)
        (torch_home / file).write_bytes(content)
        metric = load_lpips(net="squeeze", offline=True)
        assert (metric.name, metric.reason) == ("lpips_squeeze", "")

    def test_their_name_is_in_their_bytes_not_in_the_name_of_the_file(self, tmp_path, official):
        (tmp_path / "renamed.pth").write_bytes(official[1])
        assert load_lpips(net="squeeze", weights=tmp_path / "renamed.pth").name == "lpips_squeeze"

    def test_a_cached_file_with_other_bytes_is_refused(self, torch_home, torchvision_state):
        torch_home.mkdir(parents=True)
        torch.save(torchvision_state, torch_home / "squeezenet1_1-b8a52dc0.pth")
        with pytest.raises(CorruptCheckpointError, match="delete the file"):
            load_lpips(net="squeeze", offline=True)

    def test_they_are_downloaded_once_and_held_against_the_whole_digest(
        self, torch_home, official, monkeypatch
    ):
        file, content = official
        asked = []

        def download(url, path, *, hash_prefix, **_):
            asked.append((url, hash_prefix))
            Path(path).write_bytes(content)

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        names = [load_lpips(net="squeeze").name for _ in range(2)]
        assert names == ["lpips_squeeze"] * 2
        url = f"https://download.pytorch.org/models/{file}"
        assert asked == [(url, sha256(content).hexdigest())]
        assert (torch_home / file).read_bytes() == content

    @pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
    def test_a_failed_or_wrong_download_leaves_a_random_trunk_that_says_so(
        self, monkeypatch, error
    ):
        def download(*_, **__):
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        metric = load_lpips(net="squeeze")
        assert metric.name == "lpips_random"
        assert "download failed" in metric.reason
        assert str(error.args[0]) in metric.reason

    def test_nothing_is_fetched_offline_or_for_what_is_shipped(self, monkeypatch):
        monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_: pytest.fail("online"))
        assert load_lpips(net="squeeze", offline=True).name == "lpips_random"
        assert load_lpips().name == "lpips"


def test_a_run_that_falls_back_to_random_weights_warns():
    options = Options(lpips_net="vgg")
    with pytest.warns(RandomLpipsWarning, match=r"lpips_random.*vgg16-397923af\.pth"):
        load_metrics(options, torch.device("cpu"), offline=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_metrics(Options(), torch.device("cpu"), offline=True)


class TestValidityMetrics:
    def test_names_units_and_versions(self, random_lpips):
        metrics = validity_metrics(random_lpips["alex"])
        assert [(m.name, m.unit, m.version) for m in metrics] == [
            ("psnr", "dB", "1"),
            ("ssim", "", "1"),
            ("lpips_random", "", "0.1"),
        ]

    def test_more_noise_is_worse_in_the_direction_that_each_states(self, random_lpips):
        observation = torch.nn.functional.interpolate(pattern(3, 6, 6)[None], 48)[0]
        draws = torch.Generator().manual_seed(0)
        noise = torch.randn(observation.shape, generator=draws)
        reobservations = torch.stack([(observation + s * noise).clamp(0, 1) for s in (0.01, 0.1)])
        for metric in validity_metrics(random_lpips["alex"]):
            little, much = metric.function(reobservations, observation).tolist()
            assert (little > much) == metric.higher_is_better, metric.name
