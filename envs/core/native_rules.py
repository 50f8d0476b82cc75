"""Dispatching rules as kernels: the function that ranks a batch in NumPy, compiled to rank one candidate in machine code.

A family's rollout kernels write a candidate's raw features into a row and ask the rule for its priority. Rules are written
once; what they may use is arithmetic, NumPy's element-wise functions, and helpers marked `scalar_too`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import cfunc, float64, from_dtype
from numba.core.errors import NumbaError
from numba.extending import register_jitable

from makespan.envs.core.graph import Feature
from makespan.envs.core.policy import Rule

scalar_too = register_jitable  # marks a helper of rules that takes arrays as well as single numbers


def row_type(features: Iterable[Feature]) -> np.dtype[np.void]:
    """A row of a candidate's raw features by name, float64 each, in the order of the schema."""
    return np.dtype([(feature.name, np.float64) for feature in features if feature.raw])


@lru_cache(maxsize=256)
def native_priority(rule: Rule, row: np.dtype[np.void]) -> Any:
    """The rule's priority of a row, to be handed to kernels.

    Raises:
        ValueError: The rule looks at more than its candidate's raw features, or uses what does not compile.
    """
    on_disk = Path(inspect.getfile(rule.priority)).exists()  # Numba caches nothing else
    try:
        return cfunc(float64(from_dtype(row)), cache=on_disk)(rule.priority)
    except (NumbaError, KeyError) as error:  # a KeyError where Numba does not find an attribute
        raise ValueError(
            f"{rule.family} rule {rule.name!r} does not compile; expected arithmetic on the features "
            f"{', '.join(row.names or ())} alone"
        ) from error
