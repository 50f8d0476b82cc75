"""From a program to the static allocation problem of its activations."""

from __future__ import annotations

import numpy as np

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.program import MemoryProgram, TensorKind


def allocation_problem(
    program: MemoryProgram, *, alignment: int = 1, capacity: int = 0, outputs: bool = True
) -> AllocationProblem:
    """The arena that a program needs: its activations as buffers, alive from the operation that writes them to the last access.

    Time is counted in operations; a buffer is alive throughout its first and its last one, so that an operation's operands and
    results never share bytes. Outputs live to the end. Tensors of one alias group, which share their bytes, are one buffer
    from the first's writing on; those that share the bytes of a parameter or an input lie outside the arena.

    Args:
        program: The program.
        alignment: Offsets are multiples of it, bytes.
        capacity: Bytes of the arena; 0 where its size is to be minimised.
        outputs: Whether outputs lie in the arena; otherwise the caller provides their memory.

    Raises:
        InvalidInstanceError: No tensor lies in the arena.
    """
    kind, written, last = program.tensor_kind, program.written_at, program.last_access
    last = np.where(kind == TensorKind.OUTPUT, program.num_ops - 1, last)
    groups: dict[int, list[int]] = {}
    for t in np.lexsort((np.arange(program.num_tensors), written)).tolist():
        alias = int(program.tensor_alias[t])
        groups.setdefault(alias if alias >= 0 else -1 - t, []).append(t)
    chosen = [
        members
        for members in groups.values()
        if all(
            kind[t] == TensorKind.ACTIVATION or (outputs and kind[t] == TensorKind.OUTPUT) for t in members
        )
    ]
    if not chosen:
        raise InvalidInstanceError(
            f"{program.name}: no activation; expected at least one tensor for the arena"
        )
    return AllocationProblem(
        lower=np.array([min(written[t] for t in members) for members in chosen]),
        upper=np.array([max(last[t] for t in members) + 1 for members in chosen]),
        size=np.array([program.tensor_size[members[0]] for members in chosen]),
        alignment=np.full(len(chosen), alignment),
        capacity=capacity,
        ids=_distinct([program.tensor_name[members[0]] for members in chosen]),
        name=program.name,
    )


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The names, numbered where one occurs twice."""
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"{k}:{name}" for k, name in enumerate(names))
