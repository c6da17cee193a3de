"""JSON parsing and validation against type hints: files come from elsewhere, and hints are not checked at run time."""

import json
import math
import sys
from enum import Enum
from types import UnionType
from typing import get_args, get_origin, get_type_hints, is_typeddict


def parse_json(text: bytes | str) -> object:
    """Parse JSON; unlike ``json.loads``, reject numbers that are not finite.

    >>> parse_json('{"threshold": 0.5}')
    {'threshold': 0.5}
    >>> parse_json('{"threshold": NaN}')
    Traceback (most recent call last):
        ...
    ValueError: expected finite numbers, got NaN

    Raises:
        ValueError: it is not JSON, or holds NaN, Infinity or a number beyond the range of floats.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {text}")
    return value


def matches_type(value: object, kind: object) -> bool:
    """Return whether a parsed JSON value matches a type hint.

    Args:
        value: anything.
        kind: str, bool, int, float (finite), the type of None, an enumeration of strings, a ``TypedDict``, or a list,
            a dict or a union of them.

    >>> matches_type({"a": [1, 2.5]}, dict[str, list[float]]), matches_type({"a": ["1"]}, dict[str, list[float]])
    (True, False)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return isinstance(value, dict) and not invalid_fields(value, kind)
    if origin is UnionType:
        return any(matches_type(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(matches_type(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            matches_type(name, inner[0]) and matches_type(each, inner[1]) for name, each in value.items()
        )
    assert isinstance(kind, type)
    if issubclass(kind, Enum):
        return value in [each.value for each in kind]
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def invalid_fields(members: dict[str, object], kind: object) -> list[str]:
    """Return the members of a ``TypedDict`` that are missing or have another type; additional members are ignored.

    >>> from typing import NotRequired, TypedDict
    >>> Graph = TypedDict("Graph", {"name": str, "size": NotRequired[int]})
    >>> invalid_fields({"name": "a"}, Graph), invalid_fields({"size": "a", "more": 1}, Graph)
    ([], ['name', 'size'])
    """
    required: frozenset[str] = vars(kind)["__required_keys__"]
    return [
        name
        for name, hint in get_type_hints(kind).items()
        if (name in required or name in members) and not (name in members and matches_type(members[name], hint))
    ]
