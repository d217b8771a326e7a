"""From a method's name and a folder of photographs to trained weights with their card."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch

from invbench.errors import ForeignCheckpointError, InvalidRecordError
from invbench.files import atomic_write, claim_folder, is_there, make_folder
from invbench.machine import device_key
from invbench.models import get_method, load_network, read_card, save_checkpoint
from invbench.networks.defaults import usual_defaults
from invbench.problems import get_profile, get_task
from invbench.runs.typed_json import read_json
from invbench.training.cards import write_card
from invbench.training.curves import plot_run
from invbench.training.learners import make_learner
from invbench.training.loop import Start, train
from invbench.training.pairs import load_pairs
from invbench.training.validation import IMAGES, validate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from invbench.metrics.weights import Net
    from invbench.models import Method
    from invbench.training.budget import Budget
    from invbench.training.loop import Outcome
    from invbench.training.pairs import Pairs


SHORT_MINUTES = 5.0


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
        lpips_net: whose trunk the next are weights of.
        lpips_weights: of the trained LPIPS that IMLE selects and trains by; without them, it
            does so by pixels.
        trunk: AlexNet's weights, by whose features MoNCE learns; looked for as `load_lpips`
            does where it is left out.
        note: a sentence for the card, such as where the photographs come from.
        start: folder with a checkpoint of the pair, whose weights and minutes a run without a
            state begins with; optimizers and what only training needs begin anew.
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
    lpips_net: Net = "alex"
    lpips_weights: Path | None = None
    trunk: Path | None = None
    note: str = ""
    start: Path | None = None


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


@usual_defaults()
def run_recipe(recipe: Recipe, *, keep: bool = False) -> Trained:
    """Train, and write ``<stem>.safetensors`` and ``<stem>.md``; continues an unfinished run.

    Curves of losses and validation scores go to ``curves.png`` beside the run's log.

    Args:
        recipe: what to train.
        keep: leave a checkpoint alone that the same recipe has made with this budget or more.

    Raises:
        UnknownNameError: for an unknown model, task or profile.
        EmptyFolderError, UnreadableImageError, MissingDataError: for unusable photographs.
        ForeignCheckpointError: if the run's folder holds the state of another recipe, or
            ``start`` has another model's checkpoint under this one's name.
        MissingCheckpointError, CorruptCheckpointError: if ``start`` has none that can be read.
        DivergedError: if a loss is not finite.
        StorageError: if something cannot be written; the run can be continued.
    """
    method, profile = get_method(recipe.model), get_profile(recipe.profile)
    config = method.configure(recipe.task, profile.configuration)
    stem = method.stem(recipe.task, profile.configuration)
    size, device = profile.sizes[recipe.task], recipe.device
    pairs, held_out = _load(recipe.images, recipe.validation, recipe.task, size, device)
    torch.manual_seed(recipe.seed)
    network, start = _begin(recipe, method, config, stem)
    network = network.to(device).to(memory_format=torch.channels_last)
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
    make_folder(recipe.output)
    with claim_folder(folder) as claim:
        claim_recipe(folder, made_by)
        outcome = train(
            learner,
            recipe.budget,
            folder=folder,
            start=start,
            validate=partial(validate, method, config, held_out) if len(held_out) else None,
            validations=_validations(recipe.budget),
            device=device,
        )
        validated = min(len(held_out), IMAGES)
        card = _card(recipe, made_by, learner.network, outcome, validated=validated)
        _write(path, method, config, learner.network, card)
        plot_run(folder)
        claim.check()
    if not len(held_out):
        sys.stderr.write(f"{stem}: too few photographs to hold any out; nothing was validated\n")
    return Trained(path, card)


def _begin(recipe: Recipe, method: Method, config: Any, stem: str) -> tuple[nn.Module, Start]:
    """Return the network that a run without a state begins with, and what it has behind it."""
    if recipe.start is None:
        return method.build(config), Start()
    network, found = load_network(
        recipe.start / f"{stem}.safetensors",
        method=method,
        task=recipe.task,
        configuration=get_profile(recipe.profile).configuration,
    )
    weights = f"{found.path.name}, SHA-256 {found.sha256[:12]}"
    card = {"steps": 0, "minutes": 0.0} | found.card
    return network, Start(card["steps"], float(card["minutes"]), weights)


def _card(
    recipe: Recipe,
    made_by: Mapping[str, Any],
    network: nn.Module,
    outcome: Outcome,
    *,
    validated: int,
) -> dict[str, Any]:
    """Return what is to be known of trained weights."""
    return {
        "method": recipe.model,
        "paper": get_method(recipe.model).source,
        "task": recipe.task,
        "profile": recipe.profile,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": {
            "folder": recipe.images.name,
            "images": made_by["images"],
            "note": recipe.note,
        },
        "learning": made_by["learning"],
        "steps": outcome.steps,
        "minutes": round(outcome.minutes, 1),
        "start": outcome.start,
        "seed": recipe.seed,
        "device": device_key(recipe.device, "float32"),
        "validation": {"images": validated, **outcome.scores},
        "made": datetime.now(UTC).date().isoformat(),
    }


def _write(
    path: Path, method: Method, config: Any, network: nn.Module, card: Mapping[str, Any]
) -> None:
    """Write weights with their card, and the card once more for people."""
    save_checkpoint(
        path,
        network.state_dict(),
        method=method.name,
        stem=path.stem,
        config=method.network_config(config),
        card=card,
    )
    write_card(path.with_suffix(".md"), path.stem, card)


def _validations(budget: Budget) -> int:
    """Return how often to validate: in a short run, which it would prolong, at the end alone."""
    return 1 if budget.minutes is not None and budget.minutes < SHORT_MINUTES else 10


def _finished(path: Path, made_by: Mapping[str, Any], recipe: Recipe) -> dict[str, Any] | None:
    """Return the card of a checkpoint that needs no more training."""
    if not is_there(path):
        return None
    card, budget = read_card(path), recipe.budget
    data = card.get("data", {})
    found = {name: card.get(name) for name in made_by} | {"images": data.get("images")}
    if found != made_by or data.get("folder") != recipe.images.name:
        return None
    if budget.steps is not None:
        return card if card.get("steps", 0) >= budget.steps else None
    return card if card.get("minutes", 0) >= round(budget.minutes or 0.0, 1) else None


def claim_recipe(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Note whose state a run's folder holds, or refuse to continue that of another recipe.

    Raises:
        ForeignCheckpointError: if it holds a run of another.
        InvalidRecordError: if what is noted there is damaged.
        StorageError: if it cannot be noted.
    """
    path = folder / "recipe.json"
    try:
        found = read_json(path) if is_there(path) else made_by
    except InvalidRecordError as error:
        raise InvalidRecordError(f"{error}; delete {folder} to start afresh") from error
    if found != made_by:
        known = found if isinstance(found, dict) else {}
        differing = sorted(name for name in made_by if known.get(name) != made_by[name])
        raise ForeignCheckpointError(
            f"{folder}: holds a run of another recipe, by its {', '.join(differing)}; "
            "delete it to start afresh, or choose another folder for runs"
        )
    with atomic_write(path) as stream:
        stream.write(json.dumps(made_by, indent=1).encode())


@lru_cache(maxsize=4)
def _load(
    images: Path, validation: Path | None, task: str, size: int, device: torch.device
) -> tuple[Pairs, Pairs]:
    """Read photographs; the runs of a plan share them."""
    load = partial(load_pairs, task=get_task(task), size=size, device=device)
    if validation is None:
        return load(images, hold_out=0.05)
    return load(images)[0], load(validation, at_least=1)[0]
