"""What the methods share that learn by denoising: options, and how a step is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from invbench.training.descent import Descent, DescentOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from invbench.training.pairs import Pairs

# In minutes on a CPU many small steps get further than few large ones: after 75 seconds of the
# prior at 64x64, four images a step reach a validation loss of 0.22, 32 a step one of 0.38.
BRIEF = DescentOptions(learning_rate=1e-3, warm_up_steps=50, decay=0.995)


@dataclass(frozen=True, kw_only=True)
class DenoisingOptions:
    """How a network learns to denoise.

    Attributes:
        batch_size: images a step.
        descent: how weights follow gradients.
        emphasis: of strong noise in the loss, see the method's; published 0.
    """

    batch_size: int = 32
    descent: DescentOptions = field(default_factory=DescentOptions)
    emphasis: float = 0.0


Config = TypeVar("Config")
Options = TypeVar("Options", bound=DenoisingOptions)


class DenoisingLearner(Generic[Config, Options]):
    """Trains a network to denoise; a method says by which `loss`.

    Args:
        network: what is trained, on the device of the pairs.
        pairs: what to train on.
        config: what the network's weights mean.
        options: how to train.
        seed: of all randomness.
    """

    def __init__(
        self, network: nn.Module, pairs: Pairs, config: Config, options: Options, *, seed: int
    ) -> None:
        self.pairs = pairs
        self.config = config
        self.options = options
        self.descent = Descent(network, options.descent, seed=seed)

    def loss(self, target: Tensor, observation: Tensor) -> Tensor:
        """Return the loss of a batch as `Pairs.batch` gives it."""
        raise NotImplementedError

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights."""
        return self.descent.average.network

    def step(self, progress: float) -> dict[str, float]:
        """Take one step on a batch; ``progress`` in [0, 1] is the part of the run that is over."""
        batch = self.pairs.batch(self.options.batch_size, self.descent.generator)
        return self.descent.step(self.loss(*batch), progress)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continues the run exactly."""
        return self.descent.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.descent.load_state_dict(state)
