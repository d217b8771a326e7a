"""The learner of each method, with the options of its recipe."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from invbench.errors import MissingDataError, UnknownNameError
from invbench.metrics import load_lpips
from invbench.problems import get_profile
from invbench.training import bicyclegan, divco, monce, msgan, ndm, prior
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


def _with_options(
    learner: Callable[..., Learner],
    options: Mapping[str, Any],
    *,
    by_task: Mapping[tuple[str, str], Any] = MappingProxyType({}),
    config_of: Callable[[Any], Any] | None = None,
) -> Build:
    """Return what builds a learner with the options of a recipe's profile.

    Args:
        learner: reads a network, pairs, what ``config_of`` takes from the method's configuration
            where it is given, and options.
        options: by configuration name.
        by_task: exceptions, by configuration name and task.
        config_of: see above.
    """

    def build(network: Any, config: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
        configuration = get_profile(recipe.profile).configuration
        chosen = by_task.get((configuration, recipe.task), options[configuration])
        given = (config_of(config), chosen) if config_of else (chosen,)
        return learner(network, pairs, *given, seed=recipe.seed), asdict(chosen)

    return build


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
        learner = ImleLearner(
            network, pairs, features, chosen, seed=recipe.seed, grown=recipe.start is not None
        )
        return learner, {"distance": features.name, **asdict(chosen)}

    return build


def _monce(network: Any, config: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
    options = monce.OPTIONS[get_profile(recipe.profile).configuration]
    if isinstance(options, monce.MonceOptions):
        return _with_options(monce.MonceLearner, monce.OPTIONS)(network, config, pairs, recipe)
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


_LEARNERS: dict[str, Build] = {
    "chimle": _imle(CHIMLE_OPTIONS),
    "cimle": _imle(CIMLE_OPTIONS),
    "bicyclegan": _with_options(bicyclegan.BicycleLearner, bicyclegan.OPTIONS),
    "divco": _with_options(bicyclegan.BicycleLearner, divco.OPTIONS),
    "msgan": _with_options(msgan.MsganLearner, msgan.OPTIONS, by_task=msgan.BY_TASK),
    "monce": _monce,
    "ddrm": _with_options(prior.PriorLearner, prior.OPTIONS, config_of=lambda config: config.prior),
    "ndm": _with_options(ndm.NdmLearner, ndm.OPTIONS, config_of=lambda config: config),
}
