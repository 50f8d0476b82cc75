"""Command-line options that set entries of a config's mappings: `--env.options.sgs active`.

The other options are tyro's, which knows the entries that a mapping has and can add none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from makespan.agents.yaml_text import read_value

T = TypeVar("T")


def set_entries(config: T, arguments: Sequence[str]) -> tuple[T, list[str]]:
    """Apply the options that lead into a mapping.

    Args:
        config: A nested frozen dataclass.
        arguments: Words of a command line.

    Returns:
        The config with its mappings' entries set, and the words that are left.
    """
    rest: list[str] = []
    for words in _options(arguments):
        name, equals, value = words[0].partition("=")
        values = [value, *words[1:]] if equals else words[1:]
        path = name.removeprefix("--").replace("-", "_").split(".")
        if name.startswith("--") and values and _in_mapping(config, path):
            config = _with_entry(config, path, read_value(values))
        else:
            rest += words
    return config, rest


def _options(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Each option with the words that follow it."""
    words: list[str] = []
    for argument in arguments:
        if argument.startswith("--") and words:
            yield words
            words = []
        words.append(argument)
    if words:
        yield words


def _in_mapping(part: Any, path: Sequence[str]) -> bool:
    """Whether a path ends in a mapping of the config, one step before its last name."""
    for name in path[:-1]:
        part = _child(part, name)
    return isinstance(part, Mapping)


def _child(part: Any, name: str) -> Any:
    if is_dataclass(part) and name in {field.name for field in fields(part)}:
        return getattr(part, name)
    if isinstance(part, tuple) and name.isdecimal() and int(name) < len(part):
        return part[int(name)]
    return None


def _with_entry(part: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    name, inner = path[0], path[1:]
    if isinstance(part, Mapping):
        return {**part, name: value}
    changed = _with_entry(_child(part, name), inner, value)
    if isinstance(part, tuple):
        return (*part[: int(name)], changed, *part[int(name) + 1 :])
    return replace(part, **{name: changed})
