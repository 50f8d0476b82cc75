"""Policies of allocation in canonical order that look at what a placement would do to the lower bound."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation

RESOLUTION: Final = 1e-4  # of the load bound; rises that differ by less count as equal


class LeastRisePolicy:
    """Places the buffer that raises the lower bound least; of those the one that can lie lowest, then the largest.

    It needs a canonical order, where the bound after each placement is seen (`outlook`). The largest is that of the largest
    size x lifetime.

    Args:
        schema: The decision graph's schema.
        seed: Of the noise.
        noise: Standard deviation of the logarithm of a factor on size x lifetime, drawn anew for each buffer and decision.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0, noise: float = 0.0) -> None:
        if noise < 0:
            raise ValueError(f"noise: {noise}; expected at least 0")
        self.noise = noise
        self._rng = np.random.default_rng(seed)
        self._columns = [schema.action_feature(name) for name in ("outlook", "placement", "area")]

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The next buffer in each slot (B,)."""
        allowed = observation["action_mask"] > 0
        outlook, placement, area = (
            observation["candidate_x"][..., column].astype(np.float64) for column in self._columns
        )
        for values in (np.rint(outlook / RESOLUTION), placement):
            least = np.where(allowed, values, np.inf).min(axis=-1, keepdims=True)
            allowed = allowed & (values == least)
        if self.noise:
            area *= np.exp(self.noise * self._rng.standard_normal(area.shape))
        action: NDArray[np.int64] = np.where(allowed, area, -1.0).argmax(axis=-1)
        return action
