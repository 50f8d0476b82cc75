"""What becomes of the jobs in the system if a candidate is taken and a rule decides all that follows.

The rollouts of the pilot method (Duin & Voss 1999, Networks 34(3); Bertsekas, Tsitsiklis & Wu 1997, J. of Heuristics 3(3)), on a
spare system that shares the slot's world. They know what the decision graph shows: no job arrives, and every task takes
its expected time, a running one that is late ends within the next microsecond.
"""

from __future__ import annotations

from typing import Final

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.soc.candidates import place
from makespan.envs.soc.observation import Graph, capped, whole
from makespan.envs.soc.schema import CANDIDATE_FEATURES, ROLLOUT_RULES
from makespan.envs.soc.simulator import advance, available, can_wait, commit, spent
from makespan.envs.soc.state import (
    ARRIVED,
    BUSY,
    DEFERRED,
    END,
    ENDED,
    I32,
    ID,
    JOBS,
    LAST_END,
    NOW,
    PES,
    READY,
    RUNS,
    RUNS_UNTIL,
    SCALE,
    STOCHASTIC,
    TEMPLATE,
    UNIT,
    Socs,
)
from makespan.envs.soc.templates import SHORTEST, UPWARD

_FIFO_EFT: Final = ROLLOUT_RULES.index("fifo_eft")
_STF: Final = ROLLOUT_RULES.index("stf")
_MIN_MIN: Final = ROLLOUT_RULES.index("min_min")
_COLUMN: Final = len(CANDIDATE_FEATURES)
_FAR: Final = 2**62


@borrowing_kernel
def _in_world_of(socs: Socs, spare: Socs, b: int) -> Socs:
    """The spare system in the world of slot b."""
    return Socs(
        spare.clock,
        socs.profile[b : b + 1],
        socs.template[b : b + 1],
        socs.edge[b : b + 1],
        socs.volume[b : b + 1],
        socs.duration[b : b + 1],
        socs.cost[b : b + 1],
        socs.bandwidth[b : b + 1],
        socs.platform[b : b + 1],
        socs.draw[b : b + 1],
        socs.arrival[b : b + 1],
        socs.realised[b : b + 1],
        spare.job,
        spare.task,
        spare.data,
        spare.pe,
        spare.busy,
        spare.ready,
        spare.changed,
        spare.record,
    )


@borrowing_kernel
def _copy_rows(source: I32, target: I32, first: int, last: int) -> None:
    for row in range(first, last):
        for column in range(source.shape[1]):
            target[row, column] = source[row, column]


@borrowing_kernel
def _copy_state(socs: Socs, trial: Socs, b: int) -> None:
    """Bring the trial to where slot b is, with nothing to come that nobody knows of."""
    num_tasks = socs.task.shape[1] // socs.job.shape[1]
    for i in range(socs.clock.shape[1]):
        trial.clock[0, i] = socs.clock[b, i]
    for i in range(socs.busy.shape[1]):
        trial.busy[0, i] = socs.busy[b, i]
    _copy_rows(socs.job[b], trial.job[0], 0, socs.job.shape[1])
    _copy_rows(socs.pe[b], trial.pe[0], 0, socs.pe.shape[1])
    for slot in range(socs.job.shape[1]):
        if socs.job[b, slot, ID] >= 0:
            first, last = slot * num_tasks, (slot + 1) * num_tasks
            _copy_rows(socs.task[b], trial.task[0], first, last)
            _copy_rows(socs.data[b], trial.data[0], first, last)
    for i in range(socs.clock[b, READY]):
        trial.ready[0, i] = socs.ready[b, i]
    clock, pe = trial.clock, trial.pe
    clock[0, JOBS], clock[0, STOCHASTIC] = clock[0, ARRIVED], 0
    for p in range(clock[0, PES]):
        if pe[0, p, RUNS] >= 0:
            pe[0, p, RUNS_UNTIL] = max(clock[0, NOW] + 1, trial.task[0, pe[0, p, RUNS], END])


@borrowing_kernel
def _choose(socs: Socs, rule: int, max_ready: int) -> tuple[int, int]:
    """Position and PE that the rule takes, as in `makespan.envs.soc.rules`."""
    now, count = socs.clock[0, NOW], min(socs.clock[0, READY], max_ready)
    if rule == _FIFO_EFT:
        count = 1
    position, pe, first, second, third = 0, 0, _FAR, _FAR, _FAR
    for r in range(count):
        row = socs.ready[0, r]
        t = socs.task[0, row, TEMPLATE]
        for p in range(socs.clock[0, PES]):
            duration = socs.duration[0, t, p]
            if duration < 0:
                continue
            finish = max(available(socs, 0, p), socs.data[0, row, p]) + duration - now
            a, b, c = finish, 0, 0
            if rule == _STF:
                a, b, c = socs.template[0, t, SHORTEST], duration - socs.template[0, t, SHORTEST], finish
            elif rule != _FIFO_EFT and rule != _MIN_MIN:
                a, b = -socs.template[0, t, UPWARD], finish
            if a < first or (a == first and (b < second or (b == second and c < third))):
                position, pe, first, second, third = r, p, a, b, c
    return position, pe


@borrowing_kernel
def _play_out(socs: Socs, rule: int, max_ready: int) -> None:
    """Let the rule decide until every job is done or the horizon is reached."""
    if socs.clock[0, DEFERRED] and not can_wait(socs, 0):
        socs.clock[0, DEFERRED] = 0  # nothing that is known of would end the wait
    advance(socs, 0)
    while not socs.clock[0, ENDED]:
        position, p = _choose(socs, rule, max_ready)
        commit(socs, 0, position, p)
        advance(socs, 0)


@kernel
def write_rollouts(
    socs: Socs, spare: Socs, graph: Graph, b: int, mode: int, with_defer: bool, rule: int
) -> None:
    """Write the rollout columns of the allowed candidates of slot b: what they add to the objective's sum, less the least."""
    if socs.clock[b, ENDED]:
        return
    trial, x, played = _in_world_of(socs, spare, b), graph.candidate_x[b], graph.played
    least_cost, least_end, least_work, unit = _FAR, _FAR, _FAR, socs.clock[b, UNIT]
    for a in range(played.shape[0]):
        if graph.action_mask[b, a]:
            _copy_state(socs, trial, b)
            place(trial, graph, 0, a, mode, with_defer)
            _play_out(trial, rule, graph.finish.shape[0])
            cost, end, work = spent(trial, 0) - spent(socs, b), trial.clock[0, LAST_END], 0
            for p in range(socs.clock[b, PES]):
                work += trial.pe[0, p, BUSY]
            played[a, 0], played[a, 1], played[a, 2] = cost, end, work
            least_cost, least_end, least_work = (
                min(least_cost, cost),
                min(least_end, end),
                min(least_work, work),
            )
    for a in range(played.shape[0]):
        if graph.action_mask[b, a]:
            cost = played[a, 0] - least_cost
            x[a, _COLUMN] = capped(cost / socs.clock[b, SCALE])
            x[a, _COLUMN + 1] = 1.0 if cost == 0 else 0.0
            x[a, _COLUMN + 2] = capped((played[a, 1] - least_end) / unit)
            x[a, _COLUMN + 3] = capped((played[a, 2] - least_work) / unit)
            x[a, _COLUMN + 4] = whole(cost)
