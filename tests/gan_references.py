"""What the tests of the adversarial methods share."""

from types import SimpleNamespace

import torch

from invbench.models.gan import rename_official
from invbench.training.pairs import Pairs


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def make_pairs(side, count=4, operator=lambda images: images):
    shape = (count, 3, side, side)
    targets = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))
    return Pairs(SimpleNamespace(operator=operator), targets, torch.device("cpu"))


def part(tensors, prefix):
    """Return the tensors under a prefix, by our names."""
    found = {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
    return rename_official(found)


def record_gradients(learner):
    """Return a dict that gets each network's gradients just before its optimizer steps."""
    found = {}
    for name, optimizer in learner.players.optimizers.items():

        def keep(*_, name=name):
            network = learner.players.networks[name]
            found[name] = {key: one.grad.clone() for key, one in network.named_parameters()}

        optimizer.register_step_pre_hook(keep)
    return found


def record_passes(learner):
    """Return a dict that gets (arguments, output) of each pass of each network."""
    found = {name: [] for name in learner.players.networks}
    for name, network in learner.players.networks.items():
        network.register_forward_hook(
            lambda _, given, output, name=name: found[name].append((given, output))
        )
    return found


def same_gradients(ours, theirs):
    assert theirs
    for key, expected in theirs.items():
        torch.testing.assert_close(ours[key], expected, atol=1e-4, rtol=1e-3, msg=key)
