"""The rules of the mapping games, and what their engines have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, StepOutcome
from makespan.envs.memory.mapping_copies import EARLIEST, ELAPSED, IDLE, LATEST, PREFERRED
from makespan.envs.memory.mapping_decoder import xla_cap
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_plan import plan_of
from makespan.envs.memory.mapping_simulator import BEST, DROP_BACKUP, HIGHEST, LOWEST, SAFE
from makespan.envs.memory.mapping_state import (
    DECISIONS,
    DROP,
    HBM_LATENCY,
    IN_END,
    LATENCY,
    LOWER_BOUND,
    NO_CAP,
    OUT_END,
    PLACE,
    REWINDS,
    STAY_CAP,
    TENSOR,
    Mapping,
    load_slot,
    make_mapping,
)

DeadEnds = Literal["safe", "drop_backup"]
Supply = Literal["idle", "elapsed"]
Offsets = Literal["lowest", "best", "highest"]
Prefetch = Literal["latest", "preferred", "earliest"]
Granularity = Literal["access", "tensor"]
Order = Literal["program", "priority"]

_DEAD_ENDS: Final = {"safe": SAFE, "drop_backup": DROP_BACKUP}
_SUPPLIES: Final = {"idle": IDLE, "elapsed": ELAPSED}
_OFFSETS: Final = {"lowest": LOWEST, "best": BEST, "highest": HIGHEST}
_ORDERS: Final = ("program", "priority")
_GRANULARITIES: Final = {"access": 0, "tensor": 1}
_PREFETCHES: Final = {"latest": LATEST, "preferred": PREFERRED, "earliest": EARLIEST}


class Rules(NamedTuple):
    """The rules of the game as the kernels know them."""

    mode: int
    supply: int
    offsets: int
    prefetch: int
    per_tensor: bool
    skip_forced: bool


@dataclass(frozen=True, slots=True)
class MappingRules:
    """The rules of the game.

    Attributes:
        dead_ends: "safe": a way to HBM is reserved for what is produced in fast memory, so that no dead end exists;
            "drop_backup": at a dead end the game goes back to the production that has led there, and drops it.
        supply: "idle": copies take the HBM time that operations leave; "elapsed": XLA's model, for comparison only.
        offset_policy: Which free offset a tensor takes.
        prefetch: When a copy into fast memory starts: as late as possible, with half as much time again as it needs,
            or as early as possible; where there is no room for so long a stay, as late as possible.
        order: "program": decisions come in program order; "priority": a decision is which tensor takes next what room there
            still is (`mapping_decoder`), as compilers work through tensors in an order of priority.
        granularity: In program order: "access": a decision for each access; "tensor": one for each tensor, which takes
            what room there is; tensors updated in place share one. Dead ends are no matter where tensors are decided.
        stay_limit: Where tensors are decided, the longest gap between two accesses that a stay in fast memory may
            bridge, in copies of the whole fast memory (10 in XLA's tests); 0: any length.
        skip_forced: Take decisions with a single legal action inside the environment.
        occupancy: (operations, bins) of an image of the fast memory beside the decision graph; (0, 0) for none.
    """

    dead_ends: DeadEnds = "safe"
    supply: Supply = "idle"
    offset_policy: Offsets = "lowest"
    prefetch: Prefetch = "latest"
    order: Order = "program"
    granularity: Granularity = "access"
    stay_limit: float = 0.0
    skip_forced: bool = True
    occupancy: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.compiled()
        object.__setattr__(self, "occupancy", tuple(self.occupancy))  # JSON makes lists of tuples
        if len(self.occupancy) != 2 or min(self.occupancy) < 0:
            raise ValueError(f"occupancy: {self.occupancy}; expected two numbers >= 0, operations and bins")
        if self.order not in _ORDERS:
            raise UnknownNameError("order", self.order, _ORDERS)
        if self.order == "priority" and any(self.occupancy):
            raise ValueError(
                f"occupancy: {self.occupancy} with order='priority'; the image shows the operations around the present one, "
                "which only program order has"
            )
        if not (math.isfinite(self.stay_limit) and self.stay_limit >= 0):
            raise ValueError(f"stay_limit: {self.stay_limit}; expected a finite number >= 0, 0 for none")

    def longest_gap(self, instance: MappingInstance) -> int:
        """Longest time in ps between two accesses that a stay may bridge."""
        return xla_cap(instance, self.stay_limit) if self.stay_limit > 0 else NO_CAP

    def compiled(self) -> Rules:
        """As the kernels know them; unknown names raise `UnknownNameError`."""
        return Rules(
            _named("dead_ends", self.dead_ends, _DEAD_ENDS),
            _named("supply", self.supply, _SUPPLIES),
            _named("offset_policy", self.offset_policy, _OFFSETS),
            _named("prefetch", self.prefetch, _PREFETCHES),
            bool(_named("granularity", self.granularity, _GRANULARITIES)),
            bool(self.skip_forced),
        )


def _named(what: str, name: str, known: dict[str, int]) -> int:
    if name not in known:
        raise UnknownNameError(what, name, known)
    return known[name]


class MappingSlots(SlotEngine):
    """`num_slots` mappings of programs of at most the given size: all of an engine but its decisions.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward and termination of each slot after the last step.
        rules: The rules of the game.
    """

    schema: GraphSchema
    observation: dict[str, Any]

    def __init__(
        self,
        num_slots: int,
        *,
        num_ops: int,
        num_accesses: int,
        num_tensors: int,
        num_regions: int,
        rules: MappingRules | None = None,
    ) -> None:
        self._limits = (num_ops, num_accesses, num_tensors, num_regions)
        self.rules = rules or MappingRules()
        self._mapping: Mapping = make_mapping(num_slots, num_ops, num_accesses, num_tensors)
        self.outcome = StepOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_))
        self.loaded: list[MappingInstance | None] = [None] * num_slots

    def _load(self, slot: int, instance: MappingInstance) -> None:
        """Put an instance into a slot; raises `InvalidInstanceError` if it is larger than the engine."""
        size = (instance.num_ops, instance.num_accesses, instance.num_tensors, instance.num_regions)
        if any(number > limit for number, limit in zip(size, self._limits, strict=True)):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has (operations, accesses, tensors, regions) = {size}; "
                f"the environment was made for at most {self._limits}"
            )
        load_slot(self._mapping, slot, instance)
        self._mapping.clock[slot, STAY_CAP] = self.rules.longest_gap(instance)
        self.loaded[slot] = instance

    @abstractmethod
    def load(self, slot: int, instance: MappingInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""

    @abstractmethod
    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""

    def objective(self, slot: int) -> float:
        """Latency in ps, everything undecided served from HBM."""
        return float(self._mapping.clock[slot, LATENCY])

    def lower_bound(self, slot: int) -> float:
        """Latency in ps that no mapping of the program beats; it does not change during an episode."""
        return float(self._mapping.clock[slot, LOWER_BOUND])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._mapping.clock[slot, DECISIONS])

    def num_rewinds(self, slot: int) -> int:
        """Dead ends of the episode."""
        return int(self._mapping.clock[slot, REWINDS])

    def schedule(self, slot: int) -> Schedule:
        """The mapping so far, as `mapping_plan` describes it; everything undecided is served from HBM."""
        instance = self.loaded[slot]
        if instance is None:
            return Schedule.empty()
        return plan_of(self._mapping, slot, instance)

    def report(self, slot: int) -> dict[str, float]:
        """What the mapping in a slot amounts to.

        Returns:
            `speedup` over everything in HBM, `speedup_bound` that no mapping beats, `captured` share of the largest saving
            that the bound allows, `copies` between the memories, `hbm_bytes` moved, and `rewinds` at dead ends.
        """
        instance, clock = self.loaded[slot], self._mapping.clock[slot]
        if instance is None:
            return {}
        saved = int(clock[HBM_LATENCY] - clock[LATENCY])
        access = self._mapping.access[slot, : instance.num_accesses]
        fetched = access[access[:, IN_END] > 0, TENSOR]
        stored = np.flatnonzero(self._mapping.tensor[slot, : instance.num_tensors, OUT_END] > 0)
        copied = np.concatenate([fetched, stored])
        size = instance.program.tensor_size
        read = instance.program.access_bytes[access[:, PLACE] == DROP]
        return {
            "speedup": instance.hbm_latency / int(clock[LATENCY]),
            "speedup_bound": instance.hbm_latency / instance.lower_bound,
            "captured": saved / max(1, instance.hbm_latency - instance.lower_bound),
            "copies": float(copied.size),
            "hbm_bytes": float(read.sum() + size[copied].sum()),
            "rewinds": float(clock[REWINDS]),
        }

    def _arguments(self) -> dict[str, Any]:
        num_ops, num_accesses, num_tensors, num_regions = self._limits
        return {
            "num_ops": num_ops,
            "num_accesses": num_accesses,
            "num_tensors": num_tensors,
            "num_regions": num_regions,
            "rules": self.rules,
        }
