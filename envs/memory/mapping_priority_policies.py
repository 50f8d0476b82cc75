"""Policies of the mapping game in priority order that follow an order of tensors, found before the episode starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.memory.mapping_copies import LATEST, PREFERRED
from makespan.envs.memory.mapping_decoder import ORDERS, PriorityDecoder
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_simulator import BEST, HIGHEST, LOWEST
from makespan.envs.memory.mapping_solver_search import climb

_OFFSETS: Final = {"lowest": LOWEST, "best": BEST, "highest": HIGHEST}
_PREFETCHES: Final = {"latest": LATEST, "preferred": PREFERRED}


class PortfolioPriorityPolicy:
    """Follows the order of the portfolio that gives the shortest latency.

    Args:
        schema: The decision graph's schema, of a game in priority order.
        seed: Of searches.
        offset_policy: Where the game places tensors.
        prefetch: When its copies into fast memory start.
    """

    def __init__(
        self, schema: GraphSchema, seed: int = 0, offset_policy: str = "best", prefetch: str = "latest"
    ) -> None:
        if offset_policy not in _OFFSETS:
            raise UnknownNameError("offset_policy", offset_policy, _OFFSETS)
        if prefetch not in _PREFETCHES:
            raise UnknownNameError("prefetch", prefetch, _PREFETCHES)
        self.seed = seed
        self._options = (_OFFSETS[offset_policy], _PREFETCHES[prefetch])
        self._rank: dict[int, NDArray[np.int64]] = {}  # slot -> (max_tensors,) place in the order
        self._most = schema.candidates.max_count

    def order(self, instance: MappingInstance, decoder: PriorityDecoder) -> NDArray[np.int64]:
        """The order (T,) that is followed."""
        orders = [order(instance) for order in ORDERS.values()]
        return orders[int(np.argmin([decoder.decode(order) for order in orders]))]

    def begin(self, instances: Sequence[MappingInstance], slots: NDArray[np.int64]) -> None:
        """Find orders for `instances`, which start anew in `slots`."""
        offsets, prefetch = self._options
        for instance, slot in zip(instances, slots.tolist(), strict=True):
            decoder = PriorityDecoder(instance, offset_policy=offsets, prefetch=prefetch)
            rank = np.zeros(self._most, np.int64)
            rank[self.order(instance, decoder)] = np.arange(instance.num_tensors)
            self._rank[slot] = rank

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The first undecided tensor of each slot's order (B,)."""
        mask = observation["action_mask"] > 0
        rank = np.stack([self._rank[slot] for slot in range(len(mask))])
        action: NDArray[np.int64] = np.where(mask, rank, self._most).argmin(axis=1)
        return action


class HillClimbPriorityPolicy(PortfolioPriorityPolicy):
    """Follows the order that a hill climb from the portfolio's best one finds.

    Unlike `HillClimbSolver` it keeps no move that is not better: such an order is as close to a simple one as its latency
    allows, and easier to imitate.

    Args:
        schema: As in `PortfolioPriorityPolicy`, and all others.
        seed: See there.
        offset_policy: See there.
        prefetch: See there.
        evaluations: Orders tried.
    """

    def __init__(
        self,
        schema: GraphSchema,
        seed: int = 0,
        offset_policy: str = "best",
        prefetch: str = "latest",
        evaluations: int = 300,
    ) -> None:
        super().__init__(schema, seed, offset_policy, prefetch)
        if evaluations < 1:
            raise ValueError(f"evaluations: {evaluations}; expected at least 1")
        self.evaluations = evaluations

    def order(self, instance: MappingInstance, decoder: PriorityDecoder) -> NDArray[np.int64]:
        """The order (T,) that is followed."""
        rng = np.random.default_rng(self.seed)
        return climb(super().order(instance, decoder), decoder.decode, self.evaluations, rng)
