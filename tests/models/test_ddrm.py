"""DDRM and DDRM-JPEG: whole published runs, exact variances, and what each step guarantees."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.models.configurations.ddrm import (
    METHOD,
    OPERATORS,
    DdrmConfig,
    configure_ddrm,
    rename_official,
)
from invbench.models.ddrm import DdrmOptions, DdrmSampler, Restoration, noise_levels, restore
from invbench.models.ddrm_jpeg import DdrmJpegOptions, DdrmJpegSampler, restore_jpeg
from invbench.models.diffusion import (
    ALPHA_BARS,
    BETAS,
    PriorConfig,
    alpha_bar,
    as_denoiser,
    noise_level,
    predict_clean,
    time_pairs,
)
from invbench.models.jpeg_codec import JpegCodec
from invbench.models.natural import expected_noise, noise_spread, power_spectrum
from invbench.networks.guided_unet import GuidedUnet, GuidedUnetConfig
from invbench.networks.simple_unet import SimpleUnet
from invbench.operators import (
    Factors,
    LinearBicubic,
    LinearGray,
    PillowJpeg,
    PixelSVD,
    SeparableSVD,
    mirrored_bicubic_matrix,
)
from invbench.operators.jpeg import quantization_tables
from invbench.seeding import generator

LOOPS, MATRICES = "diffusion/ddrm_loops.safetensors", "diffusion/ddrm_operators.safetensors"
JPEG = "diffusion/ddrm_jpeg.safetensors"
SMALL = GuidedUnetConfig(
    channels=32, multipliers=(1, 1), blocks=1, attention_factors=(2,), head_channels=16
)
PRIOR = PriorConfig(network=SMALL)


def noise_share(std, time):
    """Return the factor of x_t that is the noise expected in it, for data N(0, std^2)."""
    signal = alpha_bar(time)
    return math.sqrt(1 - signal) / (std**2 * signal + 1 - signal)


def toy_denoiser(tensors):
    """Return the denoiser of the recorded runs: that of a Gaussian, and a little convolution."""

    def denoise(images, times):
        bent = torch.tanh(functional.conv2d(images, tensors["toy.W"], tensors["toy.b"], padding=1))
        return noise_share(0.5, int(times[0])) * images + 0.1 * bent

    return denoise


class Recorder:
    """A denoiser that remembers what it was given and what it returned."""

    def __init__(self, denoiser):
        self.denoiser = denoiser
        self.images, self.times, self.outputs = [], [], []

    def __call__(self, images, times):
        self.images.append(images)
        self.times.append(int(times[0]))
        self.outputs.append(self.denoiser(images, times))
        return self.outputs[-1]

    def clean(self):
        parts = zip(self.images, self.outputs, self.times, strict=True)
        return [predict_clean(*part) for part in parts]


class TestSchedule:
    def test_betas_are_the_published_ones(self, refs):
        assert torch.equal(refs(LOOPS)["betas"], BETAS)

    def test_noise_levels_of_20_steps_are_the_published_ones(self):
        found = [noise_level(time) for time, _ in reversed(time_pairs(20))]
        expected = (0.010, 0.176, 0.342, 0.522, 0.724, 0.958, 1.24, 1.59, 2.04, 2.64)
        expected += (3.44, 4.57, 6.17, 8.52, 12.0, 17.4, 25.7, 39.1, 60.8, 97.1)
        assert found == pytest.approx(expected, rel=6e-3)

    @pytest.mark.parametrize("steps", [1, 7, 20, 30, 999, 1000])
    def test_there_are_as_many_steps_as_asked_for_and_the_last_one_ends_at_the_image(self, steps):
        pairs = time_pairs(steps)
        assert len(pairs) == steps
        assert pairs[-1] == (0, -1)
        assert all(later[0] == earlier[1] for earlier, later in pairwise(pairs))

    def test_published_times_are_too_many_where_steps_do_not_divide(self):
        assert len(time_pairs(30, official=True)) == 31
        assert time_pairs(20, official=True) == time_pairs(20)


class TestPublishedRuns:
    RUNS = (
        ("sr4_noiseless", DdrmOptions(steps=10)),
        ("sr4_noisy", DdrmOptions(steps=10, sigma_y=0.1)),
        ("sr4_noisy_etaB09", DdrmOptions(steps=10, sigma_y=0.1, eta=0.6, eta_b=0.9)),
        ("color_noiseless", DdrmOptions(steps=10)),
        ("color_noisy", DdrmOptions(steps=10, sigma_y=0.1)),
        ("sr4_unet", DdrmOptions(steps=5)),
    )

    @pytest.mark.parametrize(("tag", "options"), RUNS)
    def test_every_step_is_the_published_one(self, refs, tag, options):
        tensors = {
            key.removeprefix(f"{tag}."): value
            for key, value in refs(LOOPS).items()
            if key.startswith((f"{tag}.", "toy."))
        }
        svd, size = published_svd(refs(MATRICES), tag)
        denoiser = Recorder(unet(refs) if tag == "sr4_unet" else toy_denoiser(tensors))
        draws = recorded_draws(tensors, options.steps)
        found = restore(
            denoiser,
            tensors["y0"].reshape(1, -1, *size),
            svd,
            noise=lambda shape: next(draws).reshape(1, *shape),
            options=replace(options, official=True),
        )
        assert next(draws, None) is None
        torch.testing.assert_close(torch.tensor(options.sigma_y), tensors["sigma_0_used"])
        assert torch.equal(torch.tensor(denoiser.times[::-1]), tensors["seq"])

        states = torch.stack([*denoiser.images[1:], found])
        expected = {
            "x_init": denoiser.images[0],
            "xs": states,
            "xs_last3": states[-3:],
            "x0s": torch.stack(denoiser.clean()),
            "x_final": found,
            "residual_final": flat_observation(svd, found) - tensors["y0"],
        }
        if options.sigma_y == 0:
            expected["y0"] = flat_observation(svd, refs(LOOPS)["x0"])
        for name in expected.keys() & tensors.keys():
            scale = max(1.0, tensors[name].abs().max())
            found = expected[name].expand_as(tensors[name])
            torch.testing.assert_close(found, tensors[name], rtol=0, atol=1e-5 * scale)

    @pytest.mark.parametrize("tag", ["sr4_16", "color"])
    def test_operators_are_the_published_ones(self, refs, tag):
        tensors = refs(MATRICES)
        svd, _ = published_svd(tensors, tag)
        images = tensors[f"{tag}.x"]
        spectrum = svd.v_transpose(images)
        s = svd.singular_values.float()
        observed = svd.u(s * spectrum[:, : len(s)])
        for name, found in {
            "Vt_x": spectrum,
            "Hx": observed,
            "pinv_Hx": from_observed(svd, 1 / s * svd.u_transpose(observed), images),
            "HtHx": from_observed(svd, s * svd.u_transpose(observed), images),
        }.items():
            if f"{tag}.{name}" in tensors:
                expected = tensors[f"{tag}.{name}"]
                torch.testing.assert_close(found.flatten(1), expected, rtol=1e-5, atol=1e-5)

    def test_spectrum_is_laid_out_as_published(self, refs):
        rows = Factors(torch.eye(4), torch.ones(4), torch.eye(16))
        svd = SeparableSVD(rows, rows, channels=1)
        spectrum = svd.v_transpose(torch.arange(256.0).reshape(1, 1, 16, 16))
        assert torch.equal(spectrum[0, :64].long(), refs(MATRICES)["sr4_16.perm"])

    @pytest.mark.parametrize("name", ["sr4_16", "sr16_64", "sr16_128", "sr16_512"])
    def test_official_kernel_is_the_published_one(self, refs, name):
        kernel = refs(MATRICES)[f"{name}.kernel"]
        factor = len(kernel) // 4
        inner = mirrored_bicubic_matrix(8, 8 * factor)[4]
        first = factor // 2 + 4 * factor - 2 * factor
        np.testing.assert_allclose(inner[first : first + len(kernel)], kernel, rtol=0, atol=1e-7)

    @pytest.mark.parametrize("name", ["sr4_16", "sr16_64", "sr16_128"])
    def test_official_bicubic_is_the_published_one(self, refs, name):
        tensors, (factor, size) = refs(MATRICES), map(int, name[2:].split("_"))
        matrix = mirrored_bicubic_matrix(size // factor, size)
        values = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(matrix, tensors[f"{name}.H_1d"], rtol=0, atol=1e-7)
        np.testing.assert_allclose(values, tensors[f"{name}.singulars_1d_raw"], rtol=1e-5)
        zeroed = torch.tensor((values < 3e-2).sum())
        assert torch.equal(zeroed, tensors[f"{name}.n_zeroed_1d"])

    def test_official_bicubic_at_512_is_the_published_one(self, refs):
        tensors, matrix = refs(MATRICES), mirrored_bicubic_matrix(32, 512)
        for row in (0, 16):
            expected = tensors[f"sr16_512.H_1d_row{row}"]
            np.testing.assert_allclose(matrix[row], expected, rtol=0, atol=1e-7)
        values = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(values, tensors["sr16_512.singulars_1d_raw"], rtol=1e-5)
        zeroed = torch.tensor((values < 3e-2).sum())
        assert torch.equal(zeroed, tensors["sr16_512.n_zeroed_1d"])


def published_svd(tensors, tag):
    """Return the decomposition with the recorded null-space basis, and the observation's size."""
    name, size = ("color", (16, 16)) if tag.startswith("color") else ("sr4_16", (4, 4))
    factors = Factors(*(tensors[f"{name}.{part}"] for part in "USV"))
    if name == "color":
        return PixelSVD(factors, *size), size
    return SeparableSVD(factors, factors), size


def recorded_draws(tensors, steps):
    yield tensors["x_T_noise"]
    for step in range(steps):
        yield tensors["noise_missing"][step]
        if f"noise_after.{step}" in tensors:
            yield tensors[f"noise_after.{step}"]
        yield tensors["noise_before"][step]


def flat_observation(svd, images):
    s = svd.singular_values.float()
    return svd.u(s * svd.v_transpose(images)[:, : len(s)]).flatten(1)


def from_observed(svd, coefficients, like):
    rest = like[0].numel() - coefficients.shape[1]
    return svd.v(functional.pad(coefficients, (0, rest)))


def unet(refs):
    tensors = refs("diffusion/gd_unet.safetensors")
    network = GuidedUnet(SMALL).eval()
    network.load_state_dict(
        {key[3:]: value.float() for key, value in tensors.items() if key.startswith("sd.")}
    )
    return as_denoiser(network)


class PartlySeen:
    """Three values, of which the first is observed as it is."""

    singular_values = torch.ones(1, dtype=torch.float64)
    shape = (3, 1, 1)

    def u_transpose(self, observations):
        return observations.flatten(1)

    def v_transpose(self, images):
        return images.flatten(1)

    def v(self, coefficients):
        return coefficients.reshape(-1, 3, 1, 1)


class OneHotNoise:
    """Give row k a one in draw k and zeros elsewhere.

    Rows of a linear sampler's result are then its weights of the draws, and the sum of their
    squares is its exact variance.
    """

    def __init__(self, draws):
        self.draws = draws
        self.index = 0

    def __call__(self, shape):
        noise = torch.zeros(self.draws, *shape, dtype=torch.float64)
        noise[self.index] = 1
        self.index += 1
        return noise


def spread(std, steps, eta, **changes):
    """Return the std of an unobserved value's samples, over that of its Gaussian prior."""
    draws = 1 + 2 * steps
    samples = restore(
        lambda images, times: noise_share(std, int(times[0])) * images,
        torch.zeros(draws, 1, 1, 1, dtype=torch.float64),
        PartlySeen(),
        noise=OneHotNoise(draws),
        options=DdrmOptions(steps=steps, eta=eta, **changes),
    )
    return samples[:, 2].square().sum().sqrt().item() / std


class TestSpread:
    @pytest.mark.parametrize(
        ("std", "steps", "eta", "expected"),
        [
            (0.5, 20, 0.85, 0.759),
            (0.5, 20, 0.0, 0.867),
            (0.25, 20, 0.85, 0.69),
            (0.25, 50, 0.85, 0.78),
            (0.25, 100, 0.85, 0.82),
            (0.25, 20, 1.0, 0.58),
            (0.25, 100, 1.0, 0.66),
            (0.1, 20, 0.85, 0.51),
            (0.1, 100, 0.85, 0.77),
        ],
    )
    def test_samples_vary_too_little_by_a_known_factor(self, std, steps, eta, expected):
        assert spread(std, steps, eta) == pytest.approx(expected, abs=0.006)

    @pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
    def test_variance_follows_its_recursion(self, eta):
        std, pairs = 0.3, time_pairs(20)
        variance = noise_level(pairs[0][0]) ** 2
        for time, next_time in pairs:
            sigma, next_sigma = noise_level(time), noise_level(next_time)
            kept = std**2 / (std**2 + sigma**2)
            kept += math.sqrt(1 - eta**2) * next_sigma * (1 - kept) / sigma
            variance = kept**2 * variance + (eta * next_sigma) ** 2
        assert spread(std, 20, eta) == pytest.approx(math.sqrt(variance) / std, rel=1e-4)

    def test_scale_of_the_published_start_matters_little_while_sigma_is_large(self):
        assert spread(0.5, 20, 0.85, official=True) == pytest.approx(
            spread(0.5, 20, 0.85), rel=1e-4
        )


class Waits(TorchDispatchMode):
    """Note operations with results that the host must know, for which it would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in {"_local_scalar_dense", "nonzero", "masked_select", "equal"}:
            self.found.append(name)
        if name in {"index", "index_put", "index_put_"}:
            masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
            self.found += [name] * len(masks)
        return function(*args, **(kwargs or {}))


class TestSteps:
    @pytest.mark.parametrize("sigma_y", [0.0, 0.3])
    def test_no_step_makes_the_host_wait(self, sigma_y):
        options, source = DdrmOptions(steps=8, sigma_y=sigma_y), generator(0)
        svd = OPERATORS["colorization"]["matched"](4, 4)
        levels = noise_levels(svd.singular_values.float(), torch.device("cpu"), options)
        assert any(len(level.rough) for level in levels) is (sigma_y > 0)
        restoration = Restoration.of(
            lambda images, _: 0.3 * images,
            torch.rand(2, 1, 4, 4),
            svd,
            noise=lambda shape: torch.randn(2, *shape, generator=source),
            options=options,
        )
        with Waits() as waits:
            images = restoration.start(levels[0])
            for now, after in pairwise(levels):
                images = restoration.step(images, now, after)
        assert waits.found == []

    def test_waits_are_noticed(self):
        values = torch.arange(4.0)
        with Waits() as waits:
            values[values > 1] = 0.0
            _ = values[values > 1], bool(values.any())
        assert waits.found == ["index_put_", "index", "_local_scalar_dense"]


class TestConsistency:
    @pytest.mark.parametrize("task", ["sr16", "colorization"])
    @pytest.mark.parametrize("operator", ["matched", "official"])
    def test_observed_components_carry_the_observation_and_fresh_noise_alone(self, task, operator):
        svd, observation, run = self.run(task, operator)
        s = svd.singular_values.float()
        observed = svd.u_transpose(observation) / s
        for step, (_, next_time) in enumerate(time_pairs(5)[:-1]):
            state = svd.v_transpose(run.images[step + 1])[:, : len(s)]
            rest = state / math.sqrt(alpha_bar(next_time)) - observed
            expected = noise_level(next_time) * run.draws[2 + 2 * step]
            torch.testing.assert_close(rest, expected, rtol=1e-4, atol=2e-4)

    def test_last_step_returns_the_denoised_image(self):
        _, _, run = self.run("colorization", "matched")
        torch.testing.assert_close(run.result, run.clean()[-1], rtol=1e-5, atol=1e-4)

    @staticmethod
    def run(task, operator):
        side = 48
        shape = (2, 3, 3, 3) if task == "sr16" else (2, 1, side, side)
        observation = 2 * torch.rand(shape, generator=generator(1)) - 1
        svd = OPERATORS[task][operator](*shape[2:])
        run, source = Recorder(lambda images, _: 0.3 * images.sin()), generator(2)
        run.draws = []

        def noise(wanted):
            run.draws.append(torch.randn(2, *wanted, generator=source))
            return run.draws[-1]

        run.result = restore(run, observation, svd, noise=noise, options=DdrmOptions(steps=5))
        return svd, observation, run

    def test_matched_operators_are_the_linear_forms_of_the_benchmark(self):
        images = torch.rand(2, 3, 32, 48, generator=generator(0))
        for task, size, operator in (
            ("sr16", (2, 3), LinearBicubic(32, 48, factor=16)),
            ("colorization", (32, 48), LinearGray(32, 48)),
        ):
            svd = OPERATORS[task]["matched"](*size)
            assert svd.shape == images.shape[1:]
            found = flat_observation(svd, images)
            torch.testing.assert_close(found, operator(images).flatten(1), rtol=0, atol=1e-5)

    def test_plain_super_resolution_is_the_mean_of_each_block(self):
        images = torch.rand(2, 3, 32, 48, generator=generator(0))
        found = flat_observation(OPERATORS["sr16"]["average"](2, 3), images)
        expected = functional.avg_pool2d(images, 16).flatten(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

    def test_official_gray_is_the_mean_of_the_channels(self):
        images = torch.rand(2, 3, 8, 8, generator=generator(0))
        found = flat_observation(OPERATORS["colorization"]["official"](8, 8), images)
        torch.testing.assert_close(found, images.mean(1).flatten(1), rtol=0, atol=1e-4)


class TestJpegCodec:
    @pytest.mark.parametrize("quality", [1, 5, 10, 50])
    def test_official_codec_is_the_published_one(self, refs, quality):
        tensors, codec = refs(JPEG), JpegCodec(quality=quality, kind="official")
        prefix = f"qf{quality}"
        luma, chroma = codec.encode(tensors["x0"])
        assert torch.equal(luma, tensors[f"{prefix}.enc_luma"])
        assert torch.equal(chroma, tensors[f"{prefix}.enc_chroma"])
        decoded = codec.decode(luma, chroma)
        torch.testing.assert_close(decoded, tensors[f"{prefix}.dec"], rtol=0, atol=1e-5)
        tables = quantization_tables(quality).flatten(1)
        for table, name in zip(tables, ("q_luma", "q_chroma"), strict=True):
            assert torch.equal(table.float(), tensors[f"{prefix}.{name}"])

    def test_transform_is_the_published_one(self, refs):
        tensors = refs(JPEG)
        for name, matrix in (("dct8", dct_matrix()), ("idct8", dct_matrix().T)):
            torch.testing.assert_close(matrix, tensors[name], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("kind", ["official", "aligned"])
    @pytest.mark.parametrize("quality", [1, 10, 50])
    def test_encoding_what_was_decoded_changes_nothing(self, kind, quality):
        codec = JpegCodec(quality=quality, kind=kind)
        images = 2 * torch.rand(4, 3, 32, 48, generator=generator(0)) - 1
        coefficients = codec.encode(images)
        again = codec.encode(codec.decode(*coefficients))
        assert all(torch.equal(*pair) for pair in zip(coefficients, again, strict=True))

    def test_coefficients_are_scipy_s_orthonormal_transform(self):
        from scipy.fft import dctn

        gray = torch.rand(1, 1, 16, 16, generator=generator(0)).expand(-1, 3, -1, -1)
        luma, chroma = JpegCodec(quality=100).encode(2 * gray - 1)
        expected = dctn(255 * gray[0, 0, 8:, :8].double().numpy() - 128, norm="ortho")
        np.testing.assert_allclose(luma[0, 0, 8:, :8], expected.round(), atol=1)
        assert not chroma.any()

    def test_aligned_codec_is_closer_to_pillow_than_the_official_one(self):
        images = smooth_images(side=64)
        target = 2 * PillowJpeg(quality=1)(images) - 1
        aligned, official = (
            (JpegCodec(kind=kind).project(2 * images - 1).clamp(-1, 1) - target).square().mean()
            for kind in ("aligned", "official")
        )
        assert aligned < official

    def test_projection_of_what_pillow_decoded_stays_close(self):
        decoded = 2 * PillowJpeg(quality=1)(smooth_images(side=64)) - 1
        difference = JpegCodec().project(decoded).clamp(-1, 1) - decoded
        assert -10 * math.log10(difference.square().mean() / 4) > 25

    def test_other_sizes_are_refused(self):
        with pytest.raises(InvalidImagesError, match="multiples of 16"):
            JpegCodec().encode(torch.zeros(1, 3, 24, 32))


def dct_matrix():
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(8), norm="ortho", axis=0)).float()


def smooth_images(*, side):
    coarse = torch.rand(8, 3, side // 8, side // 8, generator=generator(3))
    images = functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return (images * 255).round() / 255


class TestDdrmJpeg:
    @pytest.mark.parametrize(
        ("quality", "eta", "eta_b", "steps"), [(1, 1.0, 0.4, 20), (5, 0.85, 0.7, 10)]
    )
    def test_whole_run_is_the_published_one(self, refs, quality, eta, eta_b, steps):
        tensors = refs(JPEG)
        tag = f"loop_qf{quality}_eta{eta}_etaB{eta_b}_init300_n{steps}"
        draws, run = iter(tensors["noise"]), Recorder(toy_denoiser(tensors))
        found = restore_jpeg(
            run,
            tensors[f"{tag}.y0"],
            noise=lambda _: next(draws)[None],
            options=DdrmJpegOptions(
                steps=steps, eta=eta, eta_b=eta_b, quality=quality, codec="official", official=True
            ),
        )
        assert len(list(draws)) == len(tensors["noise"]) - steps - 1
        observation = JpegCodec(quality=quality, kind="official").project(tensors["x0"])
        for name, value in {
            "y0": observation,
            "x_init": run.images[0],
            "x_after_step1": run.images[1],
            "x0_last": run.clean()[-1],
            "x_final": found,
        }.items():
            torch.testing.assert_close(value, tensors[f"{tag}.{name}"], rtol=0, atol=1e-5)

    def test_full_projection_ends_with_the_coefficients_of_the_observation(self):
        codec = JpegCodec()
        observation = codec.project(2 * smooth_images(side=32)[:2] - 1)
        source = generator(0)
        found = restore_jpeg(
            lambda images, _: 0.3 * images,
            observation,
            noise=lambda shape: torch.randn(2, *shape, generator=source),
            options=DdrmJpegOptions(steps=5, eta_b=1.0),
        )
        pairs = zip(codec.encode(found), codec.encode(observation), strict=True)
        # The projection moves an image within the cell of its coefficients, or onto its border
        assert all((a - b).abs().max() <= 1 for a, b in pairs)

    def test_repaired_noise_has_full_variance_and_the_published_one_too_little(self):
        eta = 0.85
        assert eta**2 + math.sqrt(1 - eta**2) ** 2 == pytest.approx(1)
        published, repaired = (self.step_variance(official=flag, eta=eta) for flag in (True, False))
        assert repaired == pytest.approx(1 - alpha_bar(75), rel=0.05)
        assert published == pytest.approx((eta**2 + (1 - eta) ** 2) * (1 - alpha_bar(75)), rel=0.05)

    @staticmethod
    def step_variance(**changes):
        """Return the variance of the noise after one step of a denoiser that knows the noise."""
        source, seen = generator(0), []

        def denoiser(images, times):
            seen.append(images)
            return images / math.sqrt(1 - alpha_bar(int(times[0])))

        options = DdrmJpegOptions(steps=4, eta_b=0.0, **changes)
        restore_jpeg(
            denoiser,
            torch.zeros(1, 3, 64, 64),
            noise=lambda shape: torch.randn(1, *shape, generator=source),
            options=options,
        )
        return seen[2].var().item()


def shaken(network):
    noise = generator(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
    return network.eval()


def restorer(task, **options):
    decompose = OPERATORS[task]["matched"]
    return partial(DdrmSampler, decompose=decompose, options=DdrmOptions(steps=3, **options))


class TestSamplers:
    CASES = (
        (restorer("sr16"), (3, 2, 2)),
        (restorer("sr16", sigma_y=2 / 255 / math.sqrt(12)), (3, 2, 2)),
        (restorer("colorization"), (1, 32, 32)),
        (partial(DdrmJpegSampler, options=DdrmJpegOptions(steps=3)), (3, 32, 32)),
    )

    @pytest.mark.parametrize(("restorer", "shape"), CASES)
    def test_sample_does_not_depend_on_its_batch(self, restorer, shape):
        network = shaken(GuidedUnet(SMALL))
        sampler = METHOD.sampler(network, DdrmConfig(prior=PRIOR, restorer=restorer))
        observation = torch.rand(3, *shape, generator=generator(1))
        together = sampler(observation, [generator(k) for k in range(3)])
        assert together.shape == (3, 3, 32, 32)
        assert together.min() >= 0
        assert together.max() <= 1
        for k in range(3):
            alone = sampler(observation[k : k + 1], [generator(k)])
            torch.testing.assert_close(alone[0], together[k], rtol=0, atol=1e-4)

    @pytest.mark.parametrize(("restorer", "shape"), CASES)
    def test_nfe_counts_the_network_evaluations(self, restorer, shape):
        run = Recorder(lambda images, _: torch.zeros_like(images))
        sampler = METHOD.sampler(run, DdrmConfig(prior=PRIOR, restorer=restorer))
        sampler(torch.rand(1, *shape), [generator(0)])
        assert len(run.times) == sampler.nfe == 3

    def test_a_learned_variance_is_cut(self):
        denoise = as_denoiser(lambda images, _: torch.cat([images, images + 9], dim=1))
        images = torch.rand(1, 3, 4, 4)
        assert torch.equal(denoise(images, torch.tensor([3])), images)

    @pytest.mark.parametrize("time", [0, 300, 700, 950, 999])
    def test_errors_of_a_preconditioned_network_stay_within_the_spread_of_photographs(self, time):
        diffused, times, clean = torch.randn(4, 3, 32, 32), torch.full((4,), time), []
        for output in (0.0, 1.0):
            network = Recorder(lambda images, _, output=output: torch.full_like(images, output))
            noise = as_denoiser(network, preconditioning="natural")(diffused, times)
            clean.append(predict_clean(diffused.double(), noise.double(), time))
        assert torch.equal(network.images[0], diffused)
        spread = power_spectrum(32, 32).mean().sqrt()
        assert (clean[1] - clean[0]).abs().max() <= spread * (1 + 1e-3)

    def test_preconditioning_adds_to_the_expected_noise_what_the_network_says(self):
        diffused, times = torch.randn(2, 3, 16, 16), torch.tensor([100, 900])
        signal = ALPHA_BARS[times][:, None, None, None]
        denoise = as_denoiser(lambda images, _: images, preconditioning="natural")
        expected = expected_noise(diffused, signal) + noise_spread(signal, 16, 16) * diffused
        torch.testing.assert_close(denoise(diffused, times), expected)

    def test_kind_of_sampler_follows_the_task(self):
        for task, kind in (("sr16", DdrmSampler), ("decompression", DdrmJpegSampler)):
            assert isinstance(METHOD.sampler(None, configure_ddrm(task, "tiny")), kind)


class TestConfigurations:
    @pytest.mark.parametrize("task", ["sr16", "colorization", "decompression"])
    def test_tiny_prior_fits_into_three_megabytes_of_halves(self, task):
        with torch.device("meta"):
            network = METHOD.build(configure_ddrm(task, "tiny"))
        assert sum(2 * value.numel() for value in network.parameters()) < 3_000_000

    def test_tasks_of_one_size_share_a_prior(self):
        colorization, decompression = (
            configure_ddrm(task, "tiny") for task in ("colorization", "decompression")
        )
        assert METHOD.network_config(colorization) == METHOD.network_config(decompression)
        assert METHOD.stem("colorization", "tiny") == METHOD.stem("decompression", "tiny")
        assert METHOD.stem("colorization", "tiny") == "ddrm-64"

    def test_priors_of_two_sizes_have_two_files(self):
        assert METHOD.stem("sr16", "tiny") == "ddrm-128"

    def test_published_face_prior_can_be_used(self):
        config = configure_ddrm("sr16", "faces")
        assert config.prior.preconditioning == "none"
        with torch.device("meta"):
            assert isinstance(METHOD.build(config), SimpleUnet)

    @pytest.mark.parametrize(("task", "name"), [("sr17", "tiny"), ("sr16", "huge")])
    def test_unknown_names_are_refused(self, task, name):
        with pytest.raises(UnknownNameError, match=r"did you mean|known"):
            configure_ddrm(task, name)


def test_published_checkpoints_are_renamed_to_our_keys():
    network = GuidedUnet(SMALL)
    own = network.state_dict()
    renamed = rename_official({f"module.{key}": value for key, value in own.items()})
    network.load_state_dict(renamed)
    assert list(renamed) == list(own)
    assert list(rename_official(own)) == list(own)


def test_alpha_bar_is_the_product_of_one_minus_beta():
    product = np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:501])
    assert ALPHA_BARS[500].item() == pytest.approx(product, rel=1e-5)
