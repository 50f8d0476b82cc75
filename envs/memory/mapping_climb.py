"""Local search over orders of tensors, compiled: it goes on where the episodes of a policy in priority order have led."""

from __future__ import annotations

from collections.abc import Mapping as Keywords
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_decoder import PriorityDecoder, decode_order, density_order
from makespan.envs.memory.mapping_game import MappingRules
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_priority import TOTAL, places_of_tensors, roots_of
from makespan.envs.memory.mapping_state import ACCESSES, COST_FAST, COST_HBM, DROP, PLACE, TENSOR, Mapping

I64 = NDArray[np.int64]

WISHES: Final = 0.25  # share of moves that serve those in want
_RULES: Final = {field.name for field in fields(MappingRules)}


class Moves(NamedTuple):
    """Moves that are tried one after the other."""

    tensor: I64  # (n,) which tensor goes elsewhere
    place: I64  # (n,) to which place of the order
    swap: NDArray[
        np.bool_
    ]  # (n,) whether it changes places with who is there; otherwise those between move up
    wish: NDArray[
        np.float64
    ]  # (n,) below 1, the move is another: who is drawn by this number of those in want ...
    forward: NDArray[np.float64]  # (n,) ... goes to this share of its place


@kernel
def _sum_up_wants(m: Mapping, root: I64, order: I64, total: NDArray[np.float64]) -> None:
    """Write to `total` (k + 1,) the HBM time, ps, of what the tensors in the first k places are denied of fast memory."""
    want = np.zeros(root.size, np.int64)
    for a in range(m.clock[0, ACCESSES]):
        if m.access[0, a, PLACE] == DROP:
            want[root[m.access[0, a, TENSOR]]] += m.access[0, a, COST_HBM] - m.access[0, a, COST_FAST]
    for k in range(order.size):
        total[k + 1] = total[k] + want[order[k]]


@kernel
def _try_moves(
    m: Mapping, root: I64, order: I64, moves: Moves, offsets: int, prefetch: int, cap: int
) -> None:
    """Try moves on an order in slot 0, which becomes what is not worse."""
    place, trial, total = np.zeros(root.size, np.int64), order.copy(), np.zeros(order.size + 1)
    latency = decode_order(m, order, offsets, prefetch, cap)
    _sum_up_wants(m, root, order, total)
    for k in range(order.size):
        place[order[k]] = k
    for move in range(moves.tensor.size):
        source, target, swap = place[moves.tensor[move]], moves.place[move], moves.swap[move]
        if moves.wish[move] < 1.0 and total[order.size] > 0.0:
            source = np.searchsorted(total, moves.wish[move] * total[order.size], side="right") - 1
            target, swap = int(source * moves.forward[move]), False
        if swap:
            trial[source], trial[target] = order[target], order[source]
        else:
            step = 1 if target > source else -1
            for k in range(source, target, step):
                trial[k] = order[k + step]
            trial[target] = order[source]
        changed = decode_order(m, trial, offsets, prefetch, cap)
        low, high = min(source, target), max(source, target) + 1
        if changed <= latency:
            latency = changed
            for k in range(low, high):
                order[k] = trial[k]
                place[order[k]] = k
            _sum_up_wants(m, root, order, total)
        else:
            for k in range(low, high):
                trial[k] = order[k]


def best_order(decoder: PriorityDecoder, orders: Sequence[I64]) -> I64:
    """The first of the orders that give the shortest latency."""
    return orders[int(np.argmin([decoder.decode(order) for order in orders]))]


def climb_order(decoder: PriorityDecoder, order: I64, num_moves: int, rng: np.random.Generator) -> I64:
    """The order that a hill climb from another one finds.

    A move puts a tensor to another place, or lets two change places; earlier tensors matter more, so both places lean towards
    the front. A quarter of the moves put a tensor forward that is served from HBM, drawn in proportion to the time that this
    takes. What is not worse is kept.

    Args:
        decoder: Says what an order is worth.
        order: Of the tensors of `first_of_place`, whose order decides; it is left as it is.
        num_moves: Orders that are tried.
        rng: Draws the moves.
    """
    first, second = (order.size * rng.random((2, num_moves)) ** 2).astype(np.int64)
    wish = rng.random(num_moves) / WISHES
    moves = Moves(order[first], second, rng.random(num_moves) < 0.5, wish, rng.random(num_moves))
    root, found = roots_of(decoder.instance), order.copy()
    _try_moves(decoder.mapping, root, found, moves, *decoder.policy)
    return found


def first_of_place(instance: MappingInstance) -> NDArray[np.bool_]:
    """(T,) which tensors are accessed, and are the first of those that share a place: their order decides."""
    root, table = places_of_tensors(instance)
    first: NDArray[np.bool_] = (root == np.arange(root.size)) & (table[:, TOTAL] > 0)
    return first


def climb_episodes(
    instance: MappingInstance,
    options: Keywords[str, Any],
    episodes: Sequence[I64],
    evaluations: int,
    seed: int,
) -> Schedule:
    """The mapping that a hill climb from the best of some episodes finds; see `climb_order` and `Family.climb`.

    Raises:
        ValueError: Decisions come in program order, or copies take elapsed time: the decoder plays another game.
    """
    rules = MappingRules(**{key: value for key, value in options.items() if key in _RULES})
    if rules.order != "priority" or rules.supply != "idle":
        raise ValueError(
            f"order: {rules.order!r}, supply: {rules.supply!r}; a climb over orders needs 'priority' and 'idle'"
        )
    compiled = rules.compiled()
    decoder = PriorityDecoder(
        instance,
        offset_policy=compiled.offsets,
        prefetch=compiled.prefetch,
        cap=rules.longest_gap(instance),
    )
    deciding, others = first_of_place(instance), density_order(instance)
    orders = []
    for actions in episodes:
        left = deciding.copy()  # without room when their turn came: there may be some elsewhere in the order
        left[actions] = False
        orders.append(np.concatenate([actions, others[left[others]]]))
    best, num_moves = best_order(decoder, orders), max(0, evaluations - len(orders))
    return decoder.schedule(climb_order(decoder, best, num_moves, np.random.default_rng(seed)))
