"""What all adapters share: rows drawn one by one, ranges, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidSamplesError, MissingPackageError, UnsupportedProblemError
from invbench.seeding import global_generators_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor, nn

    from invbench.operators import Linear
    from invbench.problems import Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class AdaptedSampler:
    """A sampler of another library's code, see `invbench.models.Sampler`.

    Code that draws from global generators is given one row at a time. They are then seeded from the
    row's generator, and are afterwards as they were, so that a row hangs on its own generator
    alone, whatever batch it comes in.

    Attributes:
        draw: maps observations ``[N, c, h, w]`` and N generators to images ``[N, 3, H, W]`` in
            [0, 1]; values beyond are clamped.
        problem: whose images it draws.
        device: where it works.
        by_row: whether rows are drawn one by one.
        stochastic: by what samples differ; "none" if they do not.
        fingerprint: digest of the weights.
    """

    draw: Callable[[Tensor, Sequence[torch.Generator]], Tensor]
    problem: Problem
    device: torch.device
    by_row: bool = True
    stochastic: str | None = None
    fingerprint: str | None = None

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float32 ``[N, 3, H, W]`` in [0, 1].

        Raises:
            InvalidSamplesError: if there are no images of the problem's size.
        """
        if not self.by_row:
            return self._batch(observation, generators)
        rows = []
        for one, generator in zip(observation.split(1), generators, strict=True):
            with global_generators_from(generator, self.device):
                rows.append(self._batch(one, [generator]))
        return torch.cat(rows)

    def _batch(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        found = self.draw(observation.clone(), generators)  # some libraries write into theirs
        expected = (len(generators), 3, *self.problem.size)
        if not isinstance(found, torch.Tensor) or found.shape != expected:
            seen = tuple(getattr(found, "shape", ())) or type(found).__name__
            raise InvalidSamplesError(f"the solver returned {seen}, not images {expected}")
        return found.detach().float().clamp(0, 1)


def require(library: str) -> None:
    """Refuse to go on without a library.

    Raises:
        MissingPackageError: if it is not installed.
    """
    if find_spec(library) is None:
        raise MissingPackageError(
            f"{library} is not installed; install it by pip install 'invbench[{library}]'"
        )


def linear_of(problem: Problem, solver: str) -> Linear:
    """Return a problem's linear twin, which a solver needs.

    Raises:
        UnsupportedProblemError: if it has none.
    """
    if problem.linear is None:
        raise UnsupportedProblemError(
            f"{problem.name} has no linear twin (JPEG rounds, which is not linear), so there are "
            f"no A and adjoint of A for {solver}"
        )
    return problem.linear


def signed(observation: Tensor, problem: Problem, linear: Linear) -> Tensor:
    r"""Return what the same A would have observed of the image in [-1, 1], ``2 x - 1``.

    .. math:: y = A x + \sigma z \implies 2 y - A 1 = A (2 x - 1) + 2 \sigma z

    It is ``2 y - 1`` only where A keeps constants, which masks do not. The noise is twice as large.
    """
    return 2 * observation - linear(observation.new_ones(1, 3, *problem.size))


def weights_digest(modules: Iterable[nn.Module]) -> str:
    """Return the SHA-256 of modules' weights, by which a resumed run knows a sampler again."""
    state = sha256()
    for module in modules:
        for name, weights in sorted(module.state_dict().items()):
            state.update(f"{name} {weights.dtype} {tuple(weights.shape)}\n".encode())
            flat = weights.detach().cpu().contiguous().flatten()
            state.update(flat.view(torch.uint8).numpy().tobytes())
    return state.hexdigest()
