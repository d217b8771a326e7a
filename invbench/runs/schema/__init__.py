"""JSON Schemas of what a run leaves behind, for readers in other languages.

The files beside this module are made from `records` by ``python -m invbench.runs.schema``; a
test holds them against the dataclasses. Keys that they do not name are allowed everywhere.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from invbench.runs.records import (
    CASE_SCHEMA,
    RUN_SCHEMA,
    CaseRecord,
    RunRecord,
)
from invbench.runs.timing import TIMING_SCHEMA, TimingRecord
from invbench.runs.typed_json import required, type_hints

FOLDER = Path(__file__).parent
RECORDS: dict[str, type[Any]] = {
    CASE_SCHEMA: CaseRecord,
    RUN_SCHEMA: RunRecord,
    TIMING_SCHEMA: TimingRecord,
}
SCALARS = {str: "string", float: "number", int: "integer", bool: "boolean", NoneType: "null"}


def file_of(schema: str) -> Path:
    """Return the file of a schema.

    >>> file_of("invbench.case/2").name
    'case-2.json'
    """
    return FOLDER / f"{schema.removeprefix('invbench.').replace('/', '-')}.json"


def json_schema(schema: str) -> dict[str, Any]:
    """Derive a JSON Schema (2020-12) from the record that follows it."""
    found = _dataclass(RECORDS[schema])
    found["properties"]["schema"] = {"const": schema}
    found["required"] += ["schema"]
    if schema == CASE_SCHEMA:
        found["properties"]["key"] = {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "SHA-256 of the identity as JSON with sorted keys and no blanks",
        }
        found["required"] += ["key"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{schema.replace('.', ':').replace('/', ':')}",
        **found,
    }


def _dataclass(cls: Any) -> dict[str, Any]:
    said = _descriptions(cls)
    hints: dict[str, Any] = type_hints(cls)
    properties = {
        name: _type(hint) | ({"description": said[name]} if name in said else {})
        for name, hint in hints.items()
    }
    return {"type": "object", "properties": properties, "required": required(cls)}


def _type(hint: Any) -> dict[str, Any]:
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return {"anyOf": [_type(option) for option in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array"} | _items(arguments)
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    return {} if hint is Any else {"type": SCALARS[hint]}


def _items(types: tuple[Any, ...]) -> dict[str, Any]:
    if types[-1] is ...:
        return {"items": _type(types[0])}
    return {"prefixItems": [*map(_type, types)], "items": False, "minItems": len(types)}


def _descriptions(cls: type[Any]) -> dict[str, str]:
    """Return what the class's docstring says of its attributes."""
    _, _, text = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said).replace("`", "") for name, said in entries}


def text_of(schema: str) -> str:
    """Return the text of a schema's file."""
    return json.dumps(json_schema(schema), indent=1) + "\n"
