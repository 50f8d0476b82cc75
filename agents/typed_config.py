"""Strict conversion between nested frozen dataclasses and plain mappings, as YAML reads and writes them.

The dataclass is the schema. A field's annotation gives its type, `Annotated[..., Range(...)]` its bounds.
Nothing is coerced but an integer where a float is expected.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from makespan.envs.core.errors import MakespanError

T = TypeVar("T")


class ConfigError(MakespanError, ValueError):
    """An unusable configuration; the message names the dotted key, the value and what was expected."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number: inclusive `low` and `high`, exclusive `above`."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value > self.above and math.isfinite(value)

    def __str__(self) -> str:
        parts = [f">= {self.low:g}"] if self.low > -math.inf else []
        parts += [f"> {self.above:g}"] if self.above > -math.inf else []
        parts += [f"<= {self.high:g}"] if self.high < math.inf else []
        return "a number " + " and ".join(parts or ["that is finite"])


Count = Annotated[int, Range(low=0)]
PositiveInt = Annotated[int, Range(low=1)]
NonNegative = Annotated[float, Range(low=0.0)]
Positive = Annotated[float, Range(above=0.0)]
Fraction = Annotated[float, Range(low=0.0, high=1.0)]


class Checked:
    """Base of the config sections: every number is held to its field's `Range` when the section is made."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            _check_range(getattr(self, name), hint, name)


def build(cls: type[T], data: object, base: T | None = None, path: str = "") -> T:
    """A `cls` from a plain mapping; keys left out keep the value they have in `base`, or the field's default.

    Args:
        cls: A frozen dataclass.
        data: What YAML or JSON read.
        base: Where missing keys come from.
        path: Dotted path of the section, for messages.

    Raises:
        ConfigError: An unknown key, a wrong type, a value out of range; the message gives the dotted path.
    """
    if data is None:  # a heading whose keys are all commented out
        data = {}
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'config'}: {data!r}; expected a mapping of {', '.join(_names(cls))}")
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, object] = {}
    for key, value in data.items():
        if key not in hints:
            raise ConfigError(_unknown_key(cls, str(key), path))
        dotted = f"{path}.{key}" if path else str(key)
        values[key] = _convert(value, hints[key], dotted, getattr(base, key, None))
    try:
        return cls(**values) if base is None else replace(base, **values)  # type: ignore[type-var]
    except TypeError as error:  # a field without default is missing
        raise ConfigError(f"{path or 'config'}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}" if path else str(error)) from error


def plain(config: object) -> object:
    """The config as mappings, lists and scalars: what `build` reads back."""
    if is_dataclass(config):
        return {field.name: plain(getattr(config, field.name)) for field in fields(config)}
    if isinstance(config, tuple):
        return [plain(item) for item in config]
    if isinstance(config, Mapping):
        return {key: plain(item) for key, item in config.items()}
    return config


def flatten(data: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(dotted path, scalar) pairs of nested mappings and lists."""
    if isinstance(data, Mapping | list) and data:
        items = data.items() if isinstance(data, Mapping) else enumerate(data)
        for key, value in items:
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, data


def _convert(value: object, hint: object, path: str, base: object) -> object:
    """`value` as the annotation `hint` wants it, or a `ConfigError`."""
    if get_origin(hint) is Annotated:
        converted = _convert(value, get_args(hint)[0], path, base)
        _check_range(converted, hint, path)
        return converted
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, base if isinstance(base, hint) else None, path)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{path}: {value!r}; expected a list")
        return tuple(_convert(v, get_args(hint)[0], f"{path}.{i}", None) for i, v in enumerate(value))
    if get_origin(hint) is Mapping:
        return _convert_mapping(value, get_args(hint)[1], path)
    if get_origin(hint) in (Union, types.UnionType):
        return _convert_to_one_of(value, get_args(hint), path)
    if get_origin(hint) is Literal:
        return _convert_choice(value, get_args(hint), path)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{path}: {value!r} is {_kind(value)}; expected {_TYPE_NAMES.get(hint, str(hint))}")
    return value


def _convert_mapping(value: object, hint: object, path: str) -> dict[str, object]:
    if value is None:  # a heading whose keys are all commented out
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{path}: {value!r}; expected a mapping of names to values")
    return {key: _convert(one, hint, f"{path}.{key}", None) for key, one in value.items()}


def _convert_to_one_of(value: object, kinds: tuple[object, ...], path: str) -> object:
    """`value` as the one of several types that it has."""
    for kind in kinds:
        if type(value) is kind:
            return value
    lists = [kind for kind in kinds if get_origin(kind) is tuple]
    if lists and isinstance(value, list | tuple):
        return _convert(value, lists[0], path, None)
    names = [_TYPE_NAMES.get(kind, "a list") for kind in kinds]
    raise ConfigError(f"{path}: {value!r} is {_kind(value)}; expected {', '.join(names[:-1])} or {names[-1]}")


def _convert_choice(value: object, choices: tuple[object, ...], path: str) -> object:
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), [str(c) for c in choices], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{path}: {value!r}; expected one of {', '.join(map(str, choices))}{hint}")


def _check_range(value: object, hint: object, path: str) -> None:
    if get_origin(hint) is tuple:
        for index, item in enumerate(value if isinstance(value, tuple) else ()):
            _check_range(item, get_args(hint)[0], f"{path}.{index}")
    elif get_origin(hint) is Annotated and isinstance(value, int | float):
        for bounds in get_args(hint)[1:]:
            if isinstance(bounds, Range) and value not in bounds:
                raise ConfigError(f"{path}: {value!r}; expected {bounds}")


_TYPE_NAMES: Final[Mapping[object, str]] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
}


def _kind(value: object) -> str:
    return "empty" if value is None else _TYPE_NAMES.get(type(value), f"a {type(value).__name__}")


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def _unknown_key(cls: type, key: str, path: str) -> str:
    prefix = f"{path}." if path else ""
    near = [f"{prefix}{name}" for name in difflib.get_close_matches(key, _names(cls), n=3, cutoff=0.5)]
    if not near and is_dataclass(cls):  # the right name in the wrong section
        near = [p for p in _leaf_paths(cls, prefix) if p.rsplit(".", 1)[-1] == key]
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return f"unknown key {prefix + key!r}{hint or '.'} Known here: {', '.join(_names(cls))}"


def _leaf_paths(cls: type, prefix: str) -> Iterator[str]:
    for name, hint in get_type_hints(cls).items():
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _leaf_paths(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
