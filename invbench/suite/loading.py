"""Reading what a run needs: metrics of validity, targets, samplers of ours."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from invbench.data import DataSet
from invbench.data.folder import folder_photos
from invbench.data.photos import photos as embedded_photos
from invbench.errors import MissingCheckpointError, RandomLpipsWarning
from invbench.escaping import plain
from invbench.evaluation import Facts, Subject
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import fitted_prior, get_method, load_checkpoint, reference_sampler
from invbench.suite.places import suite_folder

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from invbench.data.folder import Grouping
    from invbench.metrics import Metric
    from invbench.metrics.weights import Net
    from invbench.models import Case
    from invbench.problems import Problem
    from invbench.suite.options import Options

EMBEDDED = "embedded"  # name of the data set that needs no folder
SHIPPED = "tiny"  # configuration of the weights that come along


def reference_subject(problem: Problem) -> Subject:
    """Build the reference sampler of a problem."""
    facts = Facts(
        family="closed form",
        source="Gaussian prior fitted to photographs",
        configuration=f"version {fitted_prior().version}",
        stochastic="noise",
    )
    return Subject(reference_sampler(problem), facts)


def trained_subject(
    case: Case,
    configuration: str,
    *,
    folder: Path | None,
    device: torch.device,
    dtype: str = "float32",
) -> Subject:
    """Build a method's sampler from its weights.

    Args:
        case: model and task.
        configuration: name of the method's configuration.
        folder: of the weights; by default that of those that come along.
        device: where the sampler runs.
        dtype: "float32", or "bfloat16" for networks that compute in it.

    Raises:
        MissingCheckpointError: if there are no such weights.
        CorruptCheckpointError, ForeignCheckpointError: see `models.checkpoints`.
    """
    if folder is None and configuration != SHIPPED:
        raise MissingCheckpointError(
            f"no weights of configuration {configuration} come along; make some by `invbench "
            "import-checkpoint` or `invbench train`, and give their folder as --checkpoints"
        )
    method = get_method(case.model)
    folder = folder or suite_folder() / "fixtures" / "checkpoints"
    sampler, checkpoint = load_checkpoint(
        folder / f"{method.stem(case.task, configuration)}.safetensors",
        method=method,
        task=case.task,
        configuration=configuration,
        device=device,
        dtype=dtype,
    )
    config = method.configure(case.task, configuration)
    network_dtype = method.network_dtype(config, dtype)
    facts = Facts(
        family=method.family,
        source=method.source,
        configuration=configuration,
        stochastic=method.stochastic(config),
        checkpoint=checkpoint,
        network_dtype=None if network_dtype == dtype else network_dtype,
    )
    return Subject(sampler, facts)


def load_metrics(options: Options, device: torch.device, *, offline: bool) -> tuple[Metric, ...]:
    """Load the metrics of validity, with the trunk of LPIPS that the options name.

    Args:
        options: its `lpips_net` and `lpips_weights` count.
        device: where LPIPS runs.
        offline: whether its weights must not be downloaded.
    """
    net = cast("Net", options.lpips_net)
    lpips = load_lpips(net=net, weights=options.lpips_weights, offline=offline, device=device)
    if lpips.reason:
        random = f"LPIPS is made with random weights, as {lpips.name}: {lpips.reason}"
        warnings.warn(random, RandomLpipsWarning, stacklevel=2)
    return validity_metrics(lpips)


@lru_cache(maxsize=4)  # the models of a task share its photographs
def read_data_set(
    folder: Path | None, size: int, count: int | None, *, groups: Grouping = "image"
) -> DataSet:
    """Read photographs as ``size`` x ``size`` targets.

    Args:
        folder: holds the photographs; without one they are the embedded ones.
        size: side of the targets, in pixels.
        count: how many, of a folder's at most; all by default.
        groups: see `data.folder.folder_photos`.
    """
    if folder is None:
        return DataSet(EMBEDDED, embedded_photos(size, count))
    return DataSet(plain(folder.absolute().name), folder_photos(folder, size, count, groups=groups))
