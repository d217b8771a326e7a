"""How weights follow gradients: a schedule of rates, an average of weights, and Adam with both."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DescentOptions:
    """How weights follow gradients; the defaults are NDM's, but for the warm-up.

    Attributes:
        learning_rate: of Adam, see `scheduled_rate`. The published runs keep it constant.
        warm_up_steps: over which it rises; published 2500.
        clip_norm: largest norm of the gradient.
        decay: of the average of the weights, as soon as enough of them have been seen.
    """

    learning_rate: float = 2e-4
    warm_up_steps: int = 500
    clip_norm: float = 1.0
    decay: float = 0.999


def scheduled_rate(rate: float, progress: float, *, step: int = 0, warm_up_steps: int = 0) -> float:
    r"""Return a step's learning rate: it rises, is constant for half of a run, and falls to zero.

    For step k, of which the first is 0, W steps of warm-up and the part p of the run that is over:

    .. math::
        \eta_k = \eta \; \min(1, (k + 1) / W) \; \min(1, 2 (1 - p))
    """
    return rate * min(1.0, (step + 1) / max(1, warm_up_steps)) * min(1.0, 2 * (1 - progress))


class Average:
    """An exponential moving average of a network's weights that forgets its start quickly.

    After k updates the decay is at most ``(1 + k) / (10 + k)``. The published NDM code updates it
    one step late; here it follows every step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.network.parameters(), network.parameters(), strict=True)
        for average, weight in pairs:
            average.lerp_(weight, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return what continues the average."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]


class Descent:
    """A network in training: Adam, the average of its weights, and the run's randomness."""

    def __init__(self, network: nn.Module, options: DescentOptions, *, seed: int) -> None:
        self.network = network.train()
        self.options = options
        self.average = Average(network, options.decay)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.average.updates

    def step(self, loss: Tensor, progress: float) -> dict[str, float]:
        """Take one step down the loss; ``progress`` is the part of the run that is over."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = scheduled_rate(
                options.learning_rate,
                progress,
                step=self.steps,
                warm_up_steps=options.warm_up_steps,
            )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), options.clip_norm)
        self.optimizer.step()
        self.average.update(self.network)
        return {"loss": loss.item()}

    def noise(self, like: Tensor) -> Tensor:
        """Draw standard normal noise of a tensor's shape, the same for every device."""
        return torch.randn(like.shape, generator=self.generator).to(like.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
