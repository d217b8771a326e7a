"""Linear operators, with dense matrices, Pillow's float mode and stored tensors as oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from invbench.errors import InvalidImagesError
from invbench.images import from_uint8
from invbench.operators import (
    Factors,
    LinearBicubic,
    LinearBlur,
    LinearGray,
    LinearMasking,
    PillowGray,
    PixelSVD,
    SeparableSVD,
    bicubic_matrix,
    linear,
    mirrored_bicubic_matrix,
)
from invbench.operators.blur import Gaussian, Motion
from invbench.operators.masks import Box, Scattered

DDRM = "diffusion/ddrm_operators.safetensors"
OPERATORS = [
    LinearBicubic(32, 48, factor=16),
    LinearBicubic(9, 10, factor=3),
    LinearGray(6, 5),
    LinearMasking(6, 7, Box(0.5)),
    LinearMasking(6, 5, Scattered(0.3)),
    LinearBlur(8, 7, Gaussian(0.6)),
    LinearBlur(9, 6, Motion(3.0, 50.0)),
]


def normal(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def inputs(operator, batch=2):
    return normal(batch, 3, operator.height, operator.width)


def dense(operator):
    """Build the operator's matrix for one image, column by column."""
    basis = torch.eye(3 * operator.height * operator.width, dtype=torch.float64)
    return operator(basis.reshape(-1, 3, operator.height, operator.width)).flatten(1).T


def precision(side):
    """Return the inverse covariance of an Ornstein-Uhlenbeck process of length ``side``."""
    decay = np.exp(-1 / side)
    matrix = np.diag(np.r_[1, np.full(side - 2, 1 + decay**2), 1]) - decay * (
        np.eye(side, k=1) + np.eye(side, k=-1)
    )
    return torch.from_numpy(matrix / (1 - decay**2))


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
class TestLinearOperators:
    def test_adjoint_and_pseudo_inverse_are_those_of_the_matrix(self, operator):
        matrix = dense(operator)
        observation = operator(inputs(operator)) + normal(2, 1, 1, 1)
        flat = observation.flatten(1).T
        adjoint = operator.adjoint(observation).flatten(1).T
        torch.testing.assert_close(adjoint, matrix.T @ flat)
        shortest = operator.pinv(observation).flatten(1).T
        torch.testing.assert_close(shortest, torch.linalg.pinv(matrix) @ flat)

    def test_smoothest_is_the_stationary_point_of_its_penalty(self, operator):
        if not isinstance(operator, LinearBicubic):
            pytest.skip("it has no such inverse")
        image = operator.smoothest(operator(inputs(operator)))
        torch.testing.assert_close(operator(image), operator(inputs(operator)))
        # At the least penalty under a constraint its gradient has no part that the operator
        # does not see; the inverse of an exponential covariance is tridiagonal
        penalty = [precision(side) for side in image.shape[-2:]]
        gradient = (penalty[0] @ image @ penalty[1]).flatten(1).T
        matrix = dense(operator)
        seen = matrix.T @ torch.linalg.lstsq(matrix.T, gradient).solution
        torch.testing.assert_close(seen, gradient, atol=1e-6 * float(gradient.abs().max()), rtol=0)

    def test_singular_values_are_those_of_the_matrix(self, operator):
        expected = torch.linalg.svdvals(dense(operator))
        actual = operator.svd().singular_values.sort(descending=True).values
        hidden = expected[len(actual) :]  # of values that a mask sets to 0
        torch.testing.assert_close(actual, expected[: len(actual)])
        assert not hidden.any()

    def test_svd_composes_to_the_operator(self, operator):
        images, svd = inputs(operator), operator.svd()
        observed = svd.singular_values * svd.v_transpose(images)[:, : len(svd.singular_values)]
        torch.testing.assert_close(svd.u(observed), operator(images))

    def test_svd_bases_are_orthogonal(self, operator):
        images, svd = inputs(operator), operator.svd()
        coefficients = svd.v_transpose(images)
        assert coefficients.shape == (2, images[0].numel())
        torch.testing.assert_close(svd.v(coefficients), images)
        torch.testing.assert_close(coefficients.norm(dim=1), images.flatten(1).norm(dim=1))
        observation = operator(images)
        coefficients = svd.u_transpose(observation)
        assert coefficients.shape == (2, len(svd.singular_values))
        torch.testing.assert_close(svd.u(coefficients), observation)
        torch.testing.assert_close(coefficients.norm(dim=1), observation.flatten(1).norm(dim=1))

    def test_unobserved_coefficients_are_invisible(self, operator):
        images, svd = inputs(operator), operator.svd()
        coefficients = svd.v_transpose(images)
        coefficients[:, len(svd.singular_values) :] = 7
        torch.testing.assert_close(operator(svd.v(coefficients)), operator(images))

    def test_keeps_dtype_and_leading_dimensions(self, operator):
        images = inputs(operator, batch=6).float()
        observation = operator(images.unflatten(0, (2, 3)))
        assert observation.dtype == torch.float32
        assert observation.shape[2:] == operator.observation_shape(*images.shape[-2:])
        torch.testing.assert_close(observation.flatten(0, 1), operator(images))
        assert operator.adjoint(observation).shape == (2, 3, *images.shape[1:])
        assert operator.svd().v_transpose(images).dtype == torch.float32

    def test_gradient_is_the_adjoint_even_after_inference_mode(self, operator):
        linear._bicubic.cache_clear()
        svd = operator.svd()
        with torch.inference_mode():
            operator(inputs(operator).float())
            svd.v_transpose(inputs(operator).float())
        images = inputs(operator).float().requires_grad_()
        observation = operator(images)
        weights = torch.linspace(0, 1, observation.numel()).reshape(observation.shape)
        (gradient,) = torch.autograd.grad((weights * observation).sum(), images)
        torch.testing.assert_close(gradient, operator.adjoint(weights))
        (gradient,) = torch.autograd.grad(svd.v_transpose(images).square().sum() / 2, images)
        torch.testing.assert_close(gradient, images)

    def test_refuses_another_size(self, operator):
        with pytest.raises(InvalidImagesError, match="the operator was made for"):
            operator(torch.zeros(1, 3, operator.height + 1, operator.width))
        with pytest.raises(InvalidImagesError, match="the operator was made for"):
            operator.adjoint(torch.zeros(1, 3, operator.height + 1, operator.width))
        with pytest.raises(InvalidImagesError, match="the operator was made for"):
            operator.pinv(torch.zeros(1, 3, operator.height + 1, operator.width))


class TestLinearBicubic:
    @pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (50, 37)])
    def test_equals_pillow_in_float_mode(self, height, width):
        plane = normal(height, width, dtype=torch.float32)
        operator = LinearBicubic(height, width)
        _, *size = operator.observation_shape(height, width)
        expected = Image.fromarray(plane.numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
        actual = operator(plane[None])[0]
        torch.testing.assert_close(actual, torch.from_numpy(np.array(expected)))

    def test_is_well_conditioned(self):
        values = np.linalg.svd(bicubic_matrix(32, 512), compute_uv=False)
        assert values[0] == pytest.approx(0.2517, abs=1e-4)
        assert values[-1] == pytest.approx(0.1747, abs=1e-4)
        operator = LinearBicubic(512, 512)
        values = operator.svd().singular_values
        assert len(values) == 3 * 32 * 32
        assert values.max() / values.min() == pytest.approx(2.08, abs=0.01)
        observation = normal(1, 3, 32, 32)
        torch.testing.assert_close(operator(operator.pinv(observation)), observation)

    def test_refuses_images_smaller_than_the_factor(self):
        with pytest.raises(InvalidImagesError, match="too few to shrink by 16"):
            LinearBicubic(8, 64)

    def test_without_shrinking_is_the_identity(self):
        operator = LinearBicubic(5, 4, factor=1)
        images = inputs(operator)
        torch.testing.assert_close(operator(images), images)
        svd = operator.svd()
        torch.testing.assert_close(svd.v(svd.v_transpose(images)), images)


class TestLinearGray:
    def test_is_the_exact_operator_before_rounding(self):
        draws = torch.Generator().manual_seed(0)
        images = from_uint8(
            torch.randint(0, 256, (4, 3, 20, 20), dtype=torch.uint8, generator=draws)
        )
        difference = LinearGray(20, 20)(images) - PillowGray()(images)
        assert 0.49 / 255 < difference.abs().max() <= 0.5 / 255 + 1e-6

    def test_keeps_gray_and_has_one_singular_value(self):
        operator = LinearGray(4, 4)
        gray = normal(1, 1, 4, 4)
        torch.testing.assert_close(operator(gray.expand(1, 3, 4, 4)), gray)
        expected = np.linalg.norm([0.299, 0.587, 0.114])
        assert operator.svd().singular_values.tolist() == pytest.approx([expected] * 16, abs=1e-5)


def test_a_cutoff_blinds_the_pseudo_inverse_to_small_singular_values():
    matrix = np.diag([1.0, 1e-3, 0.0]) @ np.eye(3, 4)
    assert Factors.of(matrix).s.tolist() == pytest.approx([1, 1e-3, 0])
    assert Factors.of(matrix, cutoff=1e-2).s.tolist() == pytest.approx([1, 0, 0])
    svd = SeparableSVD(*[Factors.of(matrix, cutoff=1e-2)] * 2, channels=1)
    assert svd.singular_values.count_nonzero() == 1


class TestPublishedDDRM:
    """The matrices and layouts of the published code."""

    def test_mirrored_bicubic_matrices_agree(self, refs):
        stored = refs(DDRM)
        for factor, length in ((4, 16), (16, 64), (16, 128)):
            matrix = torch.from_numpy(mirrored_bicubic_matrix(length // factor, length))
            expected = stored[f"sr{factor}_{length}.H_1d"].double()
            torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-6)
        matrix = torch.from_numpy(mirrored_bicubic_matrix(32, 512))
        for row in (0, 16):
            expected = stored[f"sr16_512.H_1d_row{row}"].double()
            torch.testing.assert_close(matrix[row], expected, rtol=0, atol=1e-6)

    def test_mirrored_matrix_differs_from_pillows_at_the_border_alone(self):
        difference = np.abs(mirrored_bicubic_matrix(32, 512) - bicubic_matrix(32, 512))
        assert difference[2:-2].max() < 1e-12
        assert difference.max() == pytest.approx(0.029, abs=1e-3)

    @pytest.mark.parametrize(("size", "length"), [(4, 15), (4, 12)])
    def test_mirrored_matrix_refuses_ratios_it_would_shift(self, size, length):
        with pytest.raises(InvalidImagesError, match="even, whole ratio"):
            mirrored_bicubic_matrix(size, length)

    def test_singular_values_agree(self, refs):
        stored = refs(DDRM)
        for factor, length in ((4, 16), (16, 64), (16, 128), (16, 512)):
            factors = Factors.of(mirrored_bicubic_matrix(length // factor, length), cutoff=3e-2)
            expected = stored[f"sr{factor}_{length}.singulars_1d_raw"].double()
            torch.testing.assert_close(factors.s, expected, rtol=0, atol=1e-6)

    def test_super_resolution_layouts_agree(self, refs):
        stored = {k.partition(".")[2]: v for k, v in refs(DDRM).items() if k.startswith("sr4_16.")}
        factors = Factors(stored["U"], stored["S"], stored["V"])
        svd = SeparableSVD(factors, factors)
        check_layouts(svd, stored, observation_shape=(2, 3, 4, 4))

    def test_color_layouts_agree(self, refs):
        stored = {k.partition(".")[2]: v for k, v in refs(DDRM).items() if k.startswith("color.")}
        factors = Factors(stored["U"], stored["S"], stored["V"])
        svd = PixelSVD(factors, 16, 16)
        check_layouts(svd, stored, observation_shape=(2, 1, 16, 16))
        linear = LinearGray(16, 16, weights=(0.3333, 0.3334, 0.3333))
        torch.testing.assert_close(linear(stored["x"]).flatten(1), stored["Hx"])
        torch.testing.assert_close(linear.pinv(linear(stored["x"])).flatten(1), stored["pinv_Hx"])


def check_layouts(svd, stored, observation_shape):
    """Hold an SVD with the published bases against what the published code makes of an image."""
    count, tolerance = len(svd.singular_values), {"rtol": 1e-5, "atol": 1e-5}
    values = svd.singular_values.float()
    coefficients = svd.v_transpose(stored["x"])
    torch.testing.assert_close(coefficients, stored["Vt_x"], **tolerance)
    torch.testing.assert_close(svd.v(stored["Vt_x"]), stored["x"], **tolerance)

    observation = svd.u(values * coefficients[:, :count])
    torch.testing.assert_close(observation.flatten(1), stored["Hx"], **tolerance)
    measured = svd.u_transpose(stored["Hx"].reshape(observation_shape))
    torch.testing.assert_close(measured, values * coefficients[:, :count], **tolerance)

    inverse = torch.zeros_like(coefficients)
    inverse[:, :count] = measured / values
    torch.testing.assert_close(svd.v(inverse).flatten(1), stored["pinv_Hx"], **tolerance)
    if "HtHx" in stored:
        inverse[:, :count] = measured * values
        torch.testing.assert_close(svd.v(inverse).flatten(1), stored["HtHx"], **tolerance)
