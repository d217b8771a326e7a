"""What the suite has to know of a sampler, and of a built-in method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import Tensor, nn


@runtime_checkable
class Sampler(Protocol):
    """A conditional generative model behind one call; any function of this form will do.

    Optional attributes say more of it:

    - ``nfe``: the number of network evaluations a sample;
    - ``stochastic``: by what samples of one observation differ; "none" if they do not;
    - ``fingerprint``: text that changes with whatever samples depend on besides the code of the
      sampler's module, as the SHA-256 of its weights. Together with a digest of that code it tells
      whether a stored result is this sampler's: a run that is resumed measures again what changed.
      A sampler with neither code to read nor fingerprint is always measured again.
    """

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row.

        Args:
            observation: ``[N, c, h, w]`` in [0, 1], or a little beyond where the problem has
                noise, on the sampler's device. Gradients are disabled; ``torch.enable_grad()``
                enables them.
            generators: N CPU generators; sample n must take all its randomness from generator n,
                so that it does not depend on its batch.

        Returns:
            ``[N, 3, H, W]`` in [0, 1], of any floating type; NumPy arrays are converted.
        """


@dataclass(frozen=True, kw_only=True)
class Method:
    """What the suite has to know of a built-in method.

    Attributes:
        name: model id, as in case ids.
        family: "imle", "gan" or "diffusion".
        source: the paper.
        configure: gives the configuration, a frozen dataclass, for (task, configuration name).
        build: makes the untrained network of a configuration.
        sampler: wraps a network and its configuration as a `Sampler`.
        stem: gives the checkpoint's file name without suffix, for (task, configuration name).
        rename_official: gives the names of our network to a published state dict.
        network_config: gives the part of a configuration that shapes the weights, where that is
            not all of it; a checkpoint fits if this part agrees.
        stochastic: says by what the samples of one observation differ, for a configuration:
            "code", "noise" along a path, another mechanism, or "none".
        rounds: says of a configuration whether its sampler rounds what the network predicts and
            goes on from there, as a codec does. A bfloat16's error then moves a value across the
            edge between two steps of the rounding, and comes out as large as such a step.
    """

    name: str
    family: str
    source: str
    configure: Callable[[str, str], Any]
    build: Callable[[Any], nn.Module]
    sampler: Callable[[Any, Any], Sampler]
    stem: Callable[[str, str], str]
    rename_official: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    network_config: Callable[[Any], Any] = lambda config: config
    stochastic: Callable[[Any], str] = lambda _: "code"
    rounds: Callable[[Any], bool] = lambda _: False

    def network_dtype(self, config: Any, dtype: str) -> str:
        """Return what a configuration's network computes in where ``dtype`` is asked for.

        It is float32 where the sampler rounds: then no other would do.
        """
        return "float32" if self.rounds(config) else dtype
