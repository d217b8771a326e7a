"""What the adversarial methods share: the losses, and the players with their optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch.nn import functional

from invbench.errors import InvbenchError, MissingDataError
from invbench.models.gan import condition
from invbench.networks import Unet, draw_masks, initialize_xavier
from invbench.training.descent import Average

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from invbench.networks import InputUnet
    from invbench.training.pairs import Pairs

    Generate = Callable[[Tensor, Tensor], Tensor]

GanMode = Literal["lsgan", "vanilla", "wgan"]


class InvalidOptionsError(InvbenchError, ValueError):
    """Training options contradict each other or the data."""


def gan_loss(maps: Sequence[Tensor], *, real: bool, mode: GanMode = "lsgan") -> Tensor:
    """Return how far a discriminator's verdict is from real or fake, summed over scales.

    For each map p of logits, with target t = 1 for real and 0 for fake: lsgan mean (p - t)^2,
    vanilla mean of the cross-entropy of sigmoid(p), wgan -mean p for real and mean p for fake. The
    published code, given a bare tensor where it expects a list, sums over the images of the batch
    instead: that is ``gan_loss(list(tensor), ...)``.

    Example:
        >>> gan_loss([torch.tensor([1.0, 3.0]), torch.tensor([2.0])], real=True)
        tensor(3.)
    """
    return torch.stack([_map_loss(logits, real=real, mode=mode) for logits in maps]).sum()


def _map_loss(logits: Tensor, *, real: bool, mode: GanMode) -> Tensor:
    if mode == "wgan":
        return -logits.mean() if real else logits.mean()
    target = torch.full_like(logits, float(real))
    if mode == "vanilla":
        return functional.binary_cross_entropy_with_logits(logits, target)
    return functional.mse_loss(logits, target)


def real_and_fake_loss(
    discriminator: nn.Module, real: Tensor, fake: Tensor, *, mode: GanMode = "lsgan"
) -> Tensor:
    """Return a discriminator's loss, without the factor 1/2 that some codes have."""
    on_fake = gan_loss(discriminator(fake.detach()), real=False, mode=mode)
    return on_fake + gan_loss(discriminator(real), real=True, mode=mode)


def total_of(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of named losses."""
    return torch.stack(list(losses.values())).sum()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) ``[N]``, summed over the code's entries.

    KL = -1/2 sum (1 + log variance - mean^2 - variance).
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)


class Rates(Protocol):
    """How networks descend, as part of a method's options; see `Players`."""

    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def betas(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def decay(self) -> float: ...  # noqa: D102
    @property
    def warm_up_steps(self) -> int: ...  # noqa: D102


class Players:
    """Networks by name, each with an Adam of its own and one learning rate for all.

    Args:
        networks: on the device they stay on; one of them is "generator".
        rates: the ``learning_rate`` rises linearly from zero over ``warm_up_steps``, is constant
            for half of the run, and then falls linearly to zero; ``betas`` are Adam's; ``decay``
            is that of the average of the generator's weights, which is then what is shipped,
            while 0 ships the weights themselves.
    """

    def __init__(self, networks: Mapping[str, nn.Module], rates: Rates) -> None:
        self.networks = dict(networks)
        self.learning_rate = rates.learning_rate
        self.warm_up_steps = rates.warm_up_steps
        self.average = Average(networks["generator"], rates.decay) if rates.decay else None
        self.steps = 0
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=rates.learning_rate, betas=rates.betas)
            for name, network in networks.items()
        }

    @property
    def shipped(self) -> nn.Module:
        """The generator, with averaged weights where an average is kept."""
        return self.average.network if self.average else self.networks["generator"]

    def parameters(self, *names: str) -> list[nn.Parameter]:
        """Return the parameters of the named networks."""
        return [value for name in names for value in self.networks[name].parameters()]

    def backward(self, loss: Tensor, *names: str, keep: bool = False) -> None:
        """Add the gradient of ``loss`` to the named networks, and to no other.

        ``keep`` keeps the graph for another call.
        """
        loss.backward(inputs=self.parameters(*names), retain_graph=keep)

    def step(self, *names: str, progress: float) -> None:
        """Step the named networks' optimizers, then clear their gradients."""
        warm_up = min(1.0, (self.steps + 1) / max(1, self.warm_up_steps))
        for name in names:
            optimizer = self.optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * warm_up * min(1.0, 2 * (1 - progress))
            optimizer.step()
            optimizer.zero_grad()
        if "generator" in names:
            self.steps += 1
            if self.average:
                self.average.update(self.networks["generator"])

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


def companion(network: nn.Module, *, beside: nn.Module, generator: torch.Generator) -> nn.Module:
    """Initialize a network that only training needs, and put it on the generator network's device.

    Args:
        network: changed in place.
        beside: a network that is already where training happens.
        generator: source of the random weights.
    """
    initialize_xavier(network, generator=generator)
    return network.to(next(beside.parameters()).device)


def source_of(generator: nn.Module, target: Tensor, observation: Tensor) -> Tensor:
    """Return what a generator reads for a batch of pairs, see `models.gan.condition`."""
    config: Any = generator.config
    enlarge = target.shape[-1] // observation.shape[-1]
    return condition(observation, enlarge=enlarge, smoothest=config.difference)


def with_dropout(generator: Unet | InputUnet, noise: torch.Generator) -> Generate:
    """Return a function that runs a U-Net on (images, codes) with fresh masks each time.

    Raises:
        InvalidOptionsError: for the U-Net that takes no masks.
    """
    if not isinstance(generator, Unet):
        raise InvalidOptionsError('dropout: choose the generator with injection="all"')

    def generate(images: Tensor, codes: Tensor) -> Tensor:
        shapes = generator.dropout_shapes(*images.shape[-2:])
        masks = draw_masks([noise] * len(images), shapes, device=images.device)
        out: Tensor = generator(images, codes, masks)
        return out

    return generate


def require_batch(pairs: Pairs, batch_size: int, *, multiple: int = 1) -> None:
    """Refuse a batch size that the data or the method cannot fill.

    Raises:
        MissingDataError: if there are fewer targets than that.
        InvalidOptionsError: if it is no positive multiple of ``multiple``.
    """
    if batch_size <= 0 or batch_size % multiple:
        raise InvalidOptionsError(
            f"batch_size {batch_size}: must be a positive multiple of {multiple}"
        )
    if len(pairs) < batch_size:
        raise MissingDataError(
            f"{len(pairs)} targets do not fill a batch of {batch_size}; "
            "give more images or a smaller batch_size"
        )
