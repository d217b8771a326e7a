"""Reading the reference tensors of the IMLE networks."""

from __future__ import annotations

import json

from invbench.networks.tower import TowerConfig

FORMS = {
    "Super_Resolution": "super-resolution",
    "Colourization": "colorization",
    "Generic": "generic",
}


def config_of(metadata):
    kwargs = json.loads(metadata["kwargs"])
    return TowerConfig(
        form=FORMS[kwargs.get("task", "Super_Resolution")],
        in_channels=kwargs["in_nc"],
        out_channels=kwargs["out_nc"],
        code_channels=kwargs["code_nc"],
        residual_channels=tuple(kwargs["num_residual_channels"]),
        growth_channels=tuple(kwargs["num_dense_channels"]),
        blocks=kwargs["num_blocks"],
        map_channels=kwargs["map_nc"],
        latent_channels=kwargs["latent_nc"],
        chained=metadata["cls"] == "TIM",
        upsample=not kwargs.get("no_upsample", False),
    )


def numbered(tensors, name):
    return [tensors[key] for key in sorted(tensors) if key.startswith(f"{name}.")]


def weights(tensors):
    return {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}
