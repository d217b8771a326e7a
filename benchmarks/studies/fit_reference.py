"""Fit the prior of the reference sampler to photographs: ``invbench/models/reference.toml``.

The prior has five numbers. Mean, standard deviation and the correlation of colour channels are the
photographs' own. Length l and exponent a are those whose correlation at lags dy and dx,
exp(-(|dy| / l)^a - (|dx| / l)^a), comes nearest to the photographs' in the mean of squares over all
lags up to half a side, at 64 and at 128 pixels alike, with the length in sides of the image.

    python benchmarks/studies/fit_reference.py PHOTOGRAPHS [-o FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import least_squares

from invbench.data.folder import folder_photos

SIZES = (64, 128)
VERSION = "1"


def read(folder, size):
    """Return photographs in [0, 1], ``[N, 3, size, size]``, without gray ones."""
    images = torch.stack([photo.pixels for photo in folder_photos(folder, size, None)])
    colourful = (images != images[:, :1]).flatten(1).any(1)
    return images[colourful].numpy() / np.float32(255)


def correlations(images, mean):
    """Return the correlation at lags 0 to half a side, ``[size/2 + 1] * 2``, over all channels."""
    size = images.shape[-1]
    total = 0.0
    for image in images:
        power = np.abs(np.fft.rfft2(image - mean, (2 * size, 2 * size))) ** 2
        total = total + np.fft.irfft2(power, (2 * size, 2 * size)).sum(0)
    pairs = size - np.abs(np.fft.fftfreq(2 * size, 1 / (2 * size)))
    unbiased = total / np.maximum(np.outer(pairs, pairs), 1)
    half = size // 2 + 1
    down, up = unbiased[:half, :half], unbiased[-np.arange(half), :half]
    return (down + up) / 2 / unbiased[0, 0]


def fit(measured):
    """Return the length, in sides, and the exponent."""

    def misfit(parameters):
        length, exponent = np.exp(parameters)
        parts = []
        for found in measured:
            half = len(found)
            sides = np.arange(half) / (2 * (half - 1))
            fall = (sides / length) ** exponent
            expected = np.exp(-fall[:, None] - fall)
            parts.append((found - expected).ravel() / half)
        return np.concatenate(parts)

    return np.exp(least_squares(misfit, np.log([0.3, 0.7])).x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()

    sizes = [read(arguments.photographs, size) for size in SIZES]
    mean = float(np.mean([images.mean() for images in sizes]))
    covariance = np.mean(
        [np.cov((images - mean).transpose(1, 0, 2, 3).reshape(3, -1)) for images in sizes], axis=0
    )
    variance = covariance.trace() / 3
    correlation = (covariance.sum() - covariance.trace()) / 6 / variance
    length, exponent = fit([correlations(images, mean) for images in sizes])
    numbers = {
        "mean": mean,
        "std": variance**0.5,
        "length": length,
        "exponent": exponent,
        "color_correlation": correlation,
    }
    lines = [
        f"# Fitted by benchmarks/studies/fit_reference.py to {len(sizes[0])} crops of photographs.",
        f'version = "{VERSION}"',
        *(f"{name} = {value:.4f}" for name, value in numbers.items()),
    ]
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
