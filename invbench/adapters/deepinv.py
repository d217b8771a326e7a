"""Solvers of deepinv (https://deepinv.github.io), which call ``model(y, physics)`` in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

from invbench.adapters.rows import AdaptedSampler, linear_of, require, weights_digest
from invbench.errors import InvalidSamplerError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from invbench.operators import SVD
    from invbench.problems import Problem


def deepinv_physics(problem: Problem, device: torch.device | str = "cpu") -> Any:
    """Return a problem's operator and noise as deepinv's physics.

    ``A``, ``A_adjoint`` and ``A_dagger`` are the linear twin, its adjoint and its pseudo-inverse;
    the noise is `GaussianNoise` of the problem's std, in units of [0, 1] as is deepinv's. Where the
    twin has an SVD it is a `DecomposablePhysics`, as `DDRM` wants it, else a `LinearPhysics`.

    Raises:
        UnsupportedProblemError: if the problem has no linear twin.
        MissingPackageError: if deepinv is not installed.
    """
    linear = linear_of(problem, "deepinv")
    require("deepinv")
    from deepinv.physics import DecomposablePhysics, GaussianNoise, LinearPhysics, ZeroNoise

    svd = linear.svd()
    base: Any = LinearPhysics if svd is None else DecomposablePhysics

    class ProblemPhysics(base):  # type: ignore[misc]
        def A(self, x: Tensor, **_: Any) -> Tensor:  # noqa: N802  deepinv's names
            return linear(x)

        def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:  # noqa: N802
            return linear.adjoint(y)

        def A_dagger(self, y: Tensor, **_: Any) -> Tensor:  # noqa: N802
            return linear.pinv(y)

    noise = GaussianNoise(problem.noise.std) if problem.noise else ZeroNoise()
    shape = {"img_size": (3, *problem.size)}
    factors = {} if svd is None else _factors(svd)
    return ProblemPhysics(noise_model=noise, **shape, **factors).to(device)


def deepinv_sampler(
    model: nn.Module,
    problem: Problem,
    device: torch.device,
    *,
    physics: Any = None,
    stochastic: str | None = None,
) -> AdaptedSampler:
    """Make a sampler of a deepinv model: DPS, DiffPIR, DDRM, plug-and-play, any `Reconstructor`.

    Rows are drawn one by one, for deepinv draws from the global generators. Of a Markov chain
    (`BaseSampling`) the sample is the last state that it kept, not its mean.

    Args:
        model: on the device; it is put into evaluation mode.
        problem: to be solved.
        device: of the observations.
        physics: in place of `deepinv_physics`.
        stochastic: "none" for a method without randomness, as DPIR.

    Raises:
        UnsupportedProblemError: if the problem has no linear twin.
        MissingPackageError: if deepinv is not installed.
        InvalidSamplerError: if a Markov chain keeps no state.
    """
    physics = deepinv_physics(problem, device) if physics is None else physics
    if getattr(model, "history", True) is False:
        raise InvalidSamplerError(
            f"{type(model).__name__} keeps no state to take a sample from; "
            "make it with history_size=1, or hand over the diffusion itself"
        )
    model.eval()

    def draw(observation: Tensor, _: object) -> Tensor:
        for module in (*model.modules(), *physics.modules()):
            if isinstance(own := getattr(module, "rng", None), torch.Generator):
                own.manual_seed(torch.initial_seed())
        if not hasattr(model, "get_chain"):
            return model(observation, physics)  # type: ignore[no-any-return]
        model.sample(observation, physics)  # type: ignore[operator]
        return model.get_chain()[-1]["x"]  # type: ignore[operator, no-any-return]

    return AdaptedSampler(
        draw=draw,
        problem=problem,
        device=device,
        stochastic=stochastic,
        fingerprint=weights_digest([model]),
    )


def _factors(svd: SVD) -> dict[str, Any]:
    """Return an SVD as deepinv's, whose two sides have one length: what A does not see is 0."""
    values = svd.singular_values
    seen, unseen = len(values), torch.Size(svd.shape).numel() - len(values)
    return {
        "mask": pad(values.float(), (0, unseen))[None],
        "U": lambda coefficients: svd.u(coefficients[:, :seen]),
        "U_adjoint": lambda observations: pad(svd.u_transpose(observations), (0, unseen)),
        "V": svd.v,
        "V_adjoint": svd.v_transpose,
    }
