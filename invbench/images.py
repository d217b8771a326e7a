"""The image convention, and the only place that converts to and from it.

Inside invbench an image batch is a float32 tensor ``[..., C, H, W]`` with values in [0, 1].
Everything else (8-bit, [-1, 1], files) is converted here or inside one adapter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from invbench.errors import InvalidImagesError, UnreadableImageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_images(
    images: Tensor,
    *,
    channels: int | None = None,
    name: str = "images",
    error: type[InvalidImagesError] = InvalidImagesError,
) -> Tensor:
    """Return ``images`` unchanged if they follow the convention, else raise.

    Args:
        images: expected float, ``[..., C, H, W]``, finite, in [0, 1].
        channels: the required C, if any.
        name: what to call the tensor in the message.
        error: the class to raise.

    Raises:
        InvalidImagesError: saying which rule is broken, with the measured values.

    Example:
        >>> check_images(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    if not images.is_floating_point():
        raise error(f"{name}: dtype {images.dtype}; convert with images.from_uint8")
    if images.ndim < 3 or 0 in images.shape:
        raise error(f"{name}: shape {tuple(images.shape)}; expected non-empty [..., C, H, W]")
    if channels is not None and images.shape[-3] != channels:
        raise error(f"{name}: {images.shape[-3]} channels in {tuple(images.shape)}, not {channels}")
    low, high = (float(bound) for bound in torch.aminmax(images.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~torch.isfinite(images)).sum())
        raise error(f"{name}: {bad} of {images.numel()} values are NaN or infinite")
    if low < 0 or high > 1:
        raise error(
            f"{name}: values span [{low:.4g}, {high:.4g}], not [0, 1]; "
            "clamp them, or convert from [-1, 1] with images.from_signed"
        )
    return images


def to_uint8(images: Tensor) -> Tensor:
    """Round images in [0, 1] to 8 bits, half to even, clamping what lies outside.

    >>> to_uint8(torch.tensor([0.0, 0.5, 1.0]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """Turn 8-bit images into float32 in [0, 1]; exact inverse of `to_uint8` on 8-bit values."""
    return images.to(torch.float32).div_(255)


def to_signed(images: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return images * 2 - 1


def from_signed(images: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1], clamping what lies outside."""
    return (images / 2 + 0.5).clamp(0, 1)


def read_image(path: Path, *, channels: int = 3) -> Tensor:
    """Read one image file as uint8 ``[C, H, W]``.

    Gray and palette files become RGB by replication or look-up; an alpha channel is dropped if it
    is opaque everywhere. With ``channels=1`` the file must be gray, or RGB with equal channels.

    Raises:
        UnreadableImageError: for missing or damaged files, more than 8 bits a channel,
            transparency, other colour models, or colour where gray is asked for.
    """
    try:
        with Image.open(path) as image:
            _refuse_deep(path, image)
            image.load()
            pixels = _to_rgb(path, image)
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise UnreadableImageError(f"{path}: cannot be read as an image ({error})") from error
    tensor = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
    if channels == 3:
        return tensor
    if not (torch.equal(tensor[0], tensor[1]) and torch.equal(tensor[0], tensor[2])):
        raise UnreadableImageError(f"{path}: has colour where a gray image is expected")
    return tensor[:1]


def _refuse_deep(path: Path, image: Image.Image) -> None:
    """Refuse more than 8 bits a channel, which Pillow would cut down without a word."""
    deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    if image.format == "PNG":
        with path.open("rb") as stream:
            header = stream.read(25)
        deep = header.startswith(_PNG_SIGNATURE) and header[24] > 8
    if deep:
        raise UnreadableImageError(f"{path}: more than 8 bits a channel; convert it to 8 bits")


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise UnreadableImageError(f"{path}: has transparent pixels; flatten it first")
    elif image.mode not in ("1", "L", "P", "RGB"):
        raise UnreadableImageError(f"{path}: colour model {image.mode}; convert it to RGB")
    return image.convert("RGB")
