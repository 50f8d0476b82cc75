"""Small mapping problems worked out by hand, and ways to play them."""

from __future__ import annotations

from typing import Any

import numpy as np

from makespan.envs.memory.draft import Draft, DraftOp
from makespan.envs.memory.hardware import Hardware
from makespan.envs.memory.mapping_engine import MappingEngine
from makespan.envs.memory.mapping_game import MappingRules, MappingSlots
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_priority_engine import PriorityEngine
from makespan.envs.memory.program import TensorKind

Op = tuple[int, list[str], list[str]]

KINDS = {
    "p": TensorKind.PARAMETER,
    "i": TensorKind.INPUT,
    "a": TensorKind.ACTIVATION,
    "o": TensorKind.OUTPUT,
}


def unit_hardware(capacity: int, alignment: int = 1) -> Hardware:
    """A byte takes 1 ps from HBM and 0.1 ps from fast memory, a flop 1 ps."""
    return Hardware("unit", 10**12, 10**12, 10**12, 10**13, capacity, alignment)


def problem(
    capacity: int, tensors: dict[str, tuple[str, int]], ops: list[Op], in_place: dict[str, str] | None = None
) -> MappingInstance:
    """A problem on `unit_hardware`.

    Args:
        capacity: Bytes of fast memory.
        tensors: Name -> (kind, bytes); kinds p(arameter), i(nput), a(ctivation), o(utput).
        ops: (flops, names read, names written) of each operation.
        in_place: Name of a tensor -> name of the one in whose place it is written.
    """
    draft, number = Draft(), {}
    for name, (kind, size) in tensors.items():
        replaced = number[in_place[name]] if in_place and name in in_place else -1
        number[name] = draft.add_tensor(name, size, KINDS[kind], replaced)
    for flops, reads, writes in ops:
        draft.add_op(
            DraftOp(
                "op",
                flops=flops,
                reads={number[n]: tensors[n][1] for n in reads},
                writes={number[n]: tensors[n][1] for n in writes},
            )
        )
    return MappingInstance(draft.build("case"), unit_hardware(capacity))


def engine_for(instance: MappingInstance, rules: MappingRules | None = None, slots: int = 1) -> MappingSlots:
    """An engine with the instance started in every slot."""
    kind = PriorityEngine if rules is not None and rules.order == "priority" else MappingEngine
    engine: MappingSlots = kind(
        slots,
        num_ops=instance.num_ops,
        num_accesses=instance.num_accesses,
        num_tensors=instance.num_tensors,
        num_regions=instance.num_regions,
        rules=rules,
    )
    for slot in range(slots):
        engine.load(slot, instance)
    return engine


def legal(engine: MappingSlots) -> list[int]:
    """Legal actions in slot 0."""
    return [int(action) for action in np.flatnonzero(engine.observation["action_mask"][0])]


def awaited(engine: MappingSlots, instance: MappingInstance) -> tuple[int, str]:
    """Operation and tensor that slot 0 has to decide."""
    op, tensor = engine.observation["candidate_index"][0].max(axis=0).tolist()
    return op, instance.program.tensor_name[tensor]


def act(engine: MappingSlots, action: int) -> float:
    """Take an action in slot 0; returns the reward."""
    engine.step(np.array([action]))
    return float(engine.outcome.reward[0])


def play_randomly(engine: MappingSlots, rng: np.random.Generator) -> float:
    """Play slot 0 to its end with random legal actions; returns the return."""
    total = 0.0
    while not engine.outcome.terminated[0]:
        total += act(engine, int(rng.choice(legal(engine))))
    return total


def best_by_enumeration(engine: MappingSlots) -> int:
    """Shortest latency of all ways to play slot 0, by depth-first search over clones."""
    if engine.outcome.terminated[0]:
        return int(engine.objective(0))
    best, token = 2**62, engine.clone(0)
    for action in legal(engine):
        act(engine, action)
        best = min(best, best_by_enumeration(engine))
        engine.restore(0, token)
    return best


def rows_of(schedule: Any, kind: str) -> list[tuple[int, int, int, int]]:
    """(tensor, resource, start, end) of a kind's rows."""
    columns = (schedule.job, schedule.resource, schedule.start, schedule.end)
    table = zip(*(column.tolist() for column in columns), strict=True)
    return [row for row, its_kind in zip(table, schedule.kinds, strict=True) if its_kind == kind]
