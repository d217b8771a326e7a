"""The one walk through a folder of images: what counts, what is left out, and what is wrong.

Names of `SUFFIXES` count as images, in sub-folders too, and each has an id: its path below the
folder without the suffix, in composed letters (Unicode NFC). Hidden files and the litter of other
programs are passed over. Links are followed and listed. Everything that cannot be used as it lies
is listed, all at once.
"""

from __future__ import annotations

import stat
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invbench.errors import EmptyFolderError
from invbench.files import is_folder, is_there, special_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
UNREAD = (
    *(".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".ppm", ".pgm", ".pnm", ".exr", ".hdr"),
    *(".psd", ".tga", ".ico", ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf"),
)
# Folders that archives, servers and systems add, with images inside
LITTER = (
    *("__macosx", "lost+found", "system volume information"),
    *("$recycle.bin", "recycler", "#recycle", "@recycle", "@eadir", "#snapshot", "@tmp"),
)


@dataclass(frozen=True)
class Flaw:
    """Something that cannot be used as it lies, and why."""

    where: str
    message: str

    @classmethod
    def of(cls, error: Exception, path: Path, folder: Path) -> Flaw:
        """Take what an error says of a file below a folder."""
        return cls(_name(path.relative_to(folder)), str(error).removeprefix(f"{path}: "))

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class ImageFiles:
    """The images of a folder.

    Attributes:
        files: id -> file, in order of the paths.
        flaws: what looks like an image and cannot be used.
        links: linked files and folders that were followed.
    """

    files: Mapping[str, Path]
    flaws: tuple[Flaw, ...]
    links: tuple[str, ...]


@dataclass
class _Walk:
    """A walk in progress, from its top down; `files` maps paths below the top to files."""

    top: Path
    files: dict[Path, Path] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def enter(self, folder: Path, above: tuple[Path, ...]) -> None:
        """Visit all entries of a folder; ``above`` are the real folders that lead there."""
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            self._flaw(folder, f"cannot be opened ({error.strerror})")
            return
        for entry in entries:
            if not is_litter(entry.name):
                self._visit(entry, (*above, folder.resolve()))

    def _visit(self, entry: Path, above: tuple[Path, ...]) -> None:
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            lost = "is a link that leads nowhere" if entry.is_symlink() else str(error.strerror)
            self._flaw(entry, lost)
            return
        suffix = entry.suffix.lower()
        if stat.S_ISDIR(mode):
            if entry.resolve() in above:
                self._flaw(entry, "is a link to a folder above it")
            else:
                self._follow(entry)
                self.enter(entry, above)
        elif kind := special_kind(mode):
            self._flaw(entry, f"is {kind}, no image file")
        elif suffix in UNREAD:
            self._flaw(entry, f"{suffix[1:]} is not read; convert it to PNG")
        elif suffix in SUFFIXES and not entry.name.isprintable():
            self._flaw(entry, "its name cannot be printed; rename it")
        elif suffix in SUFFIXES:
            self._follow(entry)
            self.files[entry.relative_to(self.top)] = entry

    def _follow(self, entry: Path) -> None:
        if entry.is_symlink():
            self.links.append(_name(entry.relative_to(self.top)))

    def _flaw(self, entry: Path, message: str) -> None:
        self.flaws.append(Flaw(_name(entry.relative_to(self.top)), message))


def find_images(folder: Path) -> ImageFiles:
    """Find the images below a folder.

    Two files that claim one id, as ``a.jpg`` beside ``a.png``, are a flaw, and neither is taken; so
    are ids that differ in capitals alone, which many disks take for one.

    Raises:
        EmptyFolderError: if there is no folder.
    """
    require_folder(folder)
    walk = _Walk(folder)
    walk.enter(folder, ())
    claims: dict[str, list[tuple[str, Path]]] = {}
    for path in walk.files:
        # Systems write an accented letter as one character or as two, and show the same name
        name = unicodedata.normalize("NFC", path.with_suffix("").as_posix())
        claims.setdefault(name.casefold(), []).append((name, path))
    flaws = [*walk.flaws, *_shared_ids(claims.values())]
    files = {name: walk.files[path] for (name, path), *others in claims.values() if not others}
    return ImageFiles(files, tuple(flaws), tuple(walk.links))


def require_folder(folder: Path, option: str = "") -> None:
    """Refuse what is no folder, and say what it is.

    Args:
        folder: the path.
        option: that names it, for the message.

    Raises:
        EmptyFolderError: if there is no folder.
    """
    if is_folder(folder):
        return
    kind = (special_kind(folder.stat().st_mode) or "a file") if is_there(folder) else None
    found = f"is {kind}, no folder" if kind else "no such folder"
    raise EmptyFolderError(f"{option} {folder}: {found}".lstrip())


def is_litter(name: str) -> bool:
    """Tell whether a file or folder is hidden, or what another program leaves behind."""
    return name.startswith(".") or name.casefold() in LITTER


def _shared_ids(claims: Iterable[Sequence[tuple[str, Path]]]) -> Iterator[Flaw]:
    """Name files of one id, and ids that some disks take for one."""
    for claim in claims:
        names, paths = zip(*claim, strict=True)
        if len(paths) > 1:
            listed = " and ".join(_told_apart(path.as_posix()) for path in paths)
            alike = len(set(names)) > 1
            same = "ids that differ in capitals alone" if alike else f"one id, {names[0]}"
            yield Flaw(paths[0].as_posix(), f"{listed} have {same}; rename or remove one")


def _told_apart(path: str) -> str:
    """Write letters that are not composed as escapes, which look like those that are."""
    return path if unicodedata.is_normalized("NFC", path) else ascii(path)


def _name(path: Path) -> str:
    """Return a path as it can be printed."""
    text = path.as_posix()
    return text if text.isprintable() else ascii(text)
