"""From a method's name and a folder of photographs to trained weights with their card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from invbench.errors import (
    ForeignCheckpointError,
    InvbenchError,
    MissingDataError,
    UnknownNameError,
)
from invbench.files import atomic_write
from invbench.machine import device_key
from invbench.metrics import load_lpips
from invbench.models import get_method, read_card, save_checkpoint
from invbench.problems import get_profile, get_task
from invbench.training import bicyclegan, divco, monce, msgan
from invbench.training.cards import write_card
from invbench.training.curves import plot_run
from invbench.training.diffusion import (
    NDM_OPTIONS,
    PRIOR_OPTIONS,
    NdmLearner,
    PriorLearner,
)
from invbench.training.distances import LpipsFeatures, PixelFeatures, SumOfFeatures
from invbench.training.imle import CHIMLE_OPTIONS, CIMLE_OPTIONS, ImleLearner
from invbench.training.loop import train
from invbench.training.monce_paired import PairedMonceLearner
from invbench.training.pairs import load_pairs
from invbench.training.validation import IMAGES, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from invbench.metrics import Lpips
    from invbench.models import Method
    from invbench.training.distances import Features
    from invbench.training.imle import ImleOptions
    from invbench.training.loop import Budget, Learner
    from invbench.training.pairs import Pairs
    from invbench.training.plan import PlannedRun

    Build = Callable[[Any, Any, Pairs, "Recipe"], tuple[Learner, Any]]

PIXEL_WEIGHT = 10.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    Attributes:
        model: model id.
        task: task id.
        images: folder of photographs to train on.
        validation: folder of photographs to validate on; without it, 5 % of ``images``.
        profile: whose sizes and configuration are trained.
        budget: when to stop.
        seed: of initialization, data order and noise.
        device: where.
        output: folder for the weights and their card.
        runs: folder for the state and log of the run.
        lpips: a trained LPIPS that IMLE selects and trains by; without it, by pixels.
        trunk: AlexNet's weights, by whose features MoNCE learns; looked for as `load_lpips`
            does where it is left out.
        note: a sentence for the card, such as where the photographs come from.
    """

    model: str
    task: str
    images: Path
    validation: Path | None
    profile: str
    budget: Budget
    seed: int
    device: torch.device
    output: Path
    runs: Path
    lpips: Lpips | None = None
    trunk: Path | None = None
    note: str = ""


@dataclass(frozen=True)
class Trained:
    """What became of a run.

    Attributes:
        path: the checkpoint.
        card: its card.
        kept: whether it was there already.
    """

    path: Path
    card: Mapping[str, Any]
    kept: bool = False


def run_recipe(recipe: Recipe, *, keep: bool = False) -> Trained:
    """Train, and write ``<stem>.safetensors`` and ``<stem>.md``; continues an unfinished run.

    Curves of losses and validation scores go to ``curves.png`` beside the run's log.

    Args:
        recipe: what to train.
        keep: leave a checkpoint alone that the same recipe has made with this budget or more.

    Raises:
        UnknownNameError: for an unknown model, task or profile.
        EmptyFolderError, UnreadableImageError, MissingDataError: for unusable photographs.
        ForeignCheckpointError: if the run's folder holds the state of another recipe.
        DivergedError: if a loss is not finite.
        StorageError: if something cannot be written; the run can be continued.
    """
    method, profile = get_method(recipe.model), get_profile(recipe.profile)
    config = method.configure(recipe.task, profile.configuration)
    stem = method.stem(recipe.task, profile.configuration)
    pairs, held_out = _load(recipe, profile.sizes[recipe.task])
    torch.manual_seed(recipe.seed)
    network = method.build(config).to(recipe.device).to(memory_format=torch.channels_last)
    learner, settings = make_learner(method, network, config, pairs, recipe)
    made_by = {
        "method": method.name,
        "profile": profile.name,
        "seed": recipe.seed,
        "images": len(pairs),
        "learning": json.loads(json.dumps(settings)),
    }
    path = recipe.output / f"{stem}.safetensors"
    if keep and (card := _finished(path, made_by, recipe)) is not None:
        return Trained(path, card, kept=True)
    folder = recipe.runs / f"{stem}-{profile.name}"
    _claim(folder, made_by)
    outcome = train(
        learner,
        recipe.budget,
        folder=folder,
        validate=partial(validate, method, config, held_out) if len(held_out) else None,
        device=recipe.device,
    )
    card = {
        "method": method.name,
        "paper": method.source,
        "task": recipe.task,
        "profile": profile.name,
        "parameters": sum(p.numel() for p in learner.network.parameters()),
        "data": {"folder": recipe.images.name, "images": len(pairs), "note": recipe.note},
        "learning": settings,
        "steps": outcome.steps,
        "minutes": round(outcome.minutes, 1),
        "seed": recipe.seed,
        "device": device_key(recipe.device, "float32"),
        "validation": {"images": min(len(held_out), IMAGES), **outcome.scores},
        "made": datetime.now(UTC).date().isoformat(),
    }
    save_checkpoint(
        path,
        learner.network.state_dict(),
        method=method.name,
        stem=stem,
        config=method.network_config(config),
        card=card,
    )
    write_card(path.with_suffix(".md"), stem, card)
    plot_run(folder)
    return Trained(path, card)


def run_plan(
    runs: Sequence[PlannedRun], recipe_of: Callable[[PlannedRun], Recipe]
) -> Iterator[tuple[PlannedRun, Trained | InvbenchError]]:
    """Train run after run, keeping what is there; one that fails does not stop the others.

    Args:
        runs: see `training.plan.plan_runs`.
        recipe_of: how a run is trained.

    Yields:
        Each run with what became of it.
    """
    for run in tqdm(runs, desc="runs", unit="run", disable=None):
        try:
            yield run, run_recipe(recipe_of(run), keep=True)
        except InvbenchError as error:
            yield run, error


def _finished(path: Path, made_by: Mapping[str, Any], recipe: Recipe) -> dict[str, Any] | None:
    """Return the card of a checkpoint that needs no more training."""
    if not path.exists():
        return None
    card, budget = read_card(path), recipe.budget
    data = card.get("data", {})
    found = {name: card.get(name) for name in made_by} | {"images": data.get("images")}
    if found != made_by or data.get("folder") != recipe.images.name:
        return None
    if budget.steps is not None:
        return card if card["steps"] >= budget.steps else None
    return card if card["minutes"] >= round(budget.minutes or 0.0, 1) else None


def _claim(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Note whose state a run's folder holds, or refuse to continue that of another recipe."""
    path = folder / "recipe.json"
    if path.exists() and (found := json.loads(path.read_text())) != made_by:
        differing = sorted(name for name in made_by if found.get(name) != made_by[name])
        raise ForeignCheckpointError(
            f"{folder}: holds a run of another recipe ({', '.join(differing)} differ); "
            "delete it to start afresh, or choose another folder for runs"
        )
    with atomic_write(path) as stream:
        stream.write(json.dumps(made_by, indent=1).encode())


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


def _load(recipe: Recipe, size: int) -> tuple[Pairs, Pairs]:
    task = get_task(recipe.task)
    if recipe.validation is None:
        return load_pairs(recipe.images, task=task, size=size, device=recipe.device, hold_out=0.05)
    pairs, _ = load_pairs(recipe.images, task=task, size=size, device=recipe.device)
    held_out, _ = load_pairs(recipe.validation, task=task, size=size, device=recipe.device)
    return pairs, held_out


def _imle(options: Mapping[str, ImleOptions]) -> Build:
    def build(network: Any, _: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
        chosen = options[get_profile(recipe.profile).configuration]
        features: Features = PixelFeatures()
        if recipe.lpips is not None:
            perceptual = LpipsFeatures(
                recipe.lpips.model, name=recipe.lpips.name, smallest=recipe.lpips.smallest_side
            )
            features = SumOfFeatures(perceptual, features, second_weight=PIXEL_WEIGHT)
        learner = ImleLearner(network, pairs, features, chosen, seed=recipe.seed)
        return learner, {"distance": features.name, **asdict(chosen)}

    return build


def _gan(learner: Callable[..., Learner], options: Mapping[str, Any]) -> Build:
    def build(network: Any, _: Any, pairs: Pairs, recipe: Recipe) -> tuple[Learner, Any]:
        chosen = options[get_profile(recipe.profile).configuration]
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


def _features(model: nn.Module, images: Tensor) -> list[Tensor]:
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
    "msgan": _gan(msgan.MsganLearner, msgan.OPTIONS),
    "monce": _monce,
    "ddrm": _prior,
    "ndm": _ndm,
}
