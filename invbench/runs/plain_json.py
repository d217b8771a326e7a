"""Values as JSON can hold them: finite numbers, one text for equal values, where two differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """Return JSON text that is the same for equal values, whatever the order of their keys."""
    return json.dumps(finite(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def finite(value: Any) -> Any:
    """Return a JSON value in which None replaces every number that is not finite, at any depth.

    >>> finite({"psnr": float("inf"), "ssim": (0.5, float("nan"))})
    {'psnr': None, 'ssim': [0.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return the dotted places at which two JSON values differ.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}, "d": 3})
    ['a.c', 'd']
    """
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [] if canonical_json(one) == canonical_json(other) else [place]
    places = []
    for key in dict.fromkeys([*one, *other]):
        name = f"{place}.{key}" if place else str(key)
        if key in one and key in other:
            places += differences(one[key], other[key], name)
        else:
            places.append(name)
    return places
