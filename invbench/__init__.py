"""Judge generative models for inverse problems: validity, uncertainty, speed, regressions."""

__version__ = "0.1.0"
