"""Ranges of noise parameters from a TOML file, one table per noise type; unknown keys are rejected.

A type without a table is not used. A missing key has its default value. All tables and keys::

    [gaussian]
    sigma = [0.04, 0.22]
    per_channel = true

    [salt_and_pepper]
    density = [0.03, 0.15]
    salt_share = [0.5, 0.5]

    [periodic]
    cloud_share = 0.5

    [periodic.stripes]
    amplitude = [0.155, 0.4]
    period = [0.04, 0.23]

    [periodic.cloud]
    waves = [8, 48]
    rms = [0.08, 0.2]
    cycles = 14
"""

import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from clearcast.core.errors import RecipeError
from clearcast.noise.registry import DEFAULT_NOISE_RANGES, NoiseType
from clearcast.noise.specification import NoiseRange

_Record = TypeVar("_Record")
_LARGEST = 1e15  # beyond it, whole numbers are no longer exact as float


def load_noise_ranges(path: Path) -> Mapping[NoiseType, NoiseRange]:
    """Load the ranges of noise parameters from a TOML file, by noise type; see the module docstring for the format.

    Raises:
        RecipeError: the file is missing, not UTF-8, not TOML, has no noise type, an unknown key or an invalid value.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}); expected a TOML file with noise levels"
        ) from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text; save the file again as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML ({error}); correct the file there") from None
    defaults = {kind.value: noise_range for kind, noise_range in DEFAULT_NOISE_RANGES.items()}
    _require_known(tables, defaults, f"{path}:")
    if not tables:
        raise RecipeError(f"{path}: expected one or more of {_format_tables(defaults)}, got no noise type")
    return MappingProxyType(
        {NoiseType(name): _parse(tables[name], defaults[name], name, path) for name in defaults if name in tables}
    )


def _parse(table: object, default: _Record, table_path: str, path: Path) -> _Record:
    """Return a copy of the default with the values of the table."""
    where = f"{path}: [{table_path}]"
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: expected a table with keys, got {table!r}")
    known = vars(default)
    _require_known(table, known, where)
    values = {
        key: _parse(value, known[key], f"{table_path}.{key}", path)
        if is_dataclass(known[key])
        else _value(value, known[key], f"{where} {key}")
        for key, value in table.items()
    }
    try:
        return type(default)(**known | values)
    except RecipeError as error:
        raise RecipeError(f"{where} {error}") from None


def _value(value: Any, default: Any, where: str) -> Any:  # noqa: ANN401 -- one of the types of the cases
    """Return the value if it has the type of its default: boolean, whole number, number, or two numbers."""
    match default:
        case bool():
            fits, expected = isinstance(value, bool), "true or false"
        case int():
            fits, expected = _is_whole(value), "a whole number"
        case float():
            fits, expected = _is_number(value), "a number"
        case (int(), int()):
            fits, expected = _is_pair(value) and all(map(_is_whole, value)), "two whole numbers, [lowest, highest]"
        case _:
            fits, expected = _is_pair(value) and all(map(_is_number, value)), "two numbers, [lowest, highest]"
    if not fits:
        raise RecipeError(f"{where}: expected {expected}, got {value!r}")
    return tuple(value) if isinstance(value, list) else value


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _require_known(table: Mapping[str, object], known: Mapping[str, object], where: str) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise RecipeError(f"{where} has unknown {listed}; known are {', '.join(known)}; correct the spelling")


def _format_tables(names: Mapping[str, object]) -> str:
    return ", ".join(f"[{name}]" for name in names)
