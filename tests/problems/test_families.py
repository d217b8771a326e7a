"""Built-in tasks: what their names say is what they do."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from invbench.data.photos import photos
from invbench.errors import UnknownNameError
from invbench.images import from_uint8
from invbench.problems import FAMILIES, TASKS, find_task, linear_task

law = settings(deadline=None, derandomize=True, max_examples=20)

PIXELS = photos(64, 1)[0].pixels
NOISELESS = [
    *("sr2", "sr4", "sr8", "sr16", "jpeg1", "jpeg40", "jpeg95"),
    *("colorization", "decompression"),
    *("inpaint-box", "inpaint-random50", "inpaint-varied50"),
    *("deblur-gaussian", "deblur-motion"),
]
WITHOUT_TWIN = ("jpeg", "decompression", "inpaint-varied")
LINEAR = [name for name in NOISELESS if not name.startswith(WITHOUT_TWIN)]
NOISY = [*(f"{name}+n5" for name in LINEAR), "denoise10", "denoise50", "sr4+n2.5"]


@pytest.mark.parametrize("name", [*NOISELESS, *NOISY])
class TestEvery:
    def test_it_keeps_its_name_and_promises_its_shapes(self, name):
        task = find_task(name)
        problem = task.problem((64, 64))
        assert (task.name, problem.name) == (name, name)
        image = from_uint8(PIXELS)
        seen = problem.observe(image, "x")
        assert seen.shape == problem.observation_shape
        assert seen.dtype == torch.float32
        assert bool(problem.noise) == (name in NOISY)
        if name in NOISELESS:
            assert torch.equal(seen, from_uint8((seen * 255).round().to(torch.uint8)))

    def test_its_identity_is_its_own_and_plain(self, name):
        identity = find_task(name).identity()
        others = [find_task(other).identity() for other in (*NOISELESS, *NOISY) if other != name]
        same = {"jpeg1": "decompression", "decompression": "jpeg1"}.get(name)
        for other in others:
            parts = ("operator", "noise")
            equal = all(identity.get(part) == other.get(part) for part in parts)
            assert equal == (other["name"] == same)

    def test_its_twin_observes_as_it_does_but_for_rounding(self, name):
        problem = find_task(name).problem((64, 64))
        if problem.linear is None:
            assert name.startswith(WITHOUT_TWIN)
            return
        image = from_uint8(PIXELS)
        difference = (problem.linear(image) - problem.operator(image)).abs()
        if problem.noise:
            assert not difference.any()
        else:
            assert difference.mean() < 0.6 / 255
            assert difference.max() < (12 / 255 if name.startswith("sr") else 1.01 / 255)


@pytest.mark.parametrize("name", [*LINEAR, *NOISY])
@law
@given(seed=st.integers(0, 2**31 - 1))
def test_the_twins_keep_the_laws_of_linear_algebra(name, seed):
    linear = find_task(name).problem((32, 48)).linear
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 32, 48, generator=source, dtype=torch.float64)
    y = torch.randn(linear(x).shape, generator=source, dtype=torch.float64)
    torch.testing.assert_close((linear(x) * y).sum(), (x * linear.adjoint(y)).sum())
    torch.testing.assert_close(linear(linear.pinv(linear(x))), linear(x), atol=1e-6, rtol=1e-6)
    shortest = linear.pinv(y)
    torch.testing.assert_close(linear.pinv(linear(shortest)), shortest, atol=1e-5, rtol=1e-5)
    svd = linear.svd()
    seen = svd.v_transpose(x[None])[:, : len(svd.singular_values)]
    torch.testing.assert_close(svd.u(svd.singular_values * seen)[0], linear(x))


@pytest.mark.parametrize("number", [1, 7, 50, 75, 95])
def test_jpeg_is_pillows_of_its_quality(number):
    file = io.BytesIO()
    Image.fromarray(PIXELS.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=number)
    expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
    seen = find_task(f"jpeg{number}").operator(from_uint8(PIXELS))
    assert torch.equal(seen, from_uint8(expected))


@pytest.mark.parametrize("number", [2, 4, 8, 16])
def test_super_resolution_is_pillows_of_its_factor(number):
    image = Image.fromarray(PIXELS.permute(1, 2, 0).numpy())
    small = image.resize((64 // number, 64 // number), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    seen = find_task(f"sr{number}").operator(from_uint8(PIXELS))
    assert torch.equal(seen, from_uint8(expected))


def test_decompression_is_jpeg_of_quality_1():
    assert find_task("decompression") is TASKS["decompression"]
    assert find_task("jpeg1").operator == TASKS["decompression"].operator
    assert find_task("sr16") is TASKS["sr16"]


@pytest.mark.parametrize(("name", "levels"), [("denoise25", 25), ("sr4+n5", 5), ("sr2+n0.5", 0.5)])
def test_noise_is_in_levels_of_255(name, levels):
    problem = find_task(name).problem((64, 64))
    assert problem.noise.std == pytest.approx(levels / 255)
    image = from_uint8(PIXELS)
    added = 255 * (problem.observe(image, "x") - problem.operator(image)).double()
    assert added.square().mean().sqrt() == pytest.approx(levels, rel=4 / (2 * added.numel()) ** 0.5)


@pytest.mark.parametrize("name", ["inpaint-box+n5", "inpaint-random50+n5"])
def test_what_is_hidden_has_no_noise(name):
    problem = find_task(name).problem((64, 64))
    seen, measured = problem.observe(from_uint8(PIXELS), "x"), problem.measured()
    assert not seen[~measured].any()
    assert int(measured.sum()) in {3 * 64 * 64 // 2, 3 * 64 * 64 * 3 // 4}
    assert (seen[measured] - problem.operator(from_uint8(PIXELS))[measured]).std() > 4 / 255


@pytest.mark.parametrize(
    "name",
    [
        *("sr3", "sr", "sr04", "sr4 ", "jpeg0", "jpeg96", "jpeg100", "jpeg-1", "denoise0"),
        *("inpaint", "deblur", "SR4", "", "sr4+5", "sr4+n", "sr4+n-5", "sr4+n5+n5", "sr4+n5x"),
        *("jpeg10+n5", "decompression+n5", "denoise10+n5", "denoise", "sr4+nan", "sr\u0664"),
    ],
)
def test_what_is_no_task_is_refused(name):
    with pytest.raises(UnknownNameError):
        find_task(name)


def test_every_family_is_tried():
    for family in FAMILIES:
        assert any(
            family.number_in(name.partition("+")[0]) is not None for name in NOISELESS + NOISY
        )


def test_a_function_becomes_a_task():
    task = linear_task(lambda images: images[..., ::2, ::2], size=32)
    problem = task.problem((32, 32))
    assert problem.observation_shape == (3, 16, 16)
    assert task.size == 32
    back = problem.linear.pinv(problem.linear(from_uint8(PIXELS)[:, :32, :32]))
    assert torch.allclose(back[:, ::2, ::2], from_uint8(PIXELS)[:, :32:2, :32:2], atol=1e-5)
    assert not back[:, 1::2].any()
