"""How much is measured, and at which size: data, not code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One size of the suite.

    Attributes:
        name: what `--invbench-profile` takes.
        configuration: name of the models' configuration, see `models.registry`.
        sizes: side of the square targets, in pixels, for each of the study's tasks.
        size: that of tasks which have no size of their own.
        n_images: images a case is measured on.
        n_samples: samples an image, K.
        chunk_size: samples drawn in one call of a sampler.
        embedded: whether the embedded photographs serve as data by default.
    """

    name: str
    configuration: str
    sizes: Mapping[str, int]
    size: int
    n_images: int
    n_samples: int
    chunk_size: int
    embedded: bool


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="tiny",
            configuration="tiny",
            sizes={"sr16": 128, "colorization": 64, "decompression": 64},
            size=64,
            n_images=12,
            n_samples=20,
            chunk_size=20,
            embedded=True,
        ),
        Profile(
            name="small",
            configuration="small",
            sizes={"sr16": 128, "colorization": 128, "decompression": 128},
            size=128,
            n_images=48,
            n_samples=50,
            chunk_size=25,
            embedded=True,
        ),
        Profile(
            name="paper",
            configuration="official",
            sizes={"sr16": 512, "colorization": 512, "decompression": 512},
            size=512,
            n_images=100,
            n_samples=50,
            chunk_size=10,
            embedded=False,
        ),
    )
}


def get_profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UnknownNameError: listing the nearest names.
    """
    if name not in PROFILES:
        raise UnknownNameError.among("profile", name, PROFILES)
    return PROFILES[name]
