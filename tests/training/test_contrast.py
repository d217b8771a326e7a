"""Contrast of patches and optimal transport weights."""

import numpy as np
import pytest
import torch
from gan_references import seeded
from torch.nn import functional

from invbench.training.contrast import (
    monce,
    patch_nce,
    sinkhorn,
    sinkhorn_in_logarithms,
    transport_plan,
)
from invbench.training.gan import gan_loss


def unit_vectors(*shape, seed=0):
    vectors = torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)
    return functional.normalize(vectors, dim=-1)


def brute_force_loss(queries, keys, weights, temperature=0.07):
    """Write the loss out as the sums of exponentials that the paper has."""
    queries, keys = queries.numpy(), keys.numpy()
    losses = np.zeros(queries.shape[:2])
    for image, row in np.ndindex(losses.shape):
        scores = np.exp(keys[image] @ queries[image, row] / temperature)
        negatives = sum(
            weights[image, row, other] * scores[other]
            for other in range(len(scores))
            if other != row
        )
        losses[image, row] = -np.log(scores[row] / (scores[row] + negatives))
    return losses


class TestPatchNce:
    def test_is_the_log_of_a_share(self):
        queries, keys = unit_vectors(2, 6, 4), unit_vectors(2, 6, 4, seed=1)
        expected = brute_force_loss(queries, keys, np.ones((2, 6, 6)))
        np.testing.assert_allclose(patch_nce(queries, keys), expected, rtol=1e-5)

    def test_weights_multiply_negatives(self):
        queries, keys = unit_vectors(2, 6, 4), unit_vectors(2, 6, 4, seed=1)
        weights = torch.rand(2, 6, 6, generator=seeded(2), dtype=torch.float64) + 0.1
        ours = patch_nce(queries, keys, log_weights=weights.log())
        expected = brute_force_loss(queries, keys, weights.numpy())
        np.testing.assert_allclose(ours, expected, rtol=1e-5)

    def test_gradient_reaches_queries_only(self):
        queries = unit_vectors(1, 6, 4).requires_grad_()
        keys = unit_vectors(1, 6, 4, seed=1).requires_grad_()
        monce(queries, keys).mean().backward()
        assert keys.grad is None
        assert queries.grad.abs().sum() > 0

    def test_whole_batch_adds_the_other_images_negatives(self):
        queries, keys = unit_vectors(2, 6, 4), unit_vectors(2, 6, 4, seed=1)
        wide = patch_nce(queries, keys, whole_batch=True)
        joined = patch_nce(queries.reshape(1, 12, 4), keys.reshape(1, 12, 4))
        torch.testing.assert_close(wide, joined.reshape(2, 6))
        assert (wide > patch_nce(queries, keys)).all()


class TestTransport:
    @pytest.mark.parametrize("cost", ["hard", "easy"])
    @pytest.mark.parametrize("regularization", [1.0, 0.1, 0.04])
    def test_rows_and_columns_sum_to_one(self, cost, regularization):
        similarity = unit_vectors(2, 16, 8) @ unit_vectors(2, 16, 8, seed=1).transpose(1, 2)
        plan = transport_plan(similarity, regularization=regularization, cost=cost, iterations=3000)
        ones = torch.ones(2, 16, dtype=torch.float64)
        torch.testing.assert_close(plan.sum(dim=1), ones, atol=1e-4, rtol=0)
        torch.testing.assert_close(plan.sum(dim=2), ones, atol=1e-4, rtol=0)

    def test_nothing_stays_where_it_is(self):
        plan = transport_plan(torch.rand(1, 8, 8), regularization=1.0)
        assert float(plan.diagonal(dim1=1, dim2=2).max()) < 1e-3

    def test_two_scalings_by_hand(self):
        kernel = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        rows = np.array([1 / 3, 1 / 7])
        columns = 1 / (kernel[0].numpy().T @ rows)
        rows = 1 / (kernel[0].numpy() @ columns)
        columns = 1 / (kernel[0].numpy().T @ rows)
        expected = rows[:, None] * kernel[0].numpy() * columns
        np.testing.assert_allclose(sinkhorn(kernel, 2)[0], expected, rtol=1e-6)

    def test_logarithms_give_the_same_plan(self):
        log_kernel = torch.randn(2, 5, 7, generator=seeded(0)) * 3
        plain = sinkhorn(log_kernel.double().exp())
        torch.testing.assert_close(sinkhorn_in_logarithms(log_kernel.double()), plain)

    def test_small_regularization_stays_finite(self):
        queries = unit_vectors(1, 32, 8).requires_grad_()
        loss = monce(queries, unit_vectors(1, 32, 8, seed=1), regularization=1e-3).mean()
        loss.backward()
        assert torch.isfinite(loss.detach())
        assert torch.isfinite(queries.grad).all()

    def test_hard_weighs_similar_negatives_more_and_easy_less(self):
        similarity = torch.rand(1, 24, 24, generator=seeded(0))
        away = ~torch.eye(24, dtype=torch.bool)
        correlation = {
            cost: np.corrcoef(
                similarity[0][away],
                transport_plan(similarity, regularization=0.5, cost=cost)[0][away],
            )[0, 1]
            for cost in ("hard", "easy")
        }
        assert correlation["hard"] > 0.5
        assert correlation["easy"] < -0.5

    def test_equal_similarities_give_patch_nce(self):
        queries = unit_vectors(1, 1, 4).expand(2, 6, 4)
        expected = torch.full((2, 6), np.log(6), dtype=torch.float64)
        torch.testing.assert_close(patch_nce(queries, queries), expected)
        torch.testing.assert_close(monce(queries, queries), expected, atol=1e-4, rtol=0)

    def test_mass_is_the_mean_weight_times_the_negatives(self):
        queries, keys = unit_vectors(2, 8, 4), unit_vectors(2, 8, 4, seed=1)
        similarity = queries @ keys.transpose(1, 2)
        plan = transport_plan(similarity, regularization=1.0).numpy()
        expected = brute_force_loss(queries, keys, plan * 3.5 + 1e-8)
        np.testing.assert_allclose(monce(queries, keys, negative_mass=3.5), expected, rtol=1e-4)


class TestAgainstTheOriginal:
    @pytest.fixture
    def tensors(self, refs):
        return refs("gans/monce_losses.safetensors")

    def vectors(self, tensors):
        return tensors["in/q"].reshape(2, 24, 16), tensors["in/k"].reshape(2, 24, 16)

    def test_patch_nce(self, tensors):
        queries, keys = self.vectors(tensors)
        plain, wide = patch_nce(queries, keys), patch_nce(queries, keys, whole_batch=True)
        torch.testing.assert_close(plain.flatten(), tensors["out/patchnce_per_row"])
        torch.testing.assert_close(wide.flatten(), tensors["out/patchnce_allneg_per_row"])

    @pytest.mark.parametrize("cost", ["hard", "easy"])
    @pytest.mark.parametrize("eps", [1.0, 0.1])
    def test_monce(self, tensors, cost, eps):
        queries, keys = self.vectors(tensors)
        queries.requires_grad_()
        rows = monce(queries, keys, regularization=eps, cost=cost)
        (gradient,) = torch.autograd.grad(rows.mean(), queries)
        name = f"{cost}_eps{eps}"
        close = torch.testing.assert_close
        close(rows.detach().flatten(), tensors[f"out/monce_{name}_per_row"], atol=1e-5, rtol=1e-4)
        expected = tensors[f"out/monce_{name}_grad_q_of_mean"]
        close(gradient.flatten(0, 1), expected, atol=1e-5, rtol=1e-3)
        similarity = queries.detach() @ keys.transpose(1, 2)
        plan = transport_plan(similarity, regularization=eps, cost=cost)
        close(plan, tensors[f"out/ot_{name}_plan_q_by_k"], atol=1e-5, rtol=1e-4)

    def test_negative_weight(self, tensors):
        rows = monce(*self.vectors(tensors), negative_mass=0.5 * 23)
        torch.testing.assert_close(rows.flatten(), tensors["out/monce_hard_eps1.0_negw0.5_per_row"])

    def test_sinkhorn(self, tensors):
        plan = sinkhorn(tensors["in/sinkhorn_K"])
        torch.testing.assert_close(plan, tensors["out/sinkhorn_K_50iters"])

    @pytest.mark.parametrize("mode", ["lsgan", "vanilla", "nonsaturating"])
    @pytest.mark.parametrize("kind", ["real", "fake"])
    def test_gan_losses(self, tensors, mode, kind):
        """The non-saturating loss is the vanilla one written with softplus."""
        ours = gan_loss(
            [tensors["in/pred"]],
            real=kind == "real",
            mode="vanilla" if mode == "nonsaturating" else mode,
        )
        torch.testing.assert_close(ours, tensors[f"out/gan_{mode}_{kind}"])

    @pytest.mark.parametrize("layer", range(5))
    def test_label_to_image_branch(self, refs, layer):
        tensors = refs("gans/monce_spade_conce_losses.safetensors")
        queries, keys = self.vectors(tensors)
        if layer < 4:
            rows = patch_nce(queries, keys)
        else:
            rows = monce(queries, keys, negative_mass=24.0, raise_positive=True)
        torch.testing.assert_close(rows.flatten(), tensors[f"out/conce_layer{layer}_per_row"])
