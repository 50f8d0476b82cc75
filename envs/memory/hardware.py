"""Two-level memory hardware: parameters of the latency model, and presets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError

MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Hardware:
    """An accelerator with a large slow memory (HBM, taken as unlimited) and a small fast one.

    Attributes:
        name: Name of the preset, or the user's.
        matrix_flops_per_s: Peak of matrix operations, flops a second.
        vector_flops_per_s: Peak of pointwise operations, flops a second.
        hbm_bytes_per_s: Bandwidth of HBM, bytes a second.
        fast_bytes_per_s: Bandwidth of the fast memory, bytes a second.
        capacity: Size of the fast memory, bytes; a multiple of `alignment`.
        alignment: Unit of offsets in the fast memory, bytes.
        source: Where the parameters come from.
    """

    name: str
    matrix_flops_per_s: int
    vector_flops_per_s: int
    hbm_bytes_per_s: int
    fast_bytes_per_s: int
    capacity: int
    alignment: int = 1
    source: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or not 1 <= value < 2**62):
                raise InvalidInstanceError(f"{field.name}: {value!r}; expected a whole number >= 1")
        if self.capacity % self.alignment:
            raise InvalidInstanceError(
                f"capacity: {self.capacity} bytes; expected a multiple of the alignment, {self.alignment}"
            )
        if self.fast_bytes_per_s < self.hbm_bytes_per_s:
            raise InvalidInstanceError(
                f"fast_bytes_per_s: {self.fast_bytes_per_s}; expected at least hbm_bytes_per_s, {self.hbm_bytes_per_s}"
            )


_CMEM = "fast bandwidth 10x of HBM, vector peak and alignment assumed"
_VMEM = "fast bandwidth 22x of HBM (as the scaling book says of VMEM), vector peak and alignment assumed"

PRESETS: Final[tuple[Hardware, ...]] = (
    Hardware(
        "tpu_v4i_like", 138 * 10**12, 4 * 10**12, 614 * 10**9, 6_140 * 10**9, 128 * MIB, 1024,
        f"parameters, no measurement: peak, HBM and CMEM size recalled, unconfirmed; {_CMEM}",
    ),
    Hardware(
        "tpu_v4_like", 275 * 10**12, 4 * 10**12, 1_200 * 10**9, 12_000 * 10**9, 128 * MIB, 1024,
        f"parameters, no measurement: peak and HBM of the scaling book, CMEM size second-hand; {_CMEM}",
    ),
    Hardware(
        "tpu_v5e_like", 197 * 10**12, 4 * 10**12, 810 * 10**9, 17_820 * 10**9, 128 * MIB, 1024,
        f"parameters, no measurement: peak, HBM and VMEM size of the scaling book; {_VMEM}",
    ),
    Hardware(
        "tpu_v5p_like", 459 * 10**12, 4 * 10**12, 2_800 * 10**9, 61_600 * 10**9, 128 * MIB, 1024,
        f"parameters, no measurement: peak and HBM of the scaling book, VMEM size assumed; {_VMEM}",
    ),
    Hardware(
        "tpu_v6e_like", 920 * 10**12, 4 * 10**12, 1_600 * 10**9, 35_200 * 10**9, 128 * MIB, 1024,
        f"parameters, no measurement: peak and HBM of the scaling book, VMEM size assumed; {_VMEM}",
    ),
    Hardware(
        "xla_test", 1000, 1000, 100, 1000, 128, 8,
        "constants of the unit tests of XLA's memory-space assignment (its transcendental rate left out)",
    ),
)  # fmt: skip
"""Presets. Those named `_like` are parameters for experiments, not measurements of a product."""

_BY_NAME: Final = {preset.name: preset for preset in PRESETS}


def hardware_names() -> list[str]:
    """Names that `get_hardware` knows."""
    return list(_BY_NAME)


def get_hardware(name: str, *, capacity: int | None = None) -> Hardware:
    """A preset by name.

    Args:
        name: One of `hardware_names()`.
        capacity: Size of the fast memory in bytes, in place of the preset's.

    Raises:
        UnknownNameError: No preset has this name.
        InvalidInstanceError: The capacity is no positive multiple of the alignment.
    """
    if name not in _BY_NAME:
        raise UnknownNameError("hardware", name, _BY_NAME)
    preset = _BY_NAME[name]
    return preset if capacity is None else replace(preset, capacity=capacity)
