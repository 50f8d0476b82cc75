"""Kernels called without Numba's look at their arguments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import compiled, kernel


@kernel
def add_to(values: NDArray[np.int64], amount: int) -> int:
    """Adds to the first value; returns the sum of all."""
    values[0] += amount
    return int(values.sum())


def test_a_compiled_kernel_does_what_the_kernel_does():
    """The machine code acts on the caller's arrays and returns what the kernel would, for the types it was compiled for."""
    values = np.array([1, 2, 3])
    code = compiled(add_to, values, 0)
    assert code(values, 10) == 16
    assert values.tolist() == [11, 2, 3]
    assert add_to(values, 1) == 17
    assert len(add_to.overloads) == 1
