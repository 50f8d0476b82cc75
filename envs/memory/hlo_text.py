"""The grammar of HLO text, as much of it as memory programs need."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from makespan.envs.core.errors import InstanceFormatError

_ARRAY: Final = re.compile(r"([a-z]+)(\d*)\w*\[([^\]]*)\]")
_NAME: Final = re.compile(r"%?([\w.\-]+)\s*=\s*")
_COMPUTATION: Final = re.compile(r"(ENTRY\s+)?%?([\w.\-]+)\s*(\(.*)?\{\s*$")
_COMMENT: Final = re.compile(r"/\*.*?\*/")
_WORDLESS: Final = {"pred": 8, "token": 0, "opaque": 0}  # bits of types whose name gives none


@dataclass(frozen=True)
class Shape:
    """Type of a value.

    Attributes:
        bits: Bits of an element.
        dimensions: Extents of an array.
        parts: Types of a tuple's elements.
        is_tuple: Whether it is a tuple.
    """

    bits: int = 0
    dimensions: tuple[int, ...] = ()
    parts: tuple[Shape, ...] = ()
    is_tuple: bool = False

    @property
    def elements(self) -> int:
        """Elements of an array, or of all arrays of a tuple."""
        return sum(p.elements for p in self.parts) if self.is_tuple else math.prod(self.dimensions)

    @property
    def bytes(self) -> int:
        """Bytes of an array, or of all arrays of a tuple."""
        if self.is_tuple:
            return sum(part.bytes for part in self.parts)
        return -(-self.elements * self.bits // 8)


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name: Its name, without the `%`.
        shape: Type of its result.
        opcode: What it does.
        operands: Names of its operands.
        arguments: What stands in the parentheses.
        attributes: What follows them.
        line: Number of the line.
        scope: Shapes of the computation it stands in, where that is not the entry.
    """

    name: str
    shape: Shape
    opcode: str
    operands: tuple[str, ...]
    arguments: str
    attributes: str
    line: int
    scope: Mapping[str, Shape] | None = None

    @property
    def number(self) -> int:
        """Number of a parameter, or index of a tuple's element."""
        found = self.arguments if self.opcode == "parameter" else self.attribute("index")
        return int(found) if found.isdecimal() else 0

    @property
    def region(self) -> str:
        """Path of the JAX name scopes, without the operation's own name."""
        found = re.search(r'op_name="((?:[^"\\]|\\.)*)"', self.attributes)
        return found[1].rpartition("/")[0] if found else ""

    @property
    def trip_count(self) -> int:
        """How often a loop runs, 0 if that is not known."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.attributes)
        return int(found[1]) if found else 0

    def attribute(self, key: str) -> str:
        """Text of an attribute without its `%` or braces; empty if there is none."""
        found = re.search(rf"(?:^|[\s,]){key}=(?:\{{([^{{}}]*)\}}|%?([^\s,{{}}]+))", self.attributes)
        return "" if found is None else (found[1] or found[2] or "")

    def numbers(self, key: str) -> list[int]:
        """An attribute's list of numbers."""
        return [int(n) for n in re.findall(r"\d+", self.attribute(key))]


@dataclass
class Computation:
    """A named list of instructions.

    Attributes:
        name: Its name, without the `%`.
        instructions: In the order of the text.
        root_name: Name of the instruction that is the result.
    """

    name: str
    instructions: list[Instruction] = field(default_factory=list)
    root_name: str = ""

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Types of all results by name."""
        return {i.name: i.shape for i in self.instructions}

    @property
    def root(self) -> Instruction:
        """The instruction that is the result: the marked one, or the last."""
        return next((i for i in self.instructions if i.name == self.root_name), self.instructions[-1])


@dataclass
class Module:
    """A parsed module.

    Attributes:
        name: Its name.
        computations: By name.
        entry: The one that runs.
        aliases: Which argument each result may overwrite: index of the result -> number of the argument.
    """

    name: str
    computations: dict[str, Computation]
    entry: Computation
    aliases: dict[int, int]


def parse_module(text: str, source: str) -> Module:
    """Parse HLO text.

    Raises:
        InstanceFormatError: It is malformed; the message names the line.
    """
    name, aliases, entry = "", {}, None
    computations: dict[str, Computation] = {}
    current: Computation | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        if line.startswith("HloModule"):
            name = line.split()[1].rstrip(",") if len(line.split()) > 1 else ""
            aliases = _aliases(line)
        elif current is None:
            found = _COMPUTATION.match(line)
            if found and "=" not in line.split("{")[0].split("(")[0]:
                current = computations[found[2]] = Computation(found[2])
                entry = current if found[1] else entry
        elif line.startswith("}"):
            if not current.instructions:
                raise InstanceFormatError(f"{source}, line {number}: computation %{current.name} is empty")
            current = None
        elif line and not line.startswith("//"):
            current.instructions.append(_instruction(line.removeprefix("ROOT "), number, source))
            if line.startswith("ROOT "):
                current.root_name = current.instructions[-1].name
    if current is not None:
        raise InstanceFormatError(
            f"{source}: computation %{current.name} does not end; expected a line with }}"
        )
    if entry is None:
        raise InstanceFormatError(f"{source}: no ENTRY computation; expected the text of an HLO module")
    return Module(name, computations, entry, aliases)


def parse_shape(text: str) -> Shape:
    """Parse a type such as `f32[8,128]{1,0}` or `(f32[8], s32[])`.

    Raises:
        ValueError: It is none.
    """
    text = text.strip()
    if text.startswith("("):
        return Shape(parts=tuple(parse_shape(part) for part in split(_inside(text))), is_tuple=True)
    found = _ARRAY.match(text)
    if found is None:
        if text.split("{")[0] in _WORDLESS:
            return Shape()
        raise ValueError(f"{text[:40]!r}; expected a type such as f32[8,128]{{1,0}}")
    bits = int(found[2]) if found[2] else _WORDLESS.get(found[1], -1)
    extents = [extent.strip().removeprefix("<=") for extent in found[3].split(",") if extent.strip()]
    if bits < 0 or not all(extent.isdecimal() for extent in extents):
        raise ValueError(f"{text[:40]!r}; expected a type such as f32[8,128]{{1,0}}")
    return Shape(bits, tuple(map(int, extents)))


def split(text: str) -> list[str]:
    """Parts between the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for k, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:k])
            start = k + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _inside(text: str) -> str:
    """What stands between the first parenthesis and the one that closes it.

    Raises:
        ValueError: It is not closed.
    """
    depth = 0
    for k, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[1:k]
    raise ValueError("a parenthesis is not closed")


def _instruction(line: str, number: int, source: str) -> Instruction:
    try:
        head = _NAME.match(line)
        if head is None:
            raise ValueError(f"{line[:40]!r}; expected %name = type opcode(operands)")
        rest = line[head.end() :]
        length = len(_inside(rest)) + 2 if rest.startswith("(") else rest.index(" ")
        shape, rest = parse_shape(rest[:length]), rest[length:].lstrip()
        opcode, bracket, _ = rest.partition("(")
        if not bracket or not re.fullmatch(r"[\w\-]+", opcode):
            raise ValueError(f"{rest[:40]!r}; expected opcode(operands)")
        arguments = _inside(rest[len(opcode) :])
        operands = () if opcode in ("parameter", "constant") else _operands(arguments)
        attributes = rest[len(opcode) + len(arguments) + 2 :]
    except ValueError as error:
        raise InstanceFormatError(f"{source}, line {number}: {error}") from None
    return Instruction(head[1], shape, opcode, operands, arguments, attributes, number)


def _operands(arguments: str) -> tuple[str, ...]:
    """Names; older texts write the type before each."""
    return tuple(part.split()[-1].removeprefix("%") for part in split(arguments))


def _aliases(header: str) -> dict[int, int]:
    """`input_output_alias={ {0}: (2, {}, may-alias), ... }`, where result and argument are whole arrays."""
    return {
        int(result or 0): int(argument)
        for result, argument in re.findall(r"\{(\d*)\}:\s*\((\d+),\s*\{\}", header)
    }
