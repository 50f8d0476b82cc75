"""A batch of mapping games with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, StepOutcome
from makespan.envs.memory.mapping_copies import EARLIEST, ELAPSED, IDLE, LATEST, PREFERRED
from makespan.envs.memory.mapping_decoder import NO_CAP, drop_chain, place_chain
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_observation import (
    STATIC_KEYS,
    Graph,
    graph_views,
    mapping_schema,
    write_dynamic,
    write_static,
    write_tensor,
)
from makespan.envs.memory.mapping_plan import plan_of
from makespan.envs.memory.mapping_simulator import (
    BEST,
    DROP_BACKUP,
    HIGHEST,
    LOWEST,
    SAFE,
    culprit,
    decide,
    legal_actions,
    legal_choices,
)
from makespan.envs.memory.mapping_state import (
    ACCESSES,
    ALLOWED,
    BANNED,
    COPY,
    CURSOR,
    DECISIONS,
    DONOR,
    DROP,
    FIRST,
    HBM_LATENCY,
    HEIR,
    IN_END,
    LAST_HEAD,
    LATENCY,
    LOWER_BOUND,
    NEXT,
    OP,
    OUT_END,
    PAID,
    PLACE,
    PREVIOUS,
    REWINDS,
    TENSOR,
    TENSORS,
    Mapping,
    forget,
    keep_recent,
    load_slot,
    make_mapping,
    reset_slot,
)

DeadEnds = Literal["safe", "drop_backup"]
Supply = Literal["idle", "elapsed"]
Offsets = Literal["lowest", "best", "highest"]
Prefetch = Literal["latest", "preferred", "earliest"]
Granularity = Literal["access", "tensor"]

_DEAD_ENDS: Final = {"safe": SAFE, "drop_backup": DROP_BACKUP}
_SUPPLIES: Final = {"idle": IDLE, "elapsed": ELAPSED}
_OFFSETS: Final = {"lowest": LOWEST, "best": BEST, "highest": HIGHEST}
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
        granularity: "access": a decision for each access; "tensor": one for each tensor, which takes what room there is
            (`mapping_decoder`); tensors updated in place share one. Dead ends are no matter then.
        skip_forced: Take decisions with a single legal action inside the environment.
        occupancy: (operations, bins) of an image of the fast memory beside the decision graph; (0, 0) for none.
    """

    dead_ends: DeadEnds = "safe"
    supply: Supply = "idle"
    offset_policy: Offsets = "lowest"
    prefetch: Prefetch = "latest"
    granularity: Granularity = "access"
    skip_forced: bool = True
    occupancy: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.compiled()
        object.__setattr__(self, "occupancy", tuple(self.occupancy))  # JSON makes lists of tuples
        if len(self.occupancy) != 2 or min(self.occupancy) < 0:
            raise ValueError(f"occupancy: {self.occupancy}; expected two numbers >= 0, operations and bins")

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


@inlined_kernel
def _take(m: Mapping, graph: Graph, b: int, action: int, rules: Rules) -> None:
    """Take a legal action, and write what that changes."""
    a = m.clock[b, CURSOR]
    v = m.access[b, a, TENSOR]
    if rules.per_tensor:
        if action == DROP:
            drop_chain(m, b, v)
        else:
            place_chain(m, b, v, action == COPY, rules.supply, rules.offsets, rules.prefetch, NO_CAP)
        m.clock[b, CURSOR] = a + 1
        while v >= 0:
            write_tensor(m, graph, b, v, -1)
            v = m.tensor[b, v, HEIR]
        return
    decide(m, b, action, rules.mode, rules.supply, rules.prefetch)
    if a + 1 < m.clock[b, ACCESSES]:
        forget(m, b, m.access[b, a + 1, OP])
    write_tensor(m, graph, b, v, m.access[b, a, NEXT])
    donor = m.tensor[b, v, DONOR]
    if donor >= 0:
        write_tensor(m, graph, b, donor, -1)


@inlined_kernel
def _write_tensors(m: Mapping, graph: Graph, b: int) -> None:
    """Write the rows of all tensors as they are before the first access."""
    for v in range(m.clock[b, TENSORS]):
        write_tensor(m, graph, b, v, m.tensor[b, v, FIRST])


@kernel
def _rewind(m: Mapping, graph: Graph, b: int, rules: Rules) -> None:
    """Go back to the access that has led into a dead end, ban fast memory there, and play what came before it again."""
    a = culprit(m, b)
    places = m.access[b, :a, PLACE].copy()
    m.access[b, a, BANNED] = 1
    m.clock[b, REWINDS] += 1
    reset_slot(m, b, True)
    keep_recent(m, b)
    _write_tensors(m, graph, b)
    for k in range(a):
        legal_actions(m, b, graph.action_mask, rules.mode, rules.supply, rules.offsets, rules.prefetch)
        _take(m, graph, b, places[k], rules)


@kernel
def _settle(m: Mapping, graph: Graph, b: int, rules: Rules, keep_last: bool) -> None:
    """Compute the mask, taking forced moves and leaving dead ends on the way.

    With `keep_last` the last access is left for a decision.
    """
    mask, clock = graph.action_mask, m.clock
    while True:
        if rules.per_tensor:
            count = legal_choices(m, b, mask)
        else:
            count = legal_actions(m, b, mask, rules.mode, rules.supply, rules.offsets, rules.prefetch)
        if count == 0 and clock[b, CURSOR] < clock[b, ACCESSES]:
            _rewind(m, graph, b, rules)
        elif count == 1 and rules.skip_forced and not (keep_last and clock[b, LAST_HEAD] == clock[b, CURSOR]):
            action = 0
            while not mask[b, action]:
                action += 1
            _take(m, graph, b, action, rules)
        else:
            return


@inlined_kernel
def _step_slot(m: Mapping, graph: Graph, outcome: StepOutcome, b: int, action: int, rules: Rules) -> None:
    clock = m.clock
    _take(m, graph, b, action, rules)
    _settle(m, graph, b, rules, False)
    outcome.reward[b] = (clock[b, PAID] - clock[b, LATENCY]) / clock[b, HBM_LATENCY]
    clock[b, PAID] = clock[b, LATENCY]
    clock[b, DECISIONS] += 1
    write_dynamic(m, graph, b, rules.supply)
    outcome.terminated[b] = clock[b, ALLOWED] == 0
    if outcome.terminated[b]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@structref.register
class _BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `_Batch`."""


class _Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument (see the job shop's engine)."""

    mapping: Mapping
    graph: Graph
    outcome: StepOutcome
    rules: Rules


_FIELDS: Final = ["mapping", "graph", "outcome", "rules"]
structref.define_boxing(_BatchType, _Batch)
structref.define_constructor(_Batch, _BatchType, _FIELDS)


@kernel
def _make_batch(mapping: Mapping, graph: Graph, outcome: StepOutcome, rules: Rules) -> _Batch:
    return _Batch(mapping, graph, outcome, rules)  # type: ignore[no-untyped-call]


@inlined_kernel
def _last_decision(m: Mapping, b: int, per_tensor: bool) -> int:
    """The last access at which a decision may be due."""
    a = m.clock[b, ACCESSES] - 1
    while per_tensor and (m.access[b, a, PREVIOUS] >= 0 or m.tensor[b, m.access[b, a, TENSOR], DONOR] >= 0):
        a -= 1
    return a


@kernel
def _start(batch: _Batch, b: int) -> None:
    """Start the instance that has been loaded into slot b."""
    m, graph, outcome = batch.mapping, batch.graph, batch.outcome
    reset_slot(m, b, False)
    if not batch.rules.per_tensor:  # whose searches reach far back
        keep_recent(m, b)
    m.clock[b, LAST_HEAD] = _last_decision(m, b, batch.rules.per_tensor)
    _write_tensors(m, graph, b)
    _settle(m, graph, b, batch.rules, True)
    m.clock[b, PAID] = m.clock[b, HBM_LATENCY]
    write_dynamic(m, graph, b, batch.rules.supply)
    outcome.reward[b] = 0.0
    outcome.terminated[b] = False


@kernel
def _step_batch(batch: _Batch, actions: NDArray[np.int64]) -> None:
    """Step every slot; a negative action leaves its slot as it is, with reward 0."""
    m, graph, outcome, rules = batch.mapping, batch.graph, batch.outcome, batch.rules
    for b in range(actions.size):
        if actions[b] >= 0:
            _step_slot(m, graph, outcome, b, actions[b], rules)
        else:
            outcome.reward[b] = 0.0


class MappingEngine(SlotEngine):
    """`num_slots` mapping games on programs of at most the given size, stepped together.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward and termination of each slot after the last step.
        rules: The rules of the game.
    """

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
        self.schema: GraphSchema = mapping_schema(*self._limits, self.rules.occupancy)
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation)
        self._mapping = make_mapping(num_slots, num_ops, num_accesses, num_tensors)
        self.outcome = StepOutcome(np.zeros(num_slots), np.zeros(num_slots, np.bool_))
        self._batch = _make_batch(self._mapping, self._graph, self.outcome, self.rules.compiled())
        self.loaded: list[MappingInstance | None] = [None] * num_slots

    def load(self, slot: int, instance: MappingInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        size = (instance.num_ops, instance.num_accesses, instance.num_tensors, instance.num_regions)
        if any(number > limit for number, limit in zip(size, self._limits, strict=True)):
            raise InvalidInstanceError(
                f"instance {instance.name!r} has (operations, accesses, tensors, regions) = {size}; "
                f"the environment was made for at most {self._limits}"
            )
        load_slot(self._mapping, slot, instance)
        write_static(self.observation, slot, instance)
        _start(self._batch, slot)
        self.loaded[slot] = instance

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        _step_batch(self._batch, actions)

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

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        static = (self.observation[key] for key in STATIC_KEYS)
        return (*self._mapping, *self._graph, *static, *self.outcome)
