"""Data sets are deterministic, photographs are kept together, and synthetic laws are known."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from invbench.data import digest
from invbench.data.photos import CROPS, SOURCES, photos
from invbench.data.synthetic import GaussianField, dead_leaves_photos, gaussian_photos
from invbench.errors import MissingDataError


class TestPhotos:
    @pytest.mark.parametrize("size", [64, 128])
    def test_there_are_at_least_48_of_each_size(self, size):
        found = photos(size)
        assert len(found) >= 48
        assert {photo.pixels.shape for photo in found} == {(3, size, size)}
        assert len({photo.id for photo in found}) == len(found)

    def test_crops_of_one_photograph_share_its_group(self):
        for photo in photos(64):
            assert photo.id.rpartition("-")[0] == photo.group

    def test_the_first_nine_are_nine_photographs(self):
        assert [photo.group for photo in photos(64, 9)] == list(SOURCES)

    def test_crops_differ(self):
        assert len({photo.pixels.numpy().tobytes() for photo in photos(64)}) == 81

    def test_a_crop_is_what_cutting_first_and_then_reducing_gives(self):
        source = skimage.data.chelsea()
        side = round(CROPS[1][0] * 300)
        left, top = round(CROPS[1][1] * (451 - side)), round(CROPS[1][2] * (300 - side))
        cut = Image.fromarray(source[top : top + side, left : left + side])
        expected = np.array(cut.resize((64, 64), Image.Resampling.LANCZOS))
        chelsea = next(photo for photo in photos(64) if photo.id == "chelsea-1")
        assert np.array_equal(chelsea.pixels.permute(1, 2, 0).numpy(), expected)

    def test_what_cannot_be_given_is_named(self):
        with pytest.raises(MissingDataError, match="give 81"):
            photos(64, 82)
        with pytest.raises(MissingDataError, match="256 are asked for"):
            photos(256)

    def test_the_digest_tells_pixels_ids_and_order_apart(self):
        first, second = photos(64, 2)
        digests = {digest([first, second]), digest([second, first]), digest([first])}
        assert len(digests) == 3
        assert digest([first]) == digest(photos(64, 1))


class TestGaussianField:
    def test_samples_have_the_stated_covariance(self):
        field = GaussianField(6, 5, length=3.0)
        samples = field.sample(20000, torch.Generator().manual_seed(0)).flatten(1)
        empirical = torch.cov(samples.T)
        expected = torch.kron(
            field.color_covariance, torch.kron(field.row_covariance, field.column_covariance)
        )
        assert (empirical - expected).abs().max() < 6 * field.std**2 / 20000**0.5
        assert (samples.mean(0) - field.mean).abs().max() < 5 * field.std / 20000**0.5

    def test_photos_are_the_same_every_time(self):
        assert digest(gaussian_photos(16, 3)) == digest(gaussian_photos(16, 3))
        assert digest(gaussian_photos(16, 3)) != digest(gaussian_photos(16, 3, seed=1))


class TestDeadLeaves:
    def test_every_pixel_is_covered_and_leaves_are_flat(self):
        photo = dead_leaves_photos(32, 1)[0]
        flat = (photo.pixels.diff(dim=-1) == 0).all(dim=0).float().mean()
        assert 0.3 < flat < 1

    def test_image_k_does_not_depend_on_how_many_are_drawn(self):
        assert torch.equal(dead_leaves_photos(24, 3)[1].pixels, dead_leaves_photos(24, 2)[1].pixels)

    def test_the_law_is_the_same_at_half_the_scale(self):
        # Scale invariance: correlation at distance d equals correlation at 2 d in an image of
        # twice the size.
        small = torch.stack([p.pixels for p in dead_leaves_photos(24, 60, smallest=2)]).double()
        large = torch.stack([p.pixels for p in dead_leaves_photos(48, 60, smallest=4)]).double()
        near, far = correlation(small, 3), correlation(large, 6)
        assert abs(near - far) < 0.08
        assert near - correlation(small, 9) > 0.1


def correlation(images, distance):
    first, second = images[..., :-distance].flatten(), images[..., distance:].flatten()
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1])
