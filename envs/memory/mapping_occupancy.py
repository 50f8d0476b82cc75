"""The fast memory as an image: time x offset, the view of a mapping that the game's first players had."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, GraphSpace
from makespan.envs.core.kernels import borrowing_kernel
from makespan.envs.memory.mapping_state import CAPACITY, Mapping, rectangles_since
from makespan.envs.memory.rectangles import END, HIGH, LOW, START

CHANNELS: Final = 2


@dataclass(frozen=True)
class MappingSchema(GraphSchema):
    """The decision graph, with `occupancy` (2, operations, bins) float32 beside it if that is not (0, 0).

    Row r is the r-th operation from the present one on, bin k the k-th part of the fast memory. Channel 0 is the occupied
    share of the cell, channel 1 the part of it whose stay ends with that operation.
    """

    occupancy: tuple[int, int] = (0, 0)

    @cached_property
    def space(self) -> GraphSpace:
        """The decision graph's space, with the image."""
        graph: Any = GraphSchema.__dict__["space"]
        space = graph.func(self)
        if min(self.occupancy) == 0:
            return space
        image = spaces.Box(0.0, 1.0, (CHANNELS, *self.occupancy), np.float32)
        return GraphSpace({**space.spaces, "occupancy": image}, self)


@borrowing_kernel
def write_occupancy(m: Mapping, image: NDArray[np.float32], b: int, now: int) -> None:
    """Write slot b's image (B, 2, operations, bins) from operation `now` on."""
    length, bins = image.shape[2], image.shape[3]
    if bins == 0:
        return
    image[b] = 0.0
    rectangles = rectangles_since(m, b, now)
    per_unit = bins / m.clock[b, CAPACITY]
    for k in range(rectangles.used[b, 0]):
        row = rectangles.row[b, k]
        low, high = row[LOW] * per_unit, row[HIGH] * per_unit
        for i in range(max(row[START], now), min(row[END], now + length)):
            for cell in range(int(low), min(bins, int(np.ceil(high)))):
                share = np.float32(min(high, cell + 1.0) - max(low, cell))
                image[b, 0, i - now, cell] = min(np.float32(1.0), image[b, 0, i - now, cell] + share)
                if i == row[END] - 1:
                    image[b, 1, i - now, cell] = min(np.float32(1.0), image[b, 1, i - now, cell] + share)
