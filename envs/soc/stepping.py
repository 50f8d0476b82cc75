"""One step of a slot, and the structure through which kernels see a whole batch."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from makespan.envs.core.kernels import borrowed, borrowing_kernel, kernel
from makespan.envs.soc.candidates import estimate, legal_actions, place, write_candidates
from makespan.envs.soc.loading import World, clear_slot, load_slot
from makespan.envs.soc.observation import Graph, write_graph, write_static
from makespan.envs.soc.plan_columns import write_plan
from makespan.envs.soc.rollout import write_rollouts
from makespan.envs.soc.simulator import advance, bound_of, spent
from makespan.envs.soc.state import (
    ARRIVAL,
    ARRIVED,
    DECISIONS,
    DONE_JOBS,
    ENDED,
    ENERGY,
    ENERGY_SUM,
    EXCESS,
    FIRST_BOUND,
    I64,
    ID,
    LATENCY,
    NOW,
    OBJECTIVE,
    PAID,
    PAID_TIME,
    SCALE,
    UNIT,
    WARM_UP,
    Socs,
)


class Outcome(NamedTuple):
    """What the last step did in each slot."""

    reward: NDArray[np.float64]  # (B,)
    terminated: NDArray[np.bool_]  # (B,)
    truncated: NDArray[np.bool_]  # (B,) more jobs in the system than allowed
    elapsed: NDArray[np.float64]  # (B,) time the step took, in units of the instance's mean critical path


class Settings(NamedTuple):
    """How an engine asks, the same for all slots."""

    mode: int
    with_defer: bool
    skip_forced: bool
    merge_twins: bool
    most_jobs: int  # jobs in the system beyond which a run is cut off; 0: never
    observe: bool
    rollout: int  # number of the rule in `ROLLOUT_RULES` that plays candidates out; -1: none does
    samples: int  # further rollouts of a candidate, by list rules with weights as if drawn
    draws: int  # worlds of drawn durations that a rollout is played in; 0: one of expected durations
    moves: int  # of the local search that improves the plan before each decision; -1: there is no plan
    work: float  # what a us that all PEs work counts for in a plan's cost


@borrowing_kernel
def _legal(socs: Socs, graph: Graph, settings: Settings, b: int) -> int:
    return legal_actions(socs, graph, b, settings.mode, settings.with_defer, settings.merge_twins)


@borrowing_kernel
def _bound_so_far(socs: Socs, b: int) -> int:
    """Lower bound of the objective's sum, whatever is decided from now on."""
    clock, bound = socs.clock, socs.clock[b, FIRST_BOUND]
    if clock[b, OBJECTIVE] == LATENCY:
        bound += clock[b, EXCESS]
        for slot in range(socs.job.shape[1]):
            if socs.job[b, slot, ID] >= 0 and socs.job[b, slot, ARRIVAL] >= clock[b, WARM_UP]:
                age = clock[b, NOW] - socs.job[b, slot, ARRIVAL]
                bound += max(0, age - bound_of(socs, b, socs.job[b, slot, ID]))
    else:
        bound = max(bound, clock[b, ENERGY_SUM] if clock[b, OBJECTIVE] == ENERGY else clock[b, NOW])
    return bound


@borrowing_kernel
def _pay(socs: Socs, outcome: Outcome, b: int) -> None:
    """Hand out what has been spent since the last decision."""
    clock, due = socs.clock, spent(socs, b)
    outcome.reward[b] = (clock[b, PAID] - due) / clock[b, SCALE]
    outcome.elapsed[b] = (clock[b, NOW] - clock[b, PAID_TIME]) / clock[b, UNIT]
    clock[b, PAID], clock[b, PAID_TIME] = due, clock[b, NOW]


@borrowing_kernel
def _step_slot(socs: Socs, graph: Graph, outcome: Outcome, settings: Settings, b: int, action: int) -> None:
    """Take an action (negative: none, an empty system starts), and go on to the next decision or the end."""
    clock, begins = socs.clock, action < 0
    while True:
        if action >= 0:
            place(socs, graph, b, action, settings.mode, settings.with_defer)
        advance(socs, b)
        # the first decision is asked even if it is forced: an episode has at least one
        if _legal(socs, graph, settings, b) != 1 or not settings.skip_forced or begins:
            break
        action = 0
        while not graph.action_mask[b, action]:
            action += 1
    if begins:
        outcome.reward[b], outcome.elapsed[b], clock[b, PAID_TIME] = 0.0, 0.0, clock[b, NOW]
    else:
        clock[b, DECISIONS] += 1
        _pay(socs, outcome, b)
    if settings.observe:
        estimate(socs, graph, b)
        write_graph(socs, graph, b)
        write_candidates(socs, graph, b, settings.mode, settings.with_defer)
    outcome.terminated[b] = clock[b, ENDED] > 0
    in_system = clock[b, ARRIVED] - clock[b, DONE_JOBS]
    outcome.truncated[b] = not clock[b, ENDED] and 0 < settings.most_jobs < in_system
    if clock[b, ENDED]:
        graph.action_mask[b, 0] = 1  # a mask is never all zero, not even where no action is awaited


@structref.register
class BatchType(types.StructRef):  # type: ignore[misc]
    """Numba's type of a `Batch`."""


class Batch(structref.StructRefProxy):  # type: ignore[misc]
    """All that the kernels act on, as a single argument; see `makespan.envs.jobshop.engine`."""

    socs: Socs
    spare: Socs  # one slot, for rollouts
    graph: Graph
    outcome: Outcome
    settings: Settings


_FIELDS: Final = ["socs", "spare", "graph", "outcome", "settings"]
structref.define_boxing(BatchType, Batch)
structref.define_constructor(Batch, BatchType, _FIELDS)


@kernel
def make_batch(socs: Socs, spare: Socs, graph: Graph, outcome: Outcome, settings: Settings) -> Batch:
    """A batch that borrows its arrays: the caller keeps them as long as it."""
    return Batch(borrowed(socs), borrowed(spare), borrowed(graph), borrowed(outcome), settings)  # type: ignore[no-untyped-call]


@kernel
def load_batch(batch: Batch, b: int, world: World) -> None:
    """Put an instance into slot b."""
    load_slot(batch.socs, b, world)


@kernel
def clear_batch(batch: Batch, b: int) -> None:
    """Empty slot b, in which an instance has been loaded."""
    clear_slot(batch.socs, b)
    write_static(batch.socs, batch.graph, b)


@kernel
def run_batch(batch: Batch, actions: I64, first: int, begins: bool) -> None:
    """Step slots first, first + 1, ..., or start them; both in one kernel, for it takes long to compile.

    A negative action leaves its slot as it is, with reward 0.
    """
    socs, graph, outcome, settings = batch.socs, batch.graph, batch.outcome, batch.settings
    for i in range(actions.size):
        b = first + i
        if begins or actions[i] >= 0:
            _step_slot(socs, graph, outcome, settings, b, actions[i])
        else:
            outcome.reward[b] = outcome.elapsed[b] = 0.0


@kernel
def roll_out_batch(batch: Batch, actions: I64, first: int, begins: bool) -> None:
    """Play out the candidates of the slots that `run_batch` has just stepped; a kernel of its own, for few ever need it."""
    socs, spare, graph, settings = batch.socs, batch.spare, batch.graph, batch.settings
    for i in range(actions.size):
        if begins or actions[i] >= 0:
            write_rollouts(
                socs,
                spare,
                graph,
                first + i,
                settings.mode,
                settings.with_defer,
                settings.rollout,
                settings.samples,
                settings.draws,
            )


@kernel
def plan_batch(batch: Batch, actions: I64, first: int, begins: bool) -> None:
    """Improve the plans of the slots that `run_batch` has just stepped, and show what they say."""
    socs, graph, settings = batch.socs, batch.graph, batch.settings
    for i in range(actions.size):
        if begins or actions[i] >= 0:
            write_plan(socs, graph, first + i, settings.moves, settings.work, settings.with_defer)


@kernel
def bound_batch(batch: Batch, b: int) -> int:
    """Lower bound of the sum behind the objective of slot b."""
    return _bound_so_far(batch.socs, b)
