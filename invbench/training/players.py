"""The networks of an adversarial game, each with an optimizer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from invbench.training.descent import Average, scheduled_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from invbench.training.gan import GanOptions


class Players:
    """Networks by name, each with an Adam of its own and one learning rate for all.

    Args:
        networks: on the device they stay on; one of them is "generator".
        options: give the rate and Adam's ``betas``. Where ``decay`` is not 0, an average of the
            generator's weights is kept and shipped instead of the weights themselves.
    """

    def __init__(self, networks: Mapping[str, nn.Module], options: GanOptions) -> None:
        self.networks = dict(networks)
        self.learning_rate = options.learning_rate
        self.warm_up_steps = options.warm_up_steps
        self.average = Average(networks["generator"], options.decay) if options.decay else None
        self.steps = 0
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), lr=options.learning_rate, betas=options.betas
            )
            for name, network in networks.items()
        }

    @property
    def shipped(self) -> nn.Module:
        """The generator, with averaged weights where an average is kept."""
        return self.average.network if self.average else self.networks["generator"]

    def backward(self, losses: Mapping[str, Tensor], *names: str, keep: bool = False) -> None:
        """Add the gradient of the sum of losses to the named networks, and to no other.

        ``keep`` keeps the graph for another call.
        """
        total = torch.stack(list(losses.values())).sum()
        weights = [value for name in names for value in self.networks[name].parameters()]
        total.backward(inputs=weights, retain_graph=keep)

    def step(self, *names: str, progress: float) -> None:
        """Step the named networks' optimizers, then clear their gradients."""
        rate = scheduled_rate(
            self.learning_rate, progress, step=self.steps, warm_up_steps=self.warm_up_steps
        )
        for name in names:
            optimizer = self.optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        if "generator" in names:
            self.steps += 1
            if self.average:
                self.average.update(self.networks["generator"])

    def descend(self, losses: Mapping[str, Tensor], *names: str, progress: float) -> None:
        """Take a step of the named networks down the sum of losses."""
        self.backward(losses, *names)
        self.step(*names, progress=progress)

    def state_dict(self) -> dict[str, Any]:
        """Return all weights and optimizer states."""
        state: dict[str, Any] = {
            name: {
                "network": network.state_dict(),
                "optimizer": self.optimizers[name].state_dict(),
            }
            for name, network in self.networks.items()
        }
        average = self.average.state_dict() if self.average else None
        return state | {"steps": self.steps, "average": average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name]["network"])
            self.optimizers[name].load_state_dict(state[name]["optimizer"])
        self.steps = state["steps"]
        if self.average:
            self.average.load_state_dict(state["average"])
