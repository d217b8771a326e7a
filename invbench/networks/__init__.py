"""What are the methods' networks made of? They import no task and read no file."""

from __future__ import annotations

from invbench.networks.colorspaces import gray_to_lightness, lab_to_rgb
from invbench.networks.dropout import draw_masks
from invbench.networks.encoder import Encoder, EncoderConfig
from invbench.networks.guided_unet import GuidedUnet, GuidedUnetConfig
from invbench.networks.initialization import initialize_xavier
from invbench.networks.paired_unet import PairedUnet, PairedUnetConfig
from invbench.networks.patch_discriminator import (
    DiscriminatorConfig,
    MultiscaleDiscriminator,
    PatchDiscriminator,
)
from invbench.networks.patch_features import PatchProjector
from invbench.networks.precision import narrow
from invbench.networks.resnet import ResnetConfig, ResnetGenerator
from invbench.networks.resnet_cat import ResnetCatConfig, ResnetCatGenerator
from invbench.networks.simple_unet import SimpleUnet, SimpleUnetConfig
from invbench.networks.tower import Carry, Form, Tower, TowerConfig, initialize
from invbench.networks.unet import InputUnet, Unet, UnetConfig

__all__ = [
    "Carry",
    "DiscriminatorConfig",
    "Encoder",
    "EncoderConfig",
    "Form",
    "GuidedUnet",
    "GuidedUnetConfig",
    "InputUnet",
    "MultiscaleDiscriminator",
    "PairedUnet",
    "PairedUnetConfig",
    "PatchDiscriminator",
    "PatchProjector",
    "ResnetCatConfig",
    "ResnetCatGenerator",
    "ResnetConfig",
    "ResnetGenerator",
    "SimpleUnet",
    "SimpleUnetConfig",
    "Tower",
    "TowerConfig",
    "Unet",
    "UnetConfig",
    "draw_masks",
    "gray_to_lightness",
    "initialize",
    "initialize_xavier",
    "lab_to_rgb",
    "narrow",
]
