"""The learner of each method, with the options of its recipe."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from invbench.errors import MissingDataError, UnknownNameError
from invbench.metrics import load_lpips
from invbench.problems import get_profile
from invbench.training import bicyclegan, divco, monce, msgan
from invbench.training.diffusion import NDM_OPTIONS, PRIOR_OPTIONS, NdmLearner, PriorLearner
from invbench.training.distances import LpipsFeatures, PixelFeatures, SumOfFeatures
from invbench.training.imle import CHIMLE_OPTIONS, CIMLE_OPTIONS, ImleLearner
from invbench.training.monce_paired import PairedMonceLearner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from invbench.models import Method
    from invbench.training.distances import Features
    from invbench.training.imle import ImleOptions
    from invbench.training.loop import Learner
    from invbench.training.pairs import Pairs
    from invbench.training.recipes import Recipe

    Build = Callable[[Any, Any, Pairs, Recipe], tuple[Learner, Any]]

PIXEL_WEIGHT = 10.0


def make_learner(
    method: Method, network: nn.Module, config: Any, pairs: Pairs, recipe: Recipe
) -> tuple[Learner, dict[str, Any]]:
    """Build a method's learner with the options of its recipe, and say what they are.

    Raises:
        UnknownNameError: if the method cannot be trained.
    """
    if method.name not in _LEARNERS:
        raise UnknownNameError.among("trainable model", method.name, _LEARNERS)
    return _LEARNERS[method.name](network, config, pairs, recipe)


def _imle(options: Mapping[str, ImleOptions]) -> Build:
    def build(network: Any, _: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
        chosen = options[get_profile(recipe.profile).configuration]
        features: Features = PixelFeatures()
        if recipe.lpips_weights is not None:
            lpips = load_lpips(
                net=recipe.lpips_net,
                weights=recipe.lpips_weights,
                offline=True,
                device=recipe.device,
            )
            perceptual = LpipsFeatures(lpips.model, name=lpips.name, smallest=lpips.smallest_side)
            features = SumOfFeatures(perceptual, features, second_weight=PIXEL_WEIGHT)
        learner = ImleLearner(network, pairs, features, chosen, seed=recipe.seed)
        return learner, {"distance": features.name, **asdict(chosen)}

    return build


def _gan(
    learner: Callable[..., Learner],
    options: Mapping[str, Any],
    by_task: Mapping[tuple[str, str], Any] = MappingProxyType({}),
) -> Build:
    def build(network: Any, _: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
        configuration = get_profile(recipe.profile).configuration
        chosen = by_task.get((configuration, recipe.task), options[configuration])
        return learner(network, pairs, chosen, seed=recipe.seed), asdict(chosen)

    return build


def _monce(network: Any, _: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
    options = monce.OPTIONS[get_profile(recipe.profile).configuration]
    learner: Learner
    if isinstance(options, monce.MonceOptions):
        learner = monce.MonceLearner(network, pairs, options, seed=recipe.seed)
        return learner, asdict(options)
    trunk = load_lpips(weights=recipe.trunk, offline=True, device=recipe.device)
    if trunk.reason:
        raise MissingDataError(f"MoNCE learns by AlexNet's features: give --trunk ({trunk.reason})")
    learner = PairedMonceLearner(
        network, pairs, options, seed=recipe.seed, trunk=partial(_features, trunk.model)
    )
    return learner, {"trunk": trunk.name, **asdict(options)}


def _features(model: Any, images: Tensor) -> list[Tensor]:
    """Return the feature maps of an LPIPS trunk, of images in [-1, 1]."""
    return list(model.net(model.scaling_layer(images)))


def _prior(network: Any, config: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
    options = PRIOR_OPTIONS[get_profile(recipe.profile).configuration]
    return PriorLearner(network, pairs, config.prior, options, seed=recipe.seed), asdict(options)


def _ndm(network: Any, config: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
    options = NDM_OPTIONS[get_profile(recipe.profile).configuration]
    return NdmLearner(network, pairs, config, options, seed=recipe.seed), asdict(options)


_LEARNERS: dict[str, Build] = {
    "chimle": _imle(CHIMLE_OPTIONS),
    "cimle": _imle(CIMLE_OPTIONS),
    "bicyclegan": _gan(bicyclegan.BicycleLearner, bicyclegan.OPTIONS),
    "divco": _gan(divco.DivcoLearner, divco.OPTIONS),
    "msgan": _gan(msgan.MsganLearner, msgan.OPTIONS, msgan.BY_TASK),
    "monce": _monce,
    "ddrm": _prior,
    "ndm": _ndm,
}
