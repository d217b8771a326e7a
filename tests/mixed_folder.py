"""A folder of files of all kinds, as people have them: 30 entries, of which 12 are photographs."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image, ImageCms

SIDE = 64
ROTATED = 6  # EXIF orientation: show the rows from right to left as columns from top to bottom


def picture(seed=0, side=SIDE):
    """Make smooth colours that differ in every corner."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def deep_png():
    """Make a PNG of 16 bits a channel in RGB, which Pillow reads and cannot write."""
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(6 * SIDE) for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def huge_png():
    """Make a PNG that declares 60000 x 60000 pixels in 60 bytes."""
    deep = bytearray(deep_png())
    deep[16:24] = (60000).to_bytes(4, "big") * 2
    deep[24] = 8
    import zlib

    deep[29:33] = zlib.crc32(bytes(deep[12:29])).to_bytes(4, "big")
    return bytes(deep)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image, kind, **arguments):
    stream = io.BytesIO()
    image.save(stream, kind, **arguments)
    return stream.getvalue()


def rotated_exif():
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    return exif


def good_files():
    """Return name -> content of the photographs."""
    rotated = picture(1)
    return {
        "alps/1.jpg": encoded(picture(0), "JPEG", quality=95),
        "alps/2.JPG": encoded(picture(2), "JPEG", quality=95),
        "gray.png": encoded(picture(3).convert("L"), "PNG"),
        "opaque.png": encoded(picture(4).convert("RGBA"), "PNG"),
        "palette.png": encoded(picture(5).quantize(32), "PNG"),
        "profile.png": encoded(picture(6), "PNG", icc_profile=srgb_profile()),
        "rotated.png": encoded(rotated, "PNG", exif=rotated_exif()),
        "scan.tif": encoded(picture(7), "TIFF"),
        "web.webp": encoded(picture(8), "WEBP", lossless=True),
        "windows.bmp": encoded(picture(9), "BMP"),
        "wrongly named.jpg": encoded(picture(10), "PNG"),
    }


def bad_files():
    """Return name -> (content, what is said of it)."""
    frames = [picture(seed) for seed in (0, 1)]
    return {
        "animated.webp": (
            encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
            "2 frames",
        ),
        "broken.jpg": (encoded(picture(), "JPEG")[:400], "cannot be read"),
        "deep.png": (deep_png(), "more than 8 bits"),
        "scan16.tif": (encoded(Image.fromarray(np.ones((64, 64), np.uint16)), "TIFF"), "8 bits"),
        "empty.png": (b"", "cannot be read"),
        "huge.png": (huge_png(), "at most"),
        "phone.heic": (b"....ftypheic", "heic is not read"),
        "print.jpg": (encoded(picture().convert("CMYK"), "JPEG"), "colour model CMYK"),
        "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
        "small.png": (encoded(picture(side=SIDE // 2), "PNG"), "at least 64 are needed"),
        "twice.jpg": (encoded(picture(), "JPEG"), "twice.jpg and twice.png have one id"),
        "twice.png": (encoded(picture(), "PNG"), None),
    }


IGNORED = (".DS_Store", "._gray.png", ".ipynb_checkpoints/gray-checkpoint.png", "README.txt")


def write_mixed_folder(folder):
    """Write everything; return what is said of each bad file."""
    for name, content in good_files().items():
        write(folder / name, content)
    said = {}
    for name, (content, message) in bad_files().items():
        write(folder / name, content)
        if message:
            said[name] = message
    for name in IGNORED:
        write(folder / name, encoded(picture(), "PNG"))
    (folder / "linked.png").symlink_to(folder / "gray.png")
    (folder / "lost.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return said | {"lost.png": "leads nowhere", "pipe.png": "a fifo"}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
