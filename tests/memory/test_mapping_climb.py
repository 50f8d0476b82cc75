"""The compiled hill climb over orders: exact, seeded, and better than where it starts."""

from __future__ import annotations

import numpy as np

from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_climb import WISHES, best_order, climb_order, first_of_place
from makespan.envs.memory.mapping_decoder import ORDERS, PriorityDecoder
from makespan.envs.memory.mapping_priority import roots_of
from makespan.envs.memory.mapping_state import DROP

INSTANCE = load_instance("series_parallel-1@8")


def simple_orders() -> list[np.ndarray]:
    """The simple orders of those tensors whose order decides."""
    deciding = first_of_place(INSTANCE)
    return [one[deciding[one]] for one in (order(INSTANCE) for order in ORDERS.values())]


def test_the_first_of_a_place_decide() -> None:
    """Tensors written in another's place, and their order among the others, change nothing."""
    decoder = PriorityDecoder(INSTANCE)
    assert 0 < first_of_place(INSTANCE).sum() < INSTANCE.num_tensors
    assert (roots_of(INSTANCE)[first_of_place(INSTANCE)] == np.flatnonzero(first_of_place(INSTANCE))).all()
    for short, order in zip(simple_orders(), ORDERS.values(), strict=True):
        assert decoder.decode(short) == decoder.decode(order(INSTANCE))


def test_best_order() -> None:
    """It is the one that decodes to the shortest latency."""
    decoder = PriorityDecoder(INSTANCE)
    latency = [decoder.decode(order) for order in simple_orders()]
    assert decoder.decode(best_order(decoder, simple_orders())) == min(latency) < max(latency)


def test_climb_keeps_what_is_not_worse() -> None:
    """What is found is a permutation, no worse after any number of moves, better after many, and follows from the seed."""
    decoder = PriorityDecoder(INSTANCE)
    start = best_order(decoder, simple_orders())
    before = start.copy()
    latency = [decoder.decode(start)]
    for count in (0, 1, 10, 200):
        found = climb_order(decoder, start, count, np.random.default_rng(1))
        np.testing.assert_array_equal(np.sort(found), np.sort(start))
        np.testing.assert_array_equal(found, climb_order(decoder, start, count, np.random.default_rng(1)))
        latency.append(decoder.decode(found))
    assert latency[0] == latency[1]
    assert latency[-1] < latency[0]
    np.testing.assert_array_equal(start, before)


def test_climb_is_the_same_in_plain_python() -> None:
    """The same moves, made with NumPy and kept where the decoder finds them not worse, lead to the same order."""
    decoder = PriorityDecoder(INSTANCE)
    start = best_order(decoder, simple_orders())
    rng, count = np.random.default_rng(3), 60
    first, second = (start.size * rng.random((2, count)) ** 2).astype(np.int64)
    wish, swap, forward = rng.random(count) / WISHES, rng.random(count) < 0.5, rng.random(count)
    order, latency, total = start.copy(), decoder.decode(start), wants(decoder, start)
    for k in range(count):
        source, target = int(np.flatnonzero(order == start[first[k]])[0]), int(second[k])
        if wish[k] < 1:
            source = int((total <= wish[k] * total[-1]).sum())
            target = int(source * forward[k])
        if swap[k] and wish[k] >= 1:
            changed = order.copy()
            changed[source], changed[target] = order[target], order[source]
        else:
            changed = np.insert(np.delete(order, source), target, order[source])
        if decoder.decode(changed) <= latency:
            order, latency = changed, decoder.decode(changed)
            total = wants(decoder, order)
    np.testing.assert_array_equal(order, climb_order(decoder, start, count, np.random.default_rng(3)))


def wants(decoder: PriorityDecoder, order: np.ndarray) -> np.ndarray:
    """(k,) HBM time that the first tensors of an order would not need in fast memory, summed up."""
    dropped = decoder.places(order) == DROP
    time = np.zeros(INSTANCE.num_tensors)
    saved = (INSTANCE.access_hbm - INSTANCE.access_fast) * dropped
    np.add.at(time, roots_of(INSTANCE)[INSTANCE.access_tensor], saved)
    return np.cumsum(time[order])
