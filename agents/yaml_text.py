"""YAML as the suite reads it: safe, 1e-4 is a number, and a key given twice is an error."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from makespan.agents.typed_config import ConfigError


def read_yaml(text: str) -> Any:
    """What a YAML text says; raises `yaml.YAMLError`, or `ConfigError` for a key given twice."""
    return yaml.load(text, _Loader)  # a SafeLoader


def read_value(words: list[str]) -> Any:
    """A value on the command line: one word as YAML reads it, several words as a tuple of such values."""
    values = tuple(read_yaml(word) for word in words)
    if len(values) != 1:
        return values
    return tuple(values[0]) if isinstance(values[0], list) else values[0]


class _Loader(yaml.SafeLoader):
    """A safe loader that reads 1e-4 as a number, as YAML 1.2 does, and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ConfigError(f"key given twice: {', '.join(map(str, sorted(twice)))}")
        return super().construct_mapping(node, deep)


_EXPONENT: Final = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
