"""How images lie on disk for those who sample elsewhere.

::

    <folder>/observations/<image id>.png
    <folder>/targets/<image id>.png
    samples/<model>/<image id>/<sample>.png

``invbench observe`` writes the first two, 8 bits without loss, and ``invbench score`` reads all
three. An image id is a path, as ``alps/1``, and pairs observation, target and samples. The samples
of an image are taken in order of their names, of which only the order counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invbench.errors import EmptyFolderError
from invbench.files import is_file
from invbench.images import Flaw, find_images, is_litter, require_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OBSERVATIONS, TARGETS = "observations", "targets"


@dataclass(frozen=True)
class SampleFiles:
    """The samples of one model.

    Attributes:
        images: image id -> files of its samples, in order of their names.
        flaws: what looks like a sample and is none.
        links: linked files and folders that were followed.
    """

    images: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    flaws: Sequence[Flaw] = ()
    links: Sequence[str] = ()


def find_samples(folder: Path) -> dict[str, SampleFiles]:
    """Find ``<folder>/<model>/<image id>/<sample>.png``, by model.

    Raises:
        EmptyFolderError: if there is no folder, or no model in it.
    """
    require_folder(folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise EmptyFolderError(f"{folder}: cannot be opened ({error.strerror})") from error
    models = {
        path.name: _samples_of(path)
        for path in entries
        if not (is_litter(path.name) or is_file(path))  # as a README
    }
    if not models:
        raise EmptyFolderError(
            f"{folder}: no model; expected <model>/<image id>/<sample>.png below it"
        )
    return models


def _samples_of(folder: Path) -> SampleFiles:
    try:
        found = find_images(folder)
    except EmptyFolderError as error:  # a fifo, or a link that leads nowhere, in a model's place
        return SampleFiles(flaws=(Flaw(folder.name, str(error).removeprefix(f"{folder}: ")),))
    flaws = list(found.flaws)
    links = ["the folder itself"] if folder.is_symlink() else []
    images: dict[str, list[Path]] = {}
    for name, path in found.files.items():
        image_id, _, _ = name.rpartition("/")
        if image_id:
            images.setdefault(image_id, []).append(path)
        else:
            flaws.append(Flaw(path.name, "lies beside the images' folders; expected in one"))
    return SampleFiles(images, flaws, [*links, *found.links])
