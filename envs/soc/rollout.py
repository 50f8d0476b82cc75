"""What becomes of the jobs in the system if a candidate is taken and a rule decides all that follows.

The rollouts of the pilot method (Duin & Voss 1999, Networks 34(3); Bertsekas, Tsitsiklis & Wu 1997, J. of Heuristics 3(3)),
on a spare system that shares the slot's world. With samples, further rollouts follow list rules whose priorities are
weighted sums of what the known rules look at, with weights as if drawn; of all rollouts of a candidate the cheapest counts.
Whoever decides in a rollout chooses among what the action mode lets an agent choose.

Rollouts know what the decision graph shows, and how uncertain durations are: no further job arrives, and every task takes
its expected time, a running one that is late ends within the next microsecond. With draws, a rollout of an instance with
noise is played in so many worlds instead, whose durations are drawn of the instance's law (`makespan.envs.soc.draws`),
and its cost is the mean: a lead in a single world, timed to the microsecond, is mostly luck.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from makespan.envs.core.kernels import borrowing_kernel, kernel
from makespan.envs.soc.candidates import earliest_pe, place
from makespan.envs.soc.draws import draw_durations, draw_ends, expect_ends, has_law, number
from makespan.envs.soc.observation import Graph, capped
from makespan.envs.soc.schema import CANDIDATE_FEATURES, PE_ONLY, ROLLOUT_RULES, TASK
from makespan.envs.soc.simulator import advance, available, can_wait, commit, spent
from makespan.envs.soc.state import (
    ARRIVED,
    BUSY,
    DEFERRED,
    ENDED,
    I32,
    I64,
    ID,
    JOBS,
    LAST_END,
    NOW,
    PES,
    READY,
    SCALE,
    TEMPLATE,
    UNIT,
    WORLD,
    Socs,
)
from makespan.envs.soc.templates import RANK_UNIT, SHORTEST, UPWARD

_FIFO_EFT: Final = ROLLOUT_RULES.index("fifo_eft")
_STF: Final = ROLLOUT_RULES.index("stf")
_MIN_MIN: Final = ROLLOUT_RULES.index("min_min")
_COLUMN: Final = len(CANDIDATE_FEATURES)
_FAR: Final = 2**62

# The most that weights of sampled sums come to, beside a finish's 1; the spread is in units of the instance's time.
_SHORTEST: Final = 2.0
_EXCESS: Final = 2.0
_RANK: Final = 0.5
_COST: Final = 0.5
_SPREAD: Final = 0.1
_FIRST_ROW: Final = 16


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
        spare.realised,  # what is drawn for rollouts, not what will be
        spare.job,
        spare.task,
        spare.data,
        spare.pe,
        spare.busy,
        spare.ready,
        spare.changed,
        spare.record,
        spare.plan,
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
    trial.clock[0, JOBS], trial.clock[0, WORLD] = trial.clock[0, ARRIVED], 0


@borrowing_kernel
def _tasks(socs: Socs, mode: int, max_ready: int) -> int:
    """Ready tasks among which the mode lets one choose, the first in FIFO order."""
    return 1 if mode == PE_ONLY else min(socs.clock[0, READY], max_ready)


@borrowing_kernel
def _pes(socs: Socs, mode: int, row: int) -> tuple[int, int]:
    """The PEs among which the mode lets one choose for a ready task: the first, and the one behind the last."""
    if mode == TASK:
        p = earliest_pe(socs, 0, row)
        return p, p + 1
    return 0, socs.clock[0, PES]


@borrowing_kernel
def _choose(socs: Socs, rule: int, mode: int, max_ready: int) -> tuple[int, int]:
    """Position and PE that the rule takes, as in `makespan.envs.soc.rules`."""
    now, count = socs.clock[0, NOW], _tasks(socs, mode, max_ready)
    if rule == _FIFO_EFT:
        count = 1
    position, pe, first, second, third = 0, 0, _FAR, _FAR, _FAR
    for r in range(count):
        row = socs.ready[0, r]
        t = socs.task[0, row, TEMPLATE]
        first_pe, last_pe = _pes(socs, mode, row)
        for p in range(first_pe, last_pe):
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
def _choose_freely(socs: Socs, sample: int, mode: int, max_ready: int) -> tuple[int, int]:
    """Position and PE of the least weighted sum; each sample has its own weights, and its own number for each task."""
    now, unit = socs.clock[0, NOW], socs.clock[0, UNIT]
    shortest_weight, excess_weight = _SHORTEST * number(sample, 1), _EXCESS * number(sample, 2)
    rank_weight, cost_weight = _RANK * number(sample, 3), _COST * number(sample, 4)
    spread = _SPREAD * number(sample, 5) * unit
    position, pe, least = 0, 0, np.inf
    for r in range(_tasks(socs, mode, max_ready)):
        row = socs.ready[0, r]
        t = socs.task[0, row, TEMPLATE]
        shortest = socs.template[0, t, SHORTEST]
        start = shortest_weight * shortest + spread * number(sample, _FIRST_ROW + row)
        start -= rank_weight * (socs.template[0, t, UPWARD] / RANK_UNIT)
        first_pe, last_pe = _pes(socs, mode, row)
        for p in range(first_pe, last_pe):
            duration = socs.duration[0, t, p]
            if duration < 0:
                continue
            finish = max(available(socs, 0, p), socs.data[0, row, p]) + duration - now
            value = start + finish + excess_weight * (duration - shortest)
            value += cost_weight * socs.cost[0, t, p]
            if value < least:
                position, pe, least = r, p, value
    return position, pe


@borrowing_kernel
def _play_out(socs: Socs, rule: int, sample: int, mode: int, max_ready: int) -> None:
    """Let the rule (sample 0) or a weighted sum decide until every job is done or the horizon is reached."""
    if socs.clock[0, DEFERRED] and not can_wait(socs, 0):
        socs.clock[0, DEFERRED] = 0  # nothing that is known of would end the wait
    advance(socs, 0)
    while not socs.clock[0, ENDED]:
        if sample == 0:
            position, p = _choose(socs, rule, mode, max_ready)
        else:
            position, p = _choose_freely(socs, sample, mode, max_ready)
        commit(socs, 0, position, p)
        advance(socs, 0)


@borrowing_kernel
def _work_done(socs: Socs, b: int) -> int:
    work = 0
    for p in range(socs.clock[b, PES]):
        work += socs.pe[b, p, BUSY]
    return work


@borrowing_kernel
def _play_worlds(
    socs: Socs,
    trial: Socs,
    graph: Graph,
    b: int,
    mode: int,
    with_defer: bool,
    rule: int,
    draws: int,
    cost: I64,
    totals: I64,
) -> None:
    """Fill `cost` (A, R, W) of candidates by list rules and worlds, and end and work summed over the worlds (A, R, 2)."""
    before = spent(socs, b)
    for k in range(cost.shape[2]):
        if draws:
            draw_durations(socs, trial, b, k)
        for a in range(cost.shape[0]):
            if not graph.action_mask[b, a]:
                continue
            for sample in range(cost.shape[1]):
                _copy_state(socs, trial, b)
                if draws:
                    draw_ends(trial, k)
                else:
                    expect_ends(trial)
                place(trial, graph, 0, a, mode, with_defer)
                _play_out(trial, rule, sample, mode, graph.finish.shape[0])
                cost[a, sample, k] = spent(trial, 0) - before
                totals[a, sample, 0] += trial.clock[0, LAST_END]
                totals[a, sample, 1] += _work_done(trial, 0)


@borrowing_kernel
def _error(first: I64, second: I64) -> float:
    """Standard error of the mean difference between the costs of two rollouts in the same worlds."""
    worlds, total, squares = first.size, 0, 0
    for k in range(worlds):
        total += first[k] - second[k]
        squares += (first[k] - second[k]) ** 2
    if worlds == 1:
        return 0.0
    return math.sqrt(max(0.0, squares / worlds - (total / worlds) ** 2) / (worlds - 1))


@borrowing_kernel
def _taken_by(socs: Socs, trial: Socs, graph: Graph, b: int, mode: int, rule: int) -> int:
    """The candidate that the rule takes."""
    _copy_state(socs, trial, b)
    position, p = _choose(trial, rule, mode, graph.finish.shape[0])
    return position if mode == TASK else position * graph.finish.shape[1] + p


@kernel
def write_rollouts(
    socs: Socs,
    spare: Socs,
    graph: Graph,
    b: int,
    mode: int,
    with_defer: bool,
    rule: int,
    samples: int,
    draws: int,
) -> None:
    """Write the rollout columns of the allowed candidates of slot b: cost, end and work of the cheapest rollout."""
    if socs.clock[b, ENDED]:
        return
    trial, x, mask = _in_world_of(socs, spare, b), graph.candidate_x[b], graph.action_mask[b]
    worlds = draws if draws and has_law(socs, b) else 1
    cost = np.zeros((mask.size, 1 + samples, worlds), np.int64)
    totals = np.zeros((mask.size, 1 + samples, 2), np.int64)
    _play_worlds(
        socs, trial, graph, b, mode, with_defer, rule, draws if has_law(socs, b) else 0, cost, totals
    )
    chosen, leader = np.zeros(mask.size, np.int64), -1
    least_cost, least_end, least_work = _FAR, _FAR, _FAR
    for a in range(mask.size):
        if mask[a]:
            own = _FAR
            for sample in range(1 + samples):
                if cost[a, sample].sum() < own:
                    chosen[a], own = sample, cost[a, sample].sum()
            if own < least_cost:
                leader, least_cost = a, own
            least_end = min(least_end, totals[a, chosen[a], 0])
            least_work = min(least_work, totals[a, chosen[a], 1])
    scale, unit = worlds * socs.clock[b, SCALE], worlds * socs.clock[b, UNIT]
    for a in range(mask.size):
        if mask[a]:
            more = cost[a, chosen[a]].sum() - least_cost
            x[a, _COLUMN] = capped(more / scale)
            x[a, _COLUMN + 1] = 1.0 if more == 0 else 0.0
            x[a, _COLUMN + 2] = capped((totals[a, chosen[a], 0] - least_end) / unit)
            x[a, _COLUMN + 3] = capped((totals[a, chosen[a], 1] - least_work) / unit)
            if draws:
                error = worlds * _error(cost[a, chosen[a]], cost[leader, chosen[leader]])
                x[a, _COLUMN + 4] = capped(error / scale)
                x[a, _COLUMN + 5] = more / (more + error) if more > 0 else 0.0
                x[a, _COLUMN + 6] = 0.0
    if draws:
        taken = _taken_by(socs, trial, graph, b, mode, rule)
        if mask[taken]:
            x[taken, _COLUMN + 6] = 1.0
