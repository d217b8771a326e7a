"""What a task promises, and how it is seen whether it keeps that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from invbench.conformance.effects import seed_everything, watched
from invbench.conformance.properties import Finding, Property, Verdict, describe, look_at_all
from invbench.errors import UnknownNameError
from invbench.images import from_uint8

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from invbench.data import Photo
    from invbench.operators import Linear
    from invbench.problems import Problem

LEVEL = 1 / 255
AGAIN = 1e-4  # root mean square difference of observations that count as the same
ADJOINT = 1e-5  # difference of two inner products, relative to the norms
PSEUDO_INVERSE = 1e-3  # difference of two observations, relative
STANDARD_ERRORS = 5  # of the noise's variance


@dataclass(frozen=True, eq=False)
class Observing:
    """A problem, images to observe, and what observing did besides.

    Attributes:
        made: the problem, or what was raised in its place.
        images: ``[N, 3, H, W]`` in [0, 1].
        touched: the global generators that were used so far.
        changed: the settings of torch that were changed so far.
        mutated: the functions that changed their input so far.
    """

    made: Problem | Exception
    images: Tensor
    touched: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    mutated: set[str] = field(default_factory=set)

    @property
    def problem(self) -> Problem:
        """Return the problem, of which others have found that it is there."""
        if isinstance(self.made, Exception):
            raise self.made
        return self.made

    @property
    def twin(self) -> Linear:
        """Return the operator's linear twin, of which others have found that it is there."""
        assert self.problem.linear is not None
        return self.problem.linear

    def operator(self, images: Tensor) -> Tensor:
        """Observe without noise."""
        return self._call("the operator", self.problem.operator, images)

    def linear(self, images: Tensor) -> Tensor:
        """Observe by the twin."""
        return self._call("the twin", self.twin, images)

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations back by the twin's transpose."""
        return self._call("adjoint", self.twin.adjoint, observations)

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations back by the twin's pseudo-inverse."""
        return self._call("pinv", self.twin.pinv, observations)

    def _call(self, name: str, function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        given = tensor.clone()
        with watched() as effects:
            returned = function(given)
        self.touched.update(effects.touched)
        self.changed.update(effects.changed)
        if not torch.equal(given, tensor):
            self.mutated.add(name)
        return returned


def check_task(
    make: Callable[[], Problem], photos: Callable[[], Sequence[Photo]], device: torch.device
) -> list[Finding]:
    """Observe a few photographs, and look whether operator, twin and noise keep their promises.

    Args:
        make: gives the problem.
        photos: gives at least two photographs of the problem's size.
        device: where to observe.

    Raises:
        UnknownNameError: if there is no such task.
    """
    made: Problem | Exception
    images = torch.empty(0)
    try:
        made = make()
        images = torch.stack([from_uint8(photo.pixels.to(device)) for photo in photos()])
    except UnknownNameError:
        raise
    except Exception as error:  # noqa: BLE001  a factory may raise anything
        made = error
    return look_at_all(PROPERTIES, Observing(made, images))


def _loads(asked: Observing) -> tuple[Verdict, str]:
    if isinstance(asked.made, Exception):
        return "FAILED", describe(asked.made)
    height, width = asked.made.size
    return "ok", f"here for {height}x{width}"


def _shape(asked: Observing) -> tuple[Verdict, str]:
    expected = asked.problem.observation_shape
    batch, one = asked.operator(asked.images), asked.operator(asked.images[0])
    if batch.shape != (len(asked.images), *expected):
        return "FAILED", f"{tuple(batch.shape)} of {len(asked.images)} images, one is {expected}"
    if one.shape != expected:
        return "FAILED", f"{tuple(one.shape)} of a single image without a batch, not {expected}"
    return "ok", f"{tuple(batch.shape)}"


def _dtype(asked: Observing) -> tuple[Verdict, str]:
    dtype = asked.operator(asked.images).dtype
    return ("ok" if dtype == torch.float32 else "FAILED"), str(dtype).removeprefix("torch.")


def _finite(asked: Observing) -> tuple[Verdict, str]:
    seen = asked.operator(asked.images)
    bad = int((~seen.isfinite()).sum())
    return ("FAILED" if bad else "ok"), f"{bad or 'none'} of {seen.numel()} is NaN or infinite"


def _range(asked: Observing) -> tuple[Verdict, str]:
    low, high = (float(bound) for bound in torch.aminmax(asked.operator(asked.images)))
    said = f"[{low:.4g}, {high:.4g}]"
    if 0 <= low <= high <= 1:
        return "ok", said
    if asked.problem.noise:
        return "note", f"{said}; allowed with noise"
    return "FAILED", f"{said}; without noise, scores need [0, 1]"


def _deterministic(asked: Observing) -> tuple[Verdict, str]:
    seed_everything(1)
    first = asked.operator(asked.images)
    seed_everything(2)
    changed = _difference(first, asked.operator(asked.images))
    names = " and ".join(sorted(asked.touched))
    used = f"uses the global generator of {names}" if names else ""
    said = [
        text for text in (f"observations that differ{changed}" if changed else "", used) if text
    ]
    return ("FAILED", "; ".join(said)) if said else ("ok", "the same observation")


def _batch(asked: Observing) -> tuple[Verdict, str]:
    together = asked.operator(asked.images)
    alone = torch.cat([asked.operator(image[None]) for image in asked.images])
    backwards = asked.operator(asked.images.flip(0)).flip(0)
    for text, others in (("alone", alone), ("in reverse order", backwards)):
        if changed := _difference(together, others):
            return "FAILED", f"observations {text} differ{changed}"
    return "ok", "the same alone and in reverse order"


def _inputs(asked: Observing) -> tuple[Verdict, str]:
    names = ", ".join(sorted(asked.mutated))
    return ("FAILED", f"changed by {names}") if names else ("ok", "as they were")


def _settings(asked: Observing) -> tuple[Verdict, str]:
    changed = "; ".join(sorted(asked.changed))
    return ("FAILED", changed) if changed else ("ok", "as they were")


def _noise(asked: Observing) -> tuple[Verdict, str]:
    problem, (a, b, *_) = asked.problem, asked.images
    if not problem.noise:
        return "ok", "no noise"
    seed_everything(1)
    first = problem.observe(a, "a")
    seed_everything(2)
    problem.observe(b, "b")
    if not torch.equal(first, problem.observe(a, "a")):
        return "FAILED", "an image that is observed again, after another one, has other noise"
    if torch.equal(first, problem.observe(a, "b")):
        return "FAILED", "images of two names have the same noise"
    added = (first - asked.operator(a))[problem.measured().to(first.device)].double()
    ratio = float(added.square().mean()) / problem.noise.std**2
    said = f"std {255 * problem.noise.std * ratio**0.5:.3g} levels of 255"
    wrong = abs(ratio - 1) > STANDARD_ERRORS * (2 / added.numel()) ** 0.5
    return ("FAILED" if wrong else "ok"), f"{said}, said to be {255 * problem.noise.std:.3g}"


def _twin(asked: Observing) -> tuple[Verdict, str]:
    seen = asked.operator(asked.images)
    mean = float((seen - asked.linear(asked.images)).abs().mean())
    rounded = bool(((seen * 255).round() / 255 - seen).abs().max() < LEVEL / 1000)
    fine = mean <= (LEVEL if rounded else AGAIN)
    kind = "8 bits" if rounded else "not rounded"
    return ("ok" if fine else "FAILED"), f"{255 * mean:.3g} levels apart on average; {kind}"


def _has_twin(asked: Observing) -> tuple[Verdict, str]:
    if asked.problem.linear is None:
        return "not tested", "no linear twin"
    return "ok", "there"


def _adjoint(asked: Observing) -> tuple[Verdict, str]:
    images, source = asked.images, torch.Generator().manual_seed(0)
    x = torch.randn(images.shape, generator=source).to(images)
    seen = asked.linear(x)
    error = 0.0
    for y in (torch.randn(seen.shape, generator=source).to(seen), seen):
        back = asked.adjoint(y)
        if back.shape != x.shape:
            return "FAILED", f"shape {tuple(back.shape)} of the adjoint, not {tuple(x.shape)}"
        left, right = (seen.double() * y).sum(), (x.double() * back).sum()
        error = max(error, float((left - right).abs() / (seen.norm() * y.norm())))
    return ("ok" if error <= ADJOINT else "FAILED"), f"they differ by {error:.1g} of the norms"


def _pinv(asked: Observing) -> tuple[Verdict, str]:
    seen = asked.linear(asked.images)
    again = asked.linear(asked.pinv(seen))
    error = float((again - seen).norm() / seen.norm())
    return ("ok" if error <= PSEUDO_INVERSE else "FAILED"), f"they differ by {error:.1g} of A x"


def _difference(first: Tensor, again: Tensor) -> str:
    """Say by how many levels observations differ, root mean square; nothing if they do not."""
    error = float((first - again).square().mean().sqrt())
    return "" if error <= AGAIN else f" by {255 * error:.3g} levels of 255"


SHAPE = ("loads", "shape")
FORM = (*SHAPE, "finite")
TWIN = (*FORM, "twin")
PROPERTIES: tuple[Property[Observing], ...] = (
    Property("loads", "a task, by the factory", _loads),
    Property("shape", "its observation_shape", _shape, ("loads",)),
    Property("dtype", "float32", _dtype, SHAPE),
    Property("finite", "finite values", _finite, SHAPE),
    Property("range", "[0, 1]", _range, FORM),
    Property("determinism", "the same observation again", _deterministic, FORM),
    Property("batch", "the same in any batch", _batch, (*FORM, "determinism")),
    Property("noise", "decided by the image's name", _noise, (*FORM, "determinism")),
    Property("twin", "a linear twin", _has_twin, FORM),
    Property("twin's values", "the operator's, but rounding", _twin, TWIN),
    Property("adjoint", "<A x, y> = <x, A* y>", _adjoint, TWIN),
    Property("pinv", "A A+ A x = A x", _pinv, (*TWIN, "adjoint")),
    Property("inputs", "left as they were", _inputs, ("loads",)),
    Property("settings of torch", "left as they were", _settings, ("loads",)),
)
