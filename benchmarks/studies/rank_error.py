"""Print how often `invbench rank` tells apart models that are equally good.

Eight models are measured on the same crops of photographs; none is better. Scores share what a
photograph makes of them, and differences between models have the correlation .45 within a
photograph that was measured between the shipped models, or none. Differences are normal, or of
lognormal skewness (.8). A ranking errs if it shows any difference at all.

    python benchmarks/studies/rank_error.py [--trials N]
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import beta

from invbench.gate.ranking import rank

MODELS = "abcdefgh"
CELLS = ((8, 12), (9, 12), (12, 12), (20, 20), (48, 48))  # photographs, crops
WITHIN = 0.45
SKEWNESS = 0.8


def draw(n_photographs, n_crops, *, skewed, generator):
    """Draw scores of equally good models: model -> [crops]; and the photograph of each crop."""
    groups = np.arange(n_crops) % n_photographs

    def noise(count):
        values = generator.standard_normal((len(MODELS), count))
        if skewed:
            values = np.exp(SKEWNESS * values) - np.exp(SKEWNESS**2 / 2)
        return values

    own = np.sqrt(WITHIN) * noise(n_photographs)[:, groups] + np.sqrt(1 - WITHIN) * noise(n_crops)
    common = 3 * generator.standard_normal(n_photographs)[groups]
    return dict(zip(MODELS, own + common, strict=True)), [str(group) for group in groups]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    print("photographs  crops  differences  family-wise error (95 % interval)")
    for n_photographs, n_crops in CELLS:
        for skewed in (False, True):
            generator = np.random.default_rng([n_photographs, n_crops, skewed])
            errors = 0
            for _ in range(trials):
                scores, groups = draw(n_photographs, n_crops, skewed=skewed, generator=generator)
                found = rank(scores, groups, higher_is_better=False)
                errors += any(pair.p <= 0.05 for pair in found.pairs)
            low = beta.ppf(0.025, errors, trials - errors + 1) if errors else 0.0
            high = beta.ppf(0.975, errors + 1, trials - errors)
            kind = "skewed" if skewed else "normal"
            print(f"{n_photographs:11} {n_crops:6}  {kind:11}  ", end="")
            print(f"{errors / trials:.3f} ({low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
