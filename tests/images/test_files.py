"""Files are read as a viewer shows them, or refused by name before they can do harm."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from mixed_folder import (
    ROTATED,
    bad_files,
    encoded,
    good_files,
    huge_png,
    picture,
    rotated_exif,
    srgb_profile,
    write,
)
from PIL import Image, ImageCms, ImageFile

from invbench.errors import UnreadableImageError
from invbench.images import read_image, write_png


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def channels_first(image):
    return np.array(image.convert("RGB")).transpose(2, 0, 1)


def reads(tmp_path, content, name="a.png", **arguments):
    write(tmp_path / name, content)
    return read_image(tmp_path / name, **arguments).numpy()


def test_rgb_is_read_as_channels_first(tmp_path):
    pixels = noise(5, 7, 3)
    found = reads(tmp_path, encoded(Image.fromarray(pixels), "PNG"))
    assert np.array_equal(found, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read(tmp_path, channels):
    pixels = torch.from_numpy(noise(channels, 5, 7))
    write_png(tmp_path / "new" / "a.png", pixels)
    assert torch.equal(read_image(tmp_path / "new" / "a.png", channels=channels), pixels)


def test_gray_is_replicated(tmp_path):
    pixels = noise(5, 7)
    content = encoded(Image.fromarray(pixels), "PNG")
    assert np.array_equal(reads(tmp_path, content), np.stack([pixels] * 3))
    assert np.array_equal(reads(tmp_path, content, channels=1), pixels[None])


def test_palette_is_looked_up(tmp_path):
    image = picture().quantize(16)
    assert np.array_equal(reads(tmp_path, encoded(image, "PNG")), channels_first(image))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path, mode):
    image = picture().convert(mode)
    assert np.array_equal(reads(tmp_path, encoded(image, "PNG")), channels_first(image))
    glass = Image.fromarray(np.full((64, 64), 254, np.uint8))
    image.putalpha(glass)
    with pytest.raises(UnreadableImageError, match="transparent"):
        reads(tmp_path, encoded(image, "PNG"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(tmp_path, kind, orientation):
    """The eight orientations by what the standard says of rows and columns."""
    image = picture().resize((48, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"WEBP": {"lossless": True}}.get(kind, {})
    stored = channels_first(Image.open(io.BytesIO(encoded(image, kind, **lossless))))
    found = reads(tmp_path, encoded(image, kind, exif=exif, **lossless))
    shown = {
        1: stored,
        2: stored[:, :, ::-1],
        3: stored[:, ::-1, ::-1],
        4: stored[:, ::-1],
        5: stored.transpose(0, 2, 1),
        6: stored.transpose(0, 2, 1)[:, :, ::-1],
        7: stored.transpose(0, 2, 1)[:, ::-1, ::-1],
        8: stored.transpose(0, 2, 1)[:, ::-1],
    }[orientation]
    assert np.array_equal(found, shown)


def test_a_rotation_of_a_palette_is_applied(tmp_path):
    image = picture().quantize(16)
    content = encoded(image, "PNG", exif=rotated_exif())
    assert ROTATED == 6
    assert np.array_equal(reads(tmp_path, content), np.rot90(channels_first(image), -1, (1, 2)))


PRIMARIES = {  # XYZ of red, green and blue, relative to D50
    "sRGB": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)),
    "Display P3": (
        *((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)),
    ),
    "Adobe RGB": (
        *((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    ),
}


def fixed_point(numbers):
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def with_tag(profile, name, data):
    """Return a profile in which a tag holds other data, of the same length."""
    count = int.from_bytes(profile[128:132], "big")
    (entry,) = (at for at in range(132, 132 + 12 * count, 12) if profile[at : at + 4] == name)
    at = int.from_bytes(profile[entry + 4 : entry + 8], "big")
    return profile[:at] + data + profile[at + len(data) :]


def to_linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(values):
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def test_a_file_is_read_the_same_whatever_the_user_has_told_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    half = encoded(Image.fromarray(noise(64, 64, 3)), "JPEG")
    with pytest.raises(UnreadableImageError, match="truncated"):
        reads(tmp_path, half[: len(half) // 2])
    assert reads(tmp_path, half).shape == (3, 64, 64)
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS) == (True, 1)


class TestProfiles:
    def other(self, *, gray=False):
        """Make a profile in which red is green, or gray is darker, by editing sRGB's tags."""
        if gray:
            return None
        profile = bytearray(srgb_profile())
        count = int.from_bytes(profile[128:132], "big")
        tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
        red, green = (
            bytes(profile[tags[name] + 4 : tags[name] + 12]) for name in (b"rXYZ", b"gXYZ")
        )
        profile[tags[b"rXYZ"] + 4 : tags[b"rXYZ"] + 12] = green
        profile[tags[b"gXYZ"] + 4 : tags[b"gXYZ"] + 12] = red
        return bytes(profile)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_srgb_changes_no_pixel(self, tmp_path, kind):
        image = Image.fromarray(noise(64, 64, 3))
        found = reads(tmp_path, encoded(image, kind, icc_profile=srgb_profile()))
        assert np.array_equal(found, channels_first(image))

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
    def test_other_colours_are_converted(self, tmp_path, kind):
        """A profile that swaps red and green gives images with red and green swapped."""
        image = Image.fromarray(np.tile(np.uint8([[[200, 40, 90]]]), (64, 64, 1)))
        lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(kind, {})
        found = reads(tmp_path, encoded(image, kind, icc_profile=self.other(), **lossless))
        assert np.abs(found[:, 5, 5].astype(int) - [40, 200, 90]).max() <= 3

    @pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
    def test_wide_gamuts_are_converted(self, tmp_path, space):
        """The oracle is the matrix between the primaries, relative to the white of profiles."""
        srgb, wide = (np.array(PRIMARIES[name]).T for name in ("sRGB", space))
        profile = srgb_profile()
        for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), PRIMARIES[space], strict=True):
            profile = with_tag(profile, name, b"XYZ \0\0\0\0" + fixed_point(primary))
        colour = np.uint8([150, 100, 80])
        found = reads(
            tmp_path,
            encoded(Image.fromarray(np.tile(colour, (8, 8, 1))), "PNG", icc_profile=profile),
        )
        expected = from_linear(np.linalg.solve(srgb, wide @ to_linear(colour / 255))) * 255
        assert np.abs(found[:, 0, 0] - expected).max() <= 1
        assert np.abs(expected - colour).max() > 5

    def test_orientation_and_profile_are_both_applied(self, tmp_path):
        image = picture()
        plain = encoded(image, "PNG", icc_profile=self.other())
        turned = encoded(image, "PNG", icc_profile=self.other(), exif=rotated_exif())
        expected = np.rot90(reads(tmp_path, plain), -1, (1, 2))
        assert np.array_equal(reads(tmp_path, turned), expected)

    @pytest.mark.parametrize("profile", [b"no profile", srgb_profile()[:300]])
    def test_damaged_profiles_are_ignored_as_viewers_do(self, tmp_path, profile):
        image = picture()
        found = reads(tmp_path, encoded(image, "PNG", icc_profile=profile))
        assert np.array_equal(found, channels_first(image))

    def test_a_profile_of_colours_is_ignored_for_gray(self, tmp_path):
        image = picture().convert("L")
        found = reads(tmp_path, encoded(image, "PNG", icc_profile=self.other()))
        assert np.array_equal(found, channels_first(image))

    def test_the_conversion_is_that_of_littlecms(self, tmp_path):
        image = picture()
        found = reads(tmp_path, encoded(image, "PNG", icc_profile=self.other()))
        source = ImageCms.ImageCmsProfile(io.BytesIO(self.other()))
        expected = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
        assert np.array_equal(found, channels_first(expected))


def png_with(kind, data):
    """Return a PNG of the picture that says more of itself."""
    content, body = encoded(picture(), "PNG"), kind + data
    chunk = len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return content[:33] + chunk + content[33:]


def primaries(*values):
    return png_with(b"cHRM", b"".join(value.to_bytes(4, "big") for value in values))


SRGB = (
    png_with(b"cICP", bytes((1, 13, 0, 1))),
    primaries(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
)
OTHERS = {
    "BT.2020 of PQ": png_with(b"cICP", bytes((9, 16, 0, 1))),
    "Display P3": png_with(b"cICP", bytes((12, 13, 0, 1))),
    "primaries of BT.2020": primaries(31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=list(OTHERS))
def test_colours_of_another_space_are_refused(tmp_path, content):
    with pytest.raises(UnreadableImageError, match="another space than sRGB"):
        reads(tmp_path, content)


@pytest.mark.parametrize("content", SRGB, ids=["code", "primaries"])
def test_colours_that_are_said_to_be_srgb_are_read(tmp_path, content):
    assert np.array_equal(reads(tmp_path, content), channels_first(picture()))


def test_a_gamma_that_viewers_differ_on_is_refused(tmp_path):
    def with_gamma(value):
        return png_with(b"gAMA", round(value * 100000).to_bytes(4, "big"))

    assert np.array_equal(reads(tmp_path, with_gamma(0.45455)), channels_first(picture()))
    with pytest.raises(UnreadableImageError, match="gamma of 1"):
        reads(tmp_path, with_gamma(1.0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (name, content, message)
        for name, (content, message) in bad_files().items()
        if not name.startswith(("twice", "small", "phone"))
    ],
)
def test_what_has_no_one_reading_is_refused_by_name(tmp_path, name, content, message):
    with pytest.raises(UnreadableImageError, match=message) as caught:
        reads(tmp_path, content, name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("bits", ["RGB;16", "I;16", "I", "F"])
def test_more_than_8_bits_are_refused_in_tiff(tmp_path, bits):
    if bits == "RGB;16":  # which Pillow reads and cannot write
        content = bytearray(encoded(picture().resize((8, 4)), "TIFF"))
        at = content.index((258).to_bytes(2, "little") + (3).to_bytes(2, "little"))
        where = int.from_bytes(content[at + 8 : at + 12], "little")
        content[where : where + 6] = (16).to_bytes(2, "little") * 3
        content += bytes(4 * 8 * 6)
    else:
        content = encoded(picture().convert("L").convert("I").convert(bits), "TIFF")
    with pytest.raises(UnreadableImageError, match="more than 8 bits"):
        reads(tmp_path, bytes(content))


@pytest.mark.parametrize("kind", ["GIF", "PPM", "PCX", "TGA", "ICO", "JPEG2000"])
def test_only_formats_on_the_list_are_opened_whatever_the_name(tmp_path, kind):
    with pytest.raises(UnreadableImageError, match="cannot be read as PNG, JPEG"):
        reads(tmp_path, encoded(picture(), kind))


def test_no_program_is_started_for_postscript(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.check_call", refuse)
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        reads(tmp_path, bad_files()["program.png"][0])


def test_size_is_checked_before_decoding(tmp_path, monkeypatch):
    def refuse(_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    for limit in (None, 89_478_485):  # a program may have lifted Pillow's own limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableImageError, match=r"at most 134,217,728 pixels are read"):
            reads(tmp_path, huge_png())


def test_colour_is_refused_where_gray_is_expected(tmp_path):
    with pytest.raises(UnreadableImageError, match="gray"):
        reads(tmp_path, encoded(picture(), "PNG"), channels=1)


def test_every_way_of_cutting_a_file_short_is_named(tmp_path):
    for name, content in good_files().items():
        for part in (1, 20, len(content) // 2):
            with pytest.raises(UnreadableImageError):
                reads(tmp_path, content[:part], name)


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, kind in {"pipe.png": "a fifo", "folder.png": "a folder"}.items():
        with pytest.raises(UnreadableImageError, match=f"is {kind}, no image file"):
            read_image(tmp_path / name)
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_image(tmp_path / "b.png")
