"""A function becomes an operator: its adjoint and pseudo-inverse are those of its matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, conv2d, pad

from invbench.errors import InvalidImagesError
from invbench.operators import LinearBicubic, LinearFunction, LinearGray, Unrounded

law = settings(deadline=None, derandomize=True, max_examples=20)


def blurred_halves(images):
    """Blur across periodic borders, and keep every second pixel of one channel."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).to(images)[None, None] / 16
    padded = pad(images.sum(1, keepdim=True), (1, 1, 1, 1), mode="circular")
    return conv2d(padded, kernel)[..., ::2, ::2]


def dense(operator):
    """Build the operator's matrix, column by column."""
    basis = torch.eye(3 * operator.height * operator.width, dtype=torch.float64)
    return operator(basis.reshape(-1, 3, operator.height, operator.width)).flatten(1).T


@law
@given(st.integers(0, 2**31 - 1), st.integers(2, 5), st.integers(2, 5))
def test_adjoint_and_pseudo_inverse_are_those_of_the_matrix(seed, half_height, half_width):
    operator = LinearFunction(2 * half_height, 2 * half_width, blurred_halves)
    matrix = dense(operator)
    source = torch.Generator().manual_seed(seed)
    seen = torch.randn(2, *operator.shape, generator=source, dtype=torch.float64)
    flat = seen.flatten(1).T
    torch.testing.assert_close(operator.adjoint(seen).flatten(1).T, matrix.T @ flat)
    expected = torch.linalg.pinv(matrix) @ flat
    torch.testing.assert_close(operator.pinv(seen).flatten(1).T, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("known", [LinearBicubic(16, 12, 4), LinearGray(8, 6)], ids=repr)
def test_it_agrees_with_operators_that_know_their_matrices(known):
    operator = LinearFunction(known.height, known.width, known)
    images = torch.rand(2, 3, 3, known.height, known.width, dtype=torch.float64)
    seen = operator(images)
    assert torch.equal(seen, known(images))
    assert operator.shape == known.observation_shape(known.height, known.width)
    torch.testing.assert_close(operator.adjoint(seen), known.adjoint(seen))
    torch.testing.assert_close(operator.pinv(seen), known.pinv(seen), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("gradients", [True, False])
def test_the_adjoint_needs_no_gradients_and_has_them(gradients):
    operator = LinearFunction(8, 8, blurred_halves)
    seen = torch.rand(1, *operator.shape)
    with torch.set_grad_enabled(gradients):
        image = operator.adjoint(seen)
    assert not image.requires_grad
    seen.requires_grad_()
    (gradient,) = torch.autograd.grad(operator.adjoint(seen).square().sum() / 2, seen)
    torch.testing.assert_close(gradient, operator(image))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images.clamp(0.2, 0.4), "not linear"),
        (lambda images: images + 0.1, "leave out rounding, clamping and offsets"),
        (lambda images: images.square(), "not linear"),
        (lambda images: images.mean(), "return \\[N, c, h, w\\]"),
        (lambda images: images[0], "return \\[N, c, h, w\\]"),
        (lambda images: images.numpy(), "to ndarray; return"),
        (lambda images: images * float("nan"), "not linear"),
        (lambda images: images * torch.rand(()), "draw what is random, as a mask, once"),
        (
            lambda images: images * torch.arange(1.0, 1 + len(images)).view(-1, 1, 1, 1),
            "in a batch",
        ),
    ],
    ids=[*("clamps", "offset", "square", "mean", "no batch", "numpy", "nan"), "random", "by row"],
)
def test_what_is_no_linear_function_of_images_is_refused(function, message):
    with pytest.raises(InvalidImagesError, match=message):
        LinearFunction(8, 8, function)


def test_images_of_another_size_are_refused():
    with pytest.raises(InvalidImagesError, match="was made for"):
        LinearFunction(8, 8, blurred_halves)(torch.zeros(1, 3, 8, 10))


def test_unrounded_is_the_twin_for_images_of_any_size():
    operator = Unrounded("halves", lambda h, w: LinearFunction(h, w, lambda x: avg_pool2d(x, 2)))
    for height, width in ((8, 8), (4, 6)):
        images = torch.rand(2, 3, height, width)
        assert torch.equal(operator(images), avg_pool2d(images, 2))
        assert operator.observation_shape(height, width) == (3, height // 2, width // 2)
    with pytest.raises(InvalidImagesError, match=r"beyond \[0, 1\]"):
        operator(2 * torch.ones(1, 3, 8, 8))
