"""Fusion: pointwise operations join their producer or their consumer, as a compiler would have it.

A traced graph writes every intermediate result to memory; compilers do not, and the unfused graph overstates what a fast
memory can gain. The rule here is the common core of what XLA and Inductor do: two neighbours become one operation if the tensor
between them is then needed by nobody else, and if at most one of the two is more than pointwise.
"""

from __future__ import annotations

from makespan.envs.memory.draft import Draft, DraftOp, Role
from makespan.envs.memory.program import TensorKind

MAX_OPERANDS = 32
"""Tensors that a fused operation may touch, unless the caller says otherwise."""
_MAX_NAMES = 4


def fuse(draft: Draft, max_operands: int = MAX_OPERANDS) -> None:
    """Fuse a draft in place.

    First, what is made from nothing (`Role.GENERATOR`, and pointwise operations on nothing else) is no longer stored but made
    where it is read. Then, in program order, each operation takes in the producers of its operands where a tensor between the
    two disappears by it. The order of all others stays as it was.

    Args:
        draft: Operations and tensors; changed.
        max_operands: Tensors that a fused operation may touch.
    """
    draft.eliminate_dead()
    _drop_generators(draft)
    _Fusion(draft, max_operands).run()
    draft.eliminate_dead()


def _drop_generators(draft: Draft) -> None:
    free: set[int] = set()
    for op in draft.ops:
        for tensor in free & op.reads.keys():
            _vanish(draft, op, tensor)
        made_from_nothing = op.role is Role.GENERATOR or (op.role is Role.POINTWISE and not op.reads)
        kept = any(draft.tensors[t].kind == TensorKind.OUTPUT for t in op.writes)
        if made_from_nothing and not kept and not op.keep:
            free |= op.writes.keys()
    draft.ops = [op for op in draft.ops if not op.writes or not op.writes.keys() <= free]


def _vanish(draft: Draft, op: DraftOp, tensor: int) -> None:
    """`op` no longer reads `tensor` from memory: what it writes over it, it must write whole."""
    del op.reads[tensor]
    for written in op.writes:
        if draft.alias_root(written) == draft.alias_root(tensor):
            op.writes[written] = draft.tensors[written].size


class _Fusion:
    """The state of one pass over a draft."""

    def __init__(self, draft: Draft, max_operands: int) -> None:
        self.draft = draft
        self.max_operands = max_operands
        self.writer = draft.writers()
        self.readers = draft.readers()
        self.gone: set[int] = set()
        self.group_writes: dict[int, list[int]] = {}  # operations that write tensors of each alias group
        self.group_accesses: dict[int, list[int]] = {}  # and that touch them
        groups = {draft.alias_root(t) for t, tensor in enumerate(draft.tensors) if tensor.replaces >= 0}
        for k, op in enumerate(draft.ops):
            for t in (*op.reads, *op.writes):
                if (root := draft.alias_root(t)) in groups:
                    self.group_accesses.setdefault(root, []).append(k)
                    if t in op.writes:
                        self.group_writes.setdefault(root, []).append(k)

    def run(self) -> None:
        for k in range(len(self.draft.ops)):
            place: int | None = k
            while place is not None:
                place = self._take_in_one(place)
        self.draft.ops = [op for k, op in enumerate(self.draft.ops) if k not in self.gone]

    def _take_in_one(self, consumer: int) -> int | None:
        """Fuse one producer into the consumer; returns the place of the result, None if none may."""
        for tensor in sorted(self.draft.ops[consumer].reads):
            producer = self.writer.get(tensor)
            if producer is None or not self._may_join(tensor, producer, consumer):
                continue
            for growth, place in sorted(self._places(producer, consumer)):
                if growth <= self.draft.tensors[tensor].size or self._are_neighbours(producer, consumer):
                    return self._join(producer, consumer, place)
        return None

    def _may_join(self, tensor: int, producer: int, consumer: int) -> bool:
        first, second = self.draft.ops[producer], self.draft.ops[consumer]
        if Role.ANCHOR in (first.role, second.role) and first.role == second.role:
            return False
        touched = first.reads.keys() | first.writes.keys() | second.reads.keys() | second.writes.keys()
        return self._disappears(tensor, consumer) and len(touched) - 1 <= self.max_operands

    def _may_run_early(self, producer: int, consumer: int) -> bool:
        """Whether the consumer's other operands are there, and nothing that it overwrites is needed in between."""
        second = self.draft.ops[consumer]
        if any(self.writer.get(t, -1) > producer for t in second.reads):
            return False
        between = range(producer + 1, consumer)
        return not any(
            k in between
            for t in second.writes
            if self.draft.tensors[t].replaces >= 0
            for k in self.group_accesses[self.draft.alias_root(t)]
        )

    def _may_run_late(self, producer: int, consumer: int) -> bool:
        """Whether nobody in between needs the producer's results or overwrites its operands."""
        first = self.draft.ops[producer]
        if any(k < consumer for t in first.writes for k in self.readers.get(t, ())):
            return False
        between = range(producer + 1, consumer)
        roots = {self.draft.alias_root(t) for t in (*first.reads, *first.writes)}
        return not any(k in between for root in roots for k in self.group_writes.get(root, ()))

    def _places(self, producer: int, consumer: int) -> list[tuple[int, int]]:
        """Places where both may run as one, each after the bytes that then live longer between the two."""
        tensors = self.draft.tensors
        first, second = self.draft.ops[producer], self.draft.ops[consumer]
        places = []
        if self._may_run_early(producer, consumer):
            results = sum(tensors[t].size for t in second.writes if tensors[t].replaces < 0)
            places.append((results, producer))
        if self._may_run_late(producer, consumer):
            operands = sum(
                tensors[t].size
                for t in first.reads
                if tensors[t].kind > TensorKind.INPUT and max(self.readers[t]) < consumer
            )
            places.append((operands, consumer))
        return places

    def _are_neighbours(self, producer: int, consumer: int) -> bool:
        return all(k in self.gone for k in range(producer + 1, consumer))

    def _disappears(self, tensor: int, consumer: int) -> bool:
        return self.draft.tensors[tensor].kind == TensorKind.ACTIVATION and self.readers[tensor] == {consumer}

    def _join(self, producer: int, consumer: int, place: int) -> int:
        first, second = self.draft.ops[producer], self.draft.ops[consumer]
        for tensor, size in first.writes.items():
            if tensor not in second.reads:
                second.writes[tensor] = size
            elif self._disappears(tensor, consumer):
                _vanish(self.draft, second, tensor)
            else:  # read by the consumer out of registers, by others later
                del second.reads[tensor]
                second.writes[tensor] = size
            self.readers.get(tensor, set()).discard(consumer)
        for tensor, size in first.reads.items():
            second.reads[tensor] = max(size, second.reads.get(tensor, 0))
        for tensor in second.reads:
            self.readers[tensor] -= {producer, consumer}
            self.readers[tensor].add(place)
        for tensor in second.writes:
            self.writer[tensor] = place
        moved = {producer: place, consumer: place}
        for group in (self.group_writes, self.group_accesses):
            for ops in group.values():
                ops[:] = [moved.get(op, op) for op in ops]
        second.flops += first.flops
        second.vector_flops += first.vector_flops
        second.keep |= first.keep
        if first.role is Role.ANCHOR:
            second.role, second.region = Role.ANCHOR, first.region
        elif second.role is not Role.ANCHOR:
            second.role = Role.POINTWISE
        second.name = _joined(first.name, second.name)
        self.draft.ops[place] = second
        self.gone.add(producer + consumer - place)
        return place


def _joined(first: str, second: str) -> str:
    """`a+b`; beyond four names the middle is counted, `a+b+3+z`."""
    parts: list[str] = []
    hidden = 0
    for part in (*first.split("+"), *second.split("+")):
        if part.isdecimal():
            hidden += int(part)
        else:
            parts.append(part)
    if len(parts) + (hidden > 0) > _MAX_NAMES:
        hidden += len(parts) - (_MAX_NAMES - 1)
        parts = [*parts[:2], str(hidden), parts[-1]]
    elif hidden:
        parts.insert(2, str(hidden))
    return "+".join(parts)
