"""Reading what a run needs: metrics of validity, targets, the reference sampler."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from invbench.data import DataSet
from invbench.data.folder import folder_photos
from invbench.data.photos import photos as embedded_photos
from invbench.errors import RandomLpipsWarning
from invbench.evaluation import Facts, Subject
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import fitted_prior, reference_sampler

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from invbench.data.folder import Grouping
    from invbench.metrics import Metric
    from invbench.metrics.weights import Net
    from invbench.problems import Problem
    from invbench.suite.options import Options

EMBEDDED = "embedded"  # name of the data set that needs no folder


def reference_subject(problem: Problem) -> Subject:
    """Build the reference sampler of a problem."""
    facts = Facts(
        family="closed form",
        source="Gaussian prior fitted to photographs",
        configuration=f"version {fitted_prior().version}",
        stochastic="noise",
    )
    return Subject(reference_sampler(problem), facts)


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
    return DataSet(folder.absolute().name, folder_photos(folder, size, count, groups=groups))
