"""From an image file to pixels, and back: those that a viewer shows, or a named refusal."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from invbench.errors import UnreadableImageError
from invbench.files import atomic_write, special_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MOST_PIXELS = 2**27  # 11585 x 11585; decoded they take 400 MB
SAME_COLOUR = 2  # levels by which a profile may move any colour and still be sRGB
CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue
CODED_SRGB = b"\x01\x0d\x00\x01"  # as cICP states it
GAMMA = (0.45, 0.46)  # that a PNG may declare: 1 / 2.2
OTHER_COLOURS = "declares colours of another space than sRGB; convert it to sRGB"
BITS_PER_SAMPLE = 258  # TIFF's tag


def read_image(path: Path, *, channels: int = 3) -> Tensor:
    """Read one image file as uint8 ``[C, H, W]``, as a viewer shows it.

    The format is told by the content: PNG, JPEG, WebP, BMP or TIFF. The EXIF orientation is
    applied. Gray and palette files become RGB by replication or look-up; an alpha channel is
    dropped if it is opaque everywhere; colours of another profile than sRGB are converted to sRGB.
    With ``channels=1`` the file must be gray, or RGB with equal channels.

    Raises:
        UnreadableImageError: for what is missing, damaged, no regular file or of another format;
            for more than `MOST_PIXELS`, found before they are decoded; for more than 8 bits a
            channel, several frames, transparency and other colour models; for colour where gray is
            asked for.
    """
    with _named_refusals(path), _opened(path) as image:
        pixels = _decoded(path, image)
    tensor = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
    if channels == 3:
        return tensor
    if not (torch.equal(tensor[0], tensor[1]) and torch.equal(tensor[0], tensor[2])):
        raise UnreadableImageError(f"{path}: has colour where a gray image is expected")
    return tensor[:1]


def declared_size(path: Path) -> tuple[int, int]:
    """Return the width and height that a file's header declares; nothing is decoded.

    Raises:
        UnreadableImageError: for what `read_image` refuses by the header alone.
    """
    with _named_refusals(path), _opened(path) as image:
        return image.size


def write_png(path: Path, pixels: Tensor) -> None:
    """Write uint8 ``[C, H, W]``, C 1 or 3, as a PNG, from which `read_image` gives it back.

    Raises:
        StorageError: if it cannot be written.
    """
    array = pixels.permute(1, 2, 0).cpu().numpy()
    with atomic_write(path) as stream:
        Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(stream, "PNG")


def _refuse_special(path: Path) -> None:
    """Refuse what is not there or no regular file; opening a fifo would wait for ever."""
    try:
        kind = special_kind(path.stat().st_mode)
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{path}: no such file") from error
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be opened ({error.strerror})") from error
    if kind:
        raise UnreadableImageError(f"{path}: is {kind}, no image file")


@contextmanager
def usual_pillow() -> Iterator[None]:
    """Have Pillow read as it does by default but for our limit, whatever the user has set."""
    own = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, MOST_PIXELS
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = own


@contextmanager
def _named_refusals(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into a refusal that names the file."""
    _refuse_special(path)
    try:
        with usual_pillow(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow remarks of a file changes no pixel of it
            yield
    except UnreadableImageError:
        raise
    except PermissionError as error:
        raise UnreadableImageError(f"{path}: cannot be opened ({error.strerror})") from error
    except Exception as error:  # decoders raise anything when a file is damaged
        message = f"{path}: cannot be read as {', '.join(FORMATS)} ({error})"
        raise UnreadableImageError(message) from error


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file and check its header."""
    with path.open("rb") as stream:
        header = stream.read(25)
        coded = _coded_colours(stream) if header.startswith(b"\x89PNG") else None
        stream.seek(0)
        if coded not in (None, CODED_SRGB):
            raise UnreadableImageError(f"{path}: {OTHER_COLOURS}")
        with _open(path, stream) as image:
            _refuse(path, image, header)
            yield image


def _decoded(path: Path, image: Image.Image) -> Image.Image:
    """Decode an open file, as a viewer shows it; return 8-bit RGB."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    _refuse_colours(path, image)
    return _to_srgb(_without_alpha(path, image), image.info.get("icc_profile"))


def _coded_colours(stream: io.BufferedReader) -> bytes | None:
    """Return what a PNG says of its colours in cICP, which comes before all else that it says."""
    stream.seek(8)
    while (chunk := stream.read(8))[4:] not in (b"", b"IDAT", b"IEND"):
        if chunk[4:] == b"cICP":
            return stream.read(4)
        stream.seek(int.from_bytes(chunk[:4], "big") + 4, io.SEEK_CUR)
    return None


def _open(path: Path, stream: io.BufferedReader) -> Image.Image:
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{path}: cannot be read as {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "declares far too many pixels") from error


def _refuse(path: Path, image: Image.Image, header: bytes) -> None:
    """Refuse by the header alone what Pillow would cut down, pick from, or fill memory with."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(path, f"{width}x{height} pixels")
    tags = getattr(image, "tag_v2", {})  # TIFF's
    depths = tags.get(BITS_PER_SAMPLE, (1,))
    if image.format == "PNG":
        depths = (header[24],)
    if image.mode[0] in "IF" or max(np.atleast_1d(depths)) > 8:
        raise UnreadableImageError(f"{path}: more than 8 bits a channel; convert it to 8 bits")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with previews, which nobody shows
        raise UnreadableImageError(f"{path}: holds {frames} frames; save the one that is meant")


def _too_large(path: Path, found: str) -> UnreadableImageError:
    return UnreadableImageError(f"{path}: {found}; at most {MOST_PIXELS:,} pixels are read")


def _refuse_colours(path: Path, image: Image.Image) -> None:
    """Refuse colours that have no one reading in RGB, and those that viewers differ on."""
    if image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "PA"):
        raise UnreadableImageError(f"{path}: colour model {image.mode}; convert it to RGB")
    low, high = GAMMA
    gamma = image.info.get("gamma")
    known = "icc_profile" in image.info or "srgb" in image.info
    if gamma is not None and not (known or low < gamma < high):
        raise UnreadableImageError(f"{path}: declares a gamma of {gamma:g}; convert it to sRGB")
    primaries = image.info.get("chromaticity", CHROMATICITY)
    if not (known or np.allclose(primaries, CHROMATICITY, atol=0.01)):
        raise UnreadableImageError(f"{path}: {OTHER_COLOURS}")


def _without_alpha(path: Path, image: Image.Image) -> Image.Image:
    """Return the image as gray or RGB, if it is opaque everywhere."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise UnreadableImageError(f"{path}: has transparent pixels; flatten it first")
    return _as(image, "L" if image.mode in ("1", "L") else "RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert gray or RGB from the colours of its profile, if it has one, to sRGB."""
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return _as(image, "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only in place there is nothing to return
    return converted


def _as(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image; one of that mode is not copied."""
    return image if image.mode == mode else image.convert(mode)


@lru_cache(maxsize=8)  # the files of a folder share few profiles
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB, or None for a profile that viewers ignore or that is sRGB.

    Rounding would change the pixels of images that are sRGB already, so they are left alone.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != {"L": "GRAY", "RGB": "RGB"}[mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    grid = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(grid, grid, grid), axis=-1).reshape(1, -1, 3)
    picture = Image.fromarray(colours).convert(mode)
    moved = np.array(ImageCms.applyTransform(picture, transform), dtype=int)
    most = np.abs(moved - np.array(picture.convert("RGB"), dtype=int)).max()
    return None if most <= SAME_COLOUR else transform
