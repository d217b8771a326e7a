"""Building frozen dataclasses from JSON: each value is checked against its field's type."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from invbench.errors import InvalidRecordError
from invbench.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = "restore the file, or measure it again"  # what to do about a file of a run
UPDATE = "update invbench"
NAMES = {
    str: "text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    NoneType: "null",
}


def parse(text: str) -> Any:
    """Read strict JSON: one value, no NaN, no Infinity, and no number that overflows to one.

    Raises:
        InvalidRecordError: if it is anything else.

    Example:
        >>> parse('{"mean": 0.5}')
        {'mean': 0.5}
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite_float,
            object_pairs_hook=_object,
        )
        json.dumps(value, ensure_ascii=False).encode()  # finds halves of characters
    except InvalidRecordError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(f"not JSON: {error}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse names that stand twice, of which one reader takes the first and another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise InvalidRecordError(f"not JSON of ours: {twice} stands twice")
    return found


def read_json(path: Path) -> Any:
    """Read a file of strict JSON.

    Raises:
        MissingDataError: if there is no such file.
        InvalidRecordError: naming the file, if it cannot be read or holds anything else.
    """
    content = read_bytes(path, InvalidRecordError)
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        raise InvalidRecordError(f"{path}: not JSON: {error}") from error
    except InvalidRecordError as error:
        raise named(error, path) from error


def read_toml(path: Path, *, hint: str = "") -> dict[str, Any]:
    """Read a TOML file of finite numbers, text and tables.

    Args:
        path: of the file.
        hint: what to do where there is none.

    Raises:
        MissingDataError: if there is no such file.
        InvalidRecordError: naming the file, if it cannot be read or holds anything else.
    """
    content = read_bytes(path, InvalidRecordError, hint=hint)
    try:
        found = tomllib.loads(content.decode())
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRecordError(f"{path}: not TOML: {error}") from error
    return found


def named(error: InvalidRecordError, path: Path, remedy: str = "") -> InvalidRecordError:
    """Return an error that names the file, and what to do about it, each once."""
    text = str(error).removeprefix(f"{path}: ")
    told = "" if text.endswith((remedy, UPDATE)) else f"; {remedy}"
    return InvalidRecordError(f"{path}: {text}{told}")


def damaged(path: Path, what: str) -> InvalidRecordError:
    """Return the error for a file of a run that is not as it was written."""
    return named(InvalidRecordError(what), path, AGAIN)


def build(cls: type[Any], raw: Any, place: str = "") -> Any:
    """Build a frozen dataclass from parsed JSON: lists become tuples, unknown keys are ignored.

    Args:
        cls: of the dataclass.
        raw: the JSON.
        place: where it stands in its file, for errors.

    Raises:
        InvalidRecordError: naming the place, if a key is missing or a value is of another type.

    Example:
        >>> from invbench.runs.records import Check
        >>> build(Check, {"id": "validity/psnr"})
        Traceback (most recent call last):
        invbench.errors.InvalidRecordError: value is missing
    """
    return _value(cls, raw, place)


@cache
def type_hints(cls: Any) -> dict[str, Any]:
    """Return the types that a dataclass declares for its fields."""
    return get_type_hints(cls)


def required(cls: type[Any]) -> list[str]:
    """Return the fields of a dataclass that have no default."""
    return [
        item.name
        for item in fields(cls)
        if item.default is MISSING and item.default_factory is MISSING
    ]


def item_types(hint: Any, length: int) -> list[Any]:
    """Return the types of a tuple's items: one type ``length`` times, or those it lists.

    >>> item_types(tuple[int, ...], 2), item_types(tuple[int, str], 9)
    ([<class 'int'>, <class 'int'>], [<class 'int'>, <class 'str'>])
    """
    first, *others = get_args(hint)
    return [first] * length if others == [...] else [first, *others]


def _value(hint: Any, raw: Any, place: str) -> Any:
    """Check one value against its type, and its parts against theirs."""
    if hint is Any:
        return raw
    if is_dataclass(hint):
        return _dataclass(hint, raw, place)
    if get_origin(hint) is UnionType:
        present = next(option for option in get_args(hint) if option is not NoneType)
        return None if raw is None else _value(present, raw, place)
    if get_origin(hint) in {tuple, Mapping}:
        return _container(hint, raw, place)
    if get_origin(hint) is Literal:
        known = get_args(hint)
        good = isinstance(raw, str) and raw in known
        return raw if good else _fail(place, f"one of {', '.join(map(str, known))}", raw)
    return _scalar(hint, raw, place)


def _scalar(hint: Any, raw: Any, place: str) -> Any:
    expected = (int, float) if hint is float else (hint,)
    good = isinstance(raw, expected) and (hint is bool or not isinstance(raw, bool))
    return raw if good else _fail(place, NAMES[hint], raw)


def _container(hint: Any, raw: Any, place: str) -> Any:
    if get_origin(hint) is tuple:
        items = raw if isinstance(raw, list) else _fail(place, "a list", raw)
        kinds = item_types(hint, len(items))
        if len(kinds) != len(items):
            _fail(place, f"a list of {len(kinds)}", raw)
        pairs = enumerate(zip(kinds, items, strict=True))
        return tuple(_value(kind, value, f"{place}[{index}]") for index, (kind, value) in pairs)
    entries = raw if isinstance(raw, dict) else _fail(place, "an object", raw)
    kind = get_args(hint)[1]
    return {key: _value(kind, value, _join(place, key)) for key, value in entries.items()}


def _dataclass(cls: Any, raw: Any, place: str) -> Any:
    if not isinstance(raw, dict):
        _fail(place or "the record", "an object", raw)
    for name in required(cls):
        if name not in raw:
            raise InvalidRecordError(f"{_join(place, name)} is missing")
    values = {
        name: _value(hint, raw[name], _join(place, name))
        for name, hint in type_hints(cls).items()
        if name in raw
    }
    try:
        return cls(**values)
    except ValueError as error:
        raise InvalidRecordError(f"{place or 'the record'}: {error}") from error


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _fail(place: str, expected: str, raw: Any) -> NoReturn:
    shown = json.dumps(raw)
    short = shown if len(shown) <= 40 else f"{shown[:37]}..."
    raise InvalidRecordError(f"{place}: expected {expected}, found {short}")


def _refuse(constant: str) -> NoReturn:
    raise InvalidRecordError(f"not JSON: {constant} is not a number; what is not finite is null")


def _finite_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
