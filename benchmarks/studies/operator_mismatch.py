"""How valid are DDRM's samples if the operator it inverts is not the benchmark's?

Run: python benchmarks/studies/operator_mismatch.py

DDRM holds its samples to the observation through the operator's singular basis. The published code
has operators of its own: a gray that is the mean of the channels, and bicubic weights mirrored at
the border, or plain block means, for super-resolution. The same weights, noise and photographs are
used with each, and reobservations made with the benchmark's operator. Without any network, the
last column compares both operators on the photographs themselves: how far apart they are.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from invbench.data.photos import photos
from invbench.evaluation import draw
from invbench.images import from_uint8
from invbench.metrics import psnr
from invbench.models import get_method, load_weights, prepare
from invbench.models.configurations.ddrm import OPERATORS
from invbench.models.ddrm import DdrmOptions, DdrmSampler
from invbench.problems import get_profile, get_task

HIGHEST_DB = 100.0


def reobserve_through(svd, target, observation):
    """Apply an operator by its singular values: what it would have observed."""
    s = svd.singular_values.float()
    seen = svd.u(s * svd.v_transpose(target[None])[:, : len(s)])
    return seen.reshape(1, *observation.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, default=Path("fixtures/checkpoints"))
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    method, profile = get_method("ddrm"), get_profile(options.profile)
    print(f"{'task':<14}{'operator':<10}{'psnr, dB':>9}{'operators alone, dB':>21}")
    for task, operators in OPERATORS.items():
        size, operator = profile.sizes[task], get_task(task).operator
        config = method.configure(task, profile.configuration)
        network = method.build(config)
        stem = method.stem(task, profile.configuration)
        network.load_state_dict(load_weights(options.checkpoints / f"{stem}.safetensors")[0])
        prepare(network, "cpu")
        for name, decompose in operators.items():
            restorer = partial(DdrmSampler, decompose=decompose, options=DdrmOptions())
            sampler = method.sampler(network, replace(config, restorer=restorer))
            scores, alone = [], []
            for photo in photos(size, options.images):
                target = from_uint8(photo.pixels)
                observation = operator(target)
                samples = draw(
                    sampler,
                    observation[None],
                    task=task,
                    image_ids=[photo.id],
                    size=(size, size),
                    n_samples=options.samples,
                )[0]
                scores.append(psnr(operator(samples), observation).clamp(max=HIGHEST_DB).mean())
                svd = decompose(*observation.shape[-2:])
                other = reobserve_through(svd, target, observation)
                alone.append(psnr(other.clamp(0, 1), observation).clamp(max=HIGHEST_DB).mean())
            mean, bound = (torch.stack(values).mean().item() for values in (scores, alone))
            print(f"{task:<14}{name:<10}{mean:>9.2f}{bound:>21.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
