"""Whether what a file held is of the type that was declared: files come from elsewhere, and types check nothing."""

import json
import math
import sys
from enum import Enum
from types import UnionType
from typing import get_args, get_origin, get_type_hints, is_typeddict


def parse_json(text: bytes | str) -> object:
    """Read JSON; unlike ``json.loads``, refuse numbers that are not finite.

    >>> parse_json('{"threshold": 0.5}')
    {'threshold': 0.5}
    >>> parse_json('{"threshold": NaN}')
    Traceback (most recent call last):
        ...
    ValueError: expected finite numbers, got NaN

    Raises:
        ValueError: it is no JSON, or holds NaN, Infinity or a number beyond the range of floats.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {text}")
    return value


def conforms(value: object, kind: object) -> bool:
    """Whether a value, as JSON gives it, is of a type.

    Args:
        value: anything.
        kind: str, bool, int, float (finite), None's type, an enumeration of texts, a ``TypedDict``, or a list, a dict
            or a union of such.

    >>> conforms({"a": [1, 2.5]}, dict[str, list[float]]), conforms({"a": ["1"]}, dict[str, list[float]])
    (True, False)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return isinstance(value, dict) and not misfits(value, kind)
    if origin is UnionType:
        return any(conforms(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(conforms(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            conforms(name, inner[0]) and conforms(each, inner[1]) for name, each in value.items()
        )
    assert isinstance(kind, type)
    if issubclass(kind, Enum):
        return value in [each.value for each in kind]
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def misfits(members: dict[str, object], kind: object) -> list[str]:
    """The members that a ``TypedDict`` must have and that lack, or that are of another type; others do not matter.

    >>> from typing import NotRequired, TypedDict
    >>> Graph = TypedDict("Graph", {"name": str, "size": NotRequired[int]})
    >>> misfits({"name": "a"}, Graph), misfits({"size": "a", "more": 1}, Graph)
    ([], ['name', 'size'])
    """
    needed: frozenset[str] = vars(kind)["__required_keys__"]
    return [
        name
        for name, its in get_type_hints(kind).items()
        if (name in needed or name in members) and not (name in members and conforms(members[name], its))
    ]
