"""Image files for tests."""

from __future__ import annotations

from PIL import Image

from invbench.images import to_uint8


def write_image(path, image):
    """Write ``[C, H, W]`` with C 1 or 3, uint8 or float in [0, 1], as a PNG in a new folder."""
    pixels = (to_uint8(image) if image.is_floating_point() else image).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(path)
