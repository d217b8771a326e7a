"""What the adversarial methods share: the game's losses, its options, and how a step is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from invbench.images import to_signed
from invbench.models.gan import condition
from invbench.networks import DiscriminatorConfig, Unet, draw_masks, initialize_xavier
from invbench.seeding import generator as seeded
from invbench.training.pairs import InvalidOptionsError, require_batch
from invbench.training.players import Players

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from invbench.networks import InputUnet
    from invbench.training.pairs import Pairs

    Generate = Callable[[Tensor, Tensor], Tensor]

GanMode = Literal["lsgan", "vanilla", "wgan"]


def gan_loss(maps: Sequence[Tensor], *, real: bool, mode: GanMode = "lsgan") -> Tensor:
    r"""Return how far a discriminator's verdict is from real or fake, summed over scales.

    For a map p of logits, with the target t = 1 for real and 0 for fake:

    .. math::
        L(p, t) = \begin{cases}
            \mathrm{mean} (p - t)^2 & \text{lsgan} \\
            -\mathrm{mean} (t \log s(p) + (1 - t) \log (1 - s(p))), \; s(p) = 1 / (1 + e^{-p})
                & \text{vanilla} \\
            (1 - 2 t) \, \mathrm{mean} \, p & \text{wgan}
        \end{cases}

    The published code, given a bare tensor where it expects a list, sums over the images of the
    batch instead: that is ``gan_loss(list(tensor), ...)``.

    Example:
        >>> gan_loss([torch.tensor([1.0, 3.0]), torch.tensor([2.0])], real=True)
        tensor(3.)
    """
    return torch.stack([_map_loss(p, real=real, mode=mode) for p in maps]).sum()


def _map_loss(p: Tensor, *, real: bool, mode: GanMode) -> Tensor:
    if mode == "wgan":
        return -p.mean() if real else p.mean()
    t = torch.full_like(p, float(real))
    if mode == "vanilla":
        return functional.binary_cross_entropy_with_logits(p, t)
    return functional.mse_loss(p, t)


def real_and_fake_loss(
    discriminator: nn.Module, real: Tensor, fake: Tensor, *, mode: GanMode = "lsgan"
) -> Tensor:
    """Return a discriminator's loss, without the factor 1/2 that some codes have."""
    on_fake = gan_loss(discriminator(fake.detach()), real=False, mode=mode)
    return on_fake + gan_loss(discriminator(real), real=True, mode=mode)


@dataclass(frozen=True, kw_only=True)
class GanOptions:
    """The options that all adversarial methods have.

    Attributes:
        batch_size: images a step.
        gan_mode: form of the discriminators' losses, see `gan_loss`.
        gan_weight: weight of the (first) discriminator's verdict in the generator's loss.
        learning_rate: of Adam, see `descent.scheduled_rate`.
        betas: of Adam.
        decay: of the average of the generator's weights; 0 keeps none, see `Players`.
        warm_up_steps: over which the learning rate rises.
        discriminator_channels: width of a discriminator's first layer.
        discriminator_layers: layers of a discriminator that halve.
    """

    batch_size: int = 1
    gan_mode: GanMode = "lsgan"
    gan_weight: float = 1.0
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0
    warm_up_steps: int = 0
    discriminator_channels: int = 64
    discriminator_layers: int = 3

    def discriminator(self, in_channels: int, *, blur: bool = False) -> DiscriminatorConfig:
        """Return the sizes of a discriminator of images with so many channels."""
        return DiscriminatorConfig(
            in_channels=in_channels,
            channels=self.discriminator_channels,
            layers=self.discriminator_layers,
            blur=blur,
        )


Network = TypeVar("Network", bound=nn.Module)
Options = TypeVar("Options", bound=GanOptions)


class GanLearner(Generic[Network, Options]):
    """Trains a generator beside networks that only training needs.

    A method says in three functions what is its own: which `companions` there are, what a step
    has to `draw`, and how a step has to `update` the networks. The data, the randomness and the
    state of a run are here.

    Attributes:
        batch_multiple: what a batch size has to be a multiple of.

    Args:
        generator: the network to train, on the device of the pairs.
        pairs: what to train on.
        options: how.
        seed: of all randomness.
    """

    batch_multiple = 1
    update: Callable[..., dict[str, Tensor]]
    """Take one step, with source and target ``[N, 3, S, S]`` in [-1, 1], `draw`'s result as keyword
    arguments, and ``progress``, the part of the run that is over; return all losses, weighted."""

    def __init__(self, generator: Network, pairs: Pairs, options: Options, *, seed: int) -> None:
        require_batch(pairs, options.batch_size, multiple=self.batch_multiple)
        self.trained = generator
        self.pairs = pairs
        self.options = options
        self.generator = seeded(seed)
        networks = self.companions(pairs.targets.shape[-1])
        for network in networks.values():
            initialize_xavier(network, generator=self.generator)
            network.to(pairs.device)
        self.players = Players({"generator": generator, **networks}, options)

    def companions(self, side: int) -> dict[str, nn.Module]:
        """Build the networks that only training needs, by name, for targets of a side."""
        raise NotImplementedError

    def draw(self, target: Tensor) -> dict[str, Any]:
        """Draw the randomness of a step for a batch of targets ``[N, 3, S, S]``."""
        raise NotImplementedError

    @property
    def network(self) -> nn.Module:
        """The generator to ship, see `Players.shipped`."""
        return self.players.shipped

    def step(self, progress: float) -> dict[str, float]:
        """Take one step on a batch; ``progress`` in [0, 1] is the part of the run that is over."""
        target, observation = self.pairs.batch(self.options.batch_size, self.generator)
        config: Any = self.trained.config
        enlarge = target.shape[-1] // observation.shape[-1]
        source = condition(observation, enlarge=enlarge, smoothest=config.difference)
        drawn = self.draw(target)
        losses = self.update(source, to_signed(target), **drawn, progress=progress)
        return {name: loss.item() for name, loss in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return {"players": self.players.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.players.load_state_dict(state["players"])
        self.generator.set_state(state["generator"])


def generate_with(
    generator: Unet | InputUnet, noise: torch.Generator, *, dropout: bool
) -> Generate:
    """Return a function that runs a U-Net on (images, codes), with fresh dropout masks if asked.

    Raises:
        InvalidOptionsError: if dropout is asked of the U-Net that takes no masks.
    """
    if not dropout:
        return generator
    if not isinstance(generator, Unet):
        raise InvalidOptionsError('dropout: choose the generator with injection="all"')

    def generate(images: Tensor, codes: Tensor) -> Tensor:
        shapes = generator.dropout_shapes(*images.shape[-2:])
        masks = draw_masks([noise] * len(images), shapes, device=images.device)
        out: Tensor = generator(images, codes, masks)
        return out

    return generate
