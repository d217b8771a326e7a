"""Named errors of calibration and scoring."""

from __future__ import annotations

from invbench.errors import InvalidImagesError, InvalidSamplesError, InvbenchError


class TooFewSamplesError(InvalidSamplesError):
    """A score or an interval rule needs more samples of each image than there are."""


class MismatchedImagesError(InvalidImagesError):
    """Two sets of images that must be compared entry by entry differ in shape."""


class InvalidLevelError(InvbenchError, ValueError):
    """A level, risk or error probability lies outside the open interval (0, 1)."""


class InvalidLossesError(InvbenchError, ValueError):
    """Losses are NaN, outside [0, 1], or not one number per image."""


class InvalidSplitError(InvbenchError, ValueError):
    """Images cannot be split as asked: too few groups, or groups that do not match the images."""


class MissingGeneratorError(InvbenchError, TypeError):
    """A method that draws at random was called without a generator."""
