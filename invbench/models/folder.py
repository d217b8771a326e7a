"""Samples that were drawn elsewhere and lie on disk as ``<folder>/<model>/<image id>/*.png``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.errors import EmptyFolderError
from invbench.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SampleFiles:
    """The sample files of one image, in order of their names."""

    image_id: str
    paths: tuple[Path, ...]


def find_models(folder: Path) -> list[str]:
    """Return the models that have a folder of samples, sorted.

    Raises:
        EmptyFolderError: if there is none.
    """
    if not folder.is_dir():
        raise EmptyFolderError(f"{folder}: no such folder")
    models = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not models:
        raise EmptyFolderError(f"{folder}: no model; expected <model>/<image id>/*.png below it")
    return models


def find_samples(folder: Path) -> list[SampleFiles]:
    """Return the samples of one model's folder by image id, sorted.

    Raises:
        EmptyFolderError: if no image has a sample.
    """
    found = [
        SampleFiles(path.name, paths)
        for path in sorted(folder.iterdir())
        if path.is_dir() and (paths := tuple(sorted(p for p in path.iterdir() if _is_image(p))))
    ]
    if not found:
        raise EmptyFolderError(f"{folder}: no sample; expected <image id>/*.png below it")
    return found


def find_image(folder: Path, image_id: str) -> Path | None:
    """Return the file named after an image id, whatever its suffix, or None."""
    matches = sorted(p for p in folder.iterdir() if p.stem == image_id and _is_image(p))
    return matches[0] if matches else None


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES
