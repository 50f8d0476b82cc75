"""Bounds on the latency of any mapping.

`MappingInstance.lower_bound` needs no solver: unlimited fast memory, and the compulsory HBM traffic. The linear program
here knows the capacity too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import MakespanError
from makespan.envs.memory.mapping_instance import OUTPUT, MappingInstance

_SCALE = 1e-6  # ps to µs: HiGHS likes numbers near 1


@dataclass
class _Rows:
    """A sparse system of inequalities, row by row."""

    row: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)

    def add(self, terms: list[tuple[int, float]], right: float) -> None:
        """Add sum(coefficient x variable) <= right."""
        self.row += [len(self.right)] * len(terms)
        self.column += [column for column, _ in terms]
        self.value += [value for _, value in terms]
        self.right.append(right)


def linear_bound(instance: MappingInstance) -> int:
    """Latency in ps that no mapping beats: the larger of `lower_bound` and a linear relaxation (HiGHS).

    Every access is served from fast memory in part. It may be what stayed there since the access before, or was fetched;
    fractions that are in fast memory at an operation, or on the way between two accesses, keep to the capacity; copies keep to
    the HBM time that operations leave, taken together up to each access that needs one. Offsets, the length of copies and
    whole numbers are left out. Operations may wait for copies, which real ones do not.

    Raises:
        MakespanError: HiGHS finds no solution, which would be a bug.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    model = _Model(instance)
    rows = model.rows
    shape = (len(rows.right), model.num_variables)
    answer = linprog(
        model.cost(),
        A_ub=csr_matrix((rows.value, (rows.row, rows.column)), shape=shape),
        b_ub=np.array(rows.right),
        bounds=model.bounds(),
        method="highs",
    )
    if answer.status != 0:
        raise MakespanError(f"linear bound of {instance.name!r}: {answer.message}")
    # a relative 1e-6 is more than HiGHS's tolerances can be off
    return max(instance.lower_bound, math.floor(answer.fun / _SCALE * (1 - 1e-6)))


class _Model:
    """Variables: latencies (O), fast (A), stayed (A), stored (T), idle time left over (O)."""

    def __init__(self, instance: MappingInstance) -> None:
        self.instance = instance
        O, A, T = instance.num_ops, instance.num_accesses, instance.num_tensors  # noqa: E741
        self.fast, self.stayed, self.stored, self.left = O, O + A, O + 2 * A, O + 2 * A + T
        self.num_variables = O + 2 * A + T + O
        self.rows = _Rows()
        self._add_accesses()
        self._add_latencies()
        self._add_capacity()
        self._add_bandwidth()

    def cost(self) -> NDArray[np.float64]:
        """The sum of latencies."""
        cost = np.zeros(self.num_variables)
        cost[: self.instance.num_ops] = 1.0
        return cost

    def bounds(self) -> list[tuple[float, float | None]]:
        """Latencies are at least the computation; shares are shares."""
        instance = self.instance
        shares: list[tuple[float, float | None]] = [(0.0, 1.0)] * (
            2 * instance.num_accesses + instance.num_tensors
        )
        for access in range(instance.num_accesses):
            if instance.access_previous[access] < 0:
                shares[instance.num_accesses + access] = (0.0, 0.0)
            if instance.tensor_units[instance.access_tensor[access]] > instance.capacity:
                shares[access] = (0.0, 0.0)
        compute: list[tuple[float, float | None]] = [(c * _SCALE, None) for c in instance.op_compute.tolist()]
        return [*compute, *shares, *[(0.0, None)] * instance.num_ops]

    def _add_accesses(self) -> None:
        """What is fast has stayed or is fetched; what stays was there; what comes from HBM was stored."""
        instance, rows = self.instance, self.rows
        for a in range(instance.num_accesses):
            t, previous = int(instance.access_tensor[a]), int(instance.access_previous[a])
            rows.add([(self.stayed + a, 1.0), (self.fast + a, -1.0)], 0.0)
            if previous >= 0:
                rows.add([(self.stayed + a, 1.0), (self.fast + previous, -1.0)], 0.0)
                first = int(instance.tensor_first[t])
                if instance.access_write[first]:  # 1 - stayed <= 1 - produced fast + stored
                    rows.add(
                        [(self.fast + first, 1.0), (self.stayed + a, -1.0), (self.stored + t, -1.0)], 0.0
                    )
        for t in np.flatnonzero(instance.tensor_kind == OUTPUT).tolist():
            rows.add([(self.fast + int(instance.tensor_first[t]), 1.0), (self.stored + t, -1.0)], 0.0)

    def _hbm_and_fast(self, op: int, hbm: float, fast: float) -> tuple[list[tuple[int, float]], float]:
        """Hbm x HBM time + fast x fast time of an operation, as terms and a constant."""
        instance = self.instance
        terms, constant = [], 0.0
        for a in range(int(instance.op_first[op]), int(instance.op_first[op + 1])):
            constant += hbm * float(instance.access_hbm[a]) * _SCALE
            change = fast * float(instance.access_fast[a]) - hbm * float(instance.access_hbm[a])
            terms.append((self.fast + a, change * _SCALE))
        return terms, constant

    def _add_latencies(self) -> None:
        for op in range(self.instance.num_ops):
            terms, constant = self._hbm_and_fast(op, 1.0, 1.0)
            self.rows.add([*terms, (op, -1.0)], -constant)

    def _add_capacity(self) -> None:
        instance = self.instance
        present: list[list[tuple[int, float]]] = [[] for _ in range(instance.num_ops)]
        for a in range(instance.num_accesses):
            t, op, previous = (
                int(instance.access_tensor[a]),
                int(instance.access_op[a]),
                int(instance.access_previous[a]),
            )
            share = float(instance.tensor_units[t]) / instance.capacity
            if instance.tensor_donor[t] < 0 or previous >= 0:  # an heir lies where its donor does
                present[op].append((self.fast + a, share))
            if previous >= 0:
                for between in range(int(instance.access_op[previous]) + 1, op):
                    present[between].append((self.stayed + a, share))
        for terms in present:
            if terms:
                self.rows.add(terms, 1.0)

    def _add_bandwidth(self) -> None:
        """Idle time left after op = left before + latency - HBM time - copies that are due; never negative."""
        instance = self.instance
        for op in range(instance.num_ops):
            terms, constant = self._hbm_and_fast(op, 1.0, 0.0)
            terms += [(self.left + op, 1.0), (op, -1.0)]
            if op:
                terms.append((self.left + op - 1, -1.0))
            for a in range(int(instance.op_first[op]), int(instance.op_first[op + 1])):
                if not instance.access_write[a]:
                    copy = float(instance.tensor_copy[instance.access_tensor[a]]) * _SCALE
                    terms += [(self.fast + a, copy), (self.stayed + a, -copy)]
            if op == instance.num_ops - 1:
                terms += [(self.stored + t, c * _SCALE) for t, c in enumerate(instance.tensor_copy.tolist())]
            merged: dict[int, float] = {}
            for column, value in terms:
                merged[column] = merged.get(column, 0.0) + value
            self.rows.add(list(merged.items()), -constant)
