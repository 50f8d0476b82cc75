"""Searches through the simulator: a beam over sequences of moves, and the best of many noisy dispatching runs.

Delays are the instance's own, so choosing among courses knows the future, as every solver here does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.policy import RulePolicy, Solution, get_rule
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot import rules as rules  # registers the rules
from makespan.envs.transfer_robot import simulator as column
from makespan.envs.transfer_robot.engine import TransferEngine
from makespan.envs.transfer_robot.generator import CellSize
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.validator import validate

IntArray = NDArray[np.int64]

STRONG_RULES: Final = ("forward", "swap_push", "earliest", "longest_waiting", "nearest", "fifo")
_RUNS: Final = 64  # runs side by side
_BRANCHES: Final = 6  # children a state, on average
_WAITS: Final = 3  # that a robot may take before its next move in the beam


def dispatch(
    cell: TransferCell, rule: str, *, fetches: str = "ahead", noise: float = 0.0, runs: int = 1, seed: int = 0
) -> tuple[Schedule, int]:
    """The best schedule of some runs of a rule, and its penalised makespan.

    Args:
        cell: The cell.
        rule: Name of a rule of the family.
        fetches: As in the environment.
        noise: Sigma of the log-normal noise on the priorities.
        runs: Number of runs, side by side.
        seed: Seed of the noise.
    """
    engine = TransferEngine(runs, CellSize.of(cell), fetches=fetches, reward="makespan", skip_forced=True)
    for slot in range(runs):
        engine.load(slot, cell)
    policy = RulePolicy(get_rule("transfer_robot", rule), engine.schema, noise=noise, seed=seed)
    while not engine.outcome.terminated.all():
        actions = policy.act(engine.observation)
        engine.step(np.where(engine.outcome.terminated, -1, actions))
    best = min(range(runs), key=engine.objective)
    return engine.schedule(best), int(engine.objective(best))


def best_rule(cell: TransferCell) -> tuple[Schedule, int]:
    """The best schedule of the rules that tend to be good, in both modes."""
    found = [dispatch(cell, rule, fetches=mode) for rule in STRONG_RULES for mode in ("ahead", "ready")]
    return min(found, key=lambda one: one[1])


def beam(cell: TransferCell, width: int, haste: float) -> tuple[Schedule, int] | None:
    """Keep the `width` best states after each move; the best schedule found and its penalised makespan.

    States are compared by the lower bound of the objective plus `haste` times the clock, and kept once. A robot's
    waits come before its move and do not count. None if all states have been lost, as with a width of 1 they may be.
    """
    engine = TransferEngine(
        width * (1 + _BRANCHES), CellSize.of(cell), fetches="ahead", reward="makespan", skip_forced=False
    )
    engine.load(0, cell)
    search = _Beam(engine, width, haste, cell)
    while search.alive.size:
        search.go_on()
    return search.best


class _Beam:
    """The states of a beam: the first `width` slots of an engine; the rest holds their children."""

    def __init__(self, engine: TransferEngine, width: int, haste: float, cell: TransferCell) -> None:
        self.engine, self.width, self.haste, self.cell = engine, width, haste, cell
        self.alive = np.zeros(1, np.int64)
        self.best: tuple[Schedule, int] | None = None
        self._wait = engine.schema.candidates.max_count - 1
        self._num_slots = len(engine.loaded)
        weights = np.random.default_rng(0).integers(1, 2**62, 4096, dtype=np.int64)
        self._weights = weights | 1

    def go_on(self) -> None:
        """One move of each state."""
        parents, children, room = self.alive, np.zeros(0, np.int64), self._num_slots
        next_slot = self.width
        for turn in range(_WAITS + 1):
            mask = self.engine.observation["action_mask"][parents] > 0
            moves = mask[:, : self._wait].any(axis=1)
            mask[:, self._wait] &= ~moves | ((turn < _WAITS) & (self.cell.num_robots > 1))
            parent, action = np.nonzero(mask)
            parent, action = parent[: room - next_slot], action[: room - next_slot]
            slots = next_slot + np.arange(parent.size)
            next_slot += parent.size
            self._step(parents[parent], slots, action)
            waits = (action == self._wait) & ~self.engine.outcome.terminated[slots]
            children = np.concatenate([children, slots[~waits]])
            parents = slots[waits]
            if parents.size == 0 or next_slot == room:
                break
        children = np.concatenate([children, parents])
        self._keep(children)

    def _step(self, source: IntArray, target: IntArray, action: IntArray) -> None:
        self.engine.copy_slots(source, target)
        actions = np.full(self._num_slots, -1)
        actions[target] = action
        self.engine.step(actions)

    def _keep(self, children: IntArray) -> None:
        """The best of the children go on; complete schedules are remembered."""
        over = self.engine.outcome.terminated[children]
        for slot in children[over].tolist():
            objective = int(self.engine.objective(slot))
            if self.best is None or objective < self.best[1]:
                self.best = self.engine.schedule(slot), objective
        children = children[~over]
        clock = self.engine.state.clock[children]
        value = clock[:, column.PAID_BOUND] + self.haste * clock[:, column.NOW]
        if self.best is not None:
            useful = clock[:, column.PAID_BOUND] < self.best[1]
            children, value = children[useful], value[useful]
        if children.size == 0:
            self.alive = children
            return
        order = np.argsort(value, kind="stable")
        _, first = np.unique(self._key(children[order]), return_index=True)
        kept = children[order[np.sort(first)]][: self.width]
        self.alive = np.arange(kept.size)
        self.engine.copy_slots(kept, self.alive)

    def _key(self, slots: IntArray) -> IntArray:
        """A number for each state that equal states share."""
        state = self.engine.state
        parts = (
            state.clock[slots][:, [column.NOW, column.ASKED, column.VIOLATIONS]],
            state.robot[slots],
            state.station[slots],
        )
        rows = np.concatenate([part.reshape(len(slots), -1) for part in parts], axis=1).astype(np.int64)
        weights = np.resize(self._weights, rows.shape[1])
        key: IntArray = (rows * weights).sum(axis=1)  # wraps around, as a hash may
        return key


@dataclass(frozen=True)
class BeamSearchSolver:
    """Beams of growing width by the lower bound, with and without haste, after the best of the rules.

    Attributes:
        width: Width of the first beams.
        max_width: Of the last ones; where time is left after them, the search ends.
    """

    width: int = 30
    max_width: int = 1000

    def solve(self, instance: TransferCell, time_limit_s: float = 2.0, seed: int = 0) -> Solution:
        """The best schedule found in the time, which the first beams may overrun; its bound is the quick one.

        Args:
            instance: The cell.
            time_limit_s: Wall-clock seconds.
            seed: Unused: beams do not draw.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began = time.monotonic()
        bound, (best, objective) = instance.bounds.lower_bound, best_rule(instance)
        width = self.width
        while objective > bound and width <= self.max_width:
            for haste in (0.0, 1.0):
                if width > self.width and time.monotonic() - began > time_limit_s:
                    break
                found = beam(instance, width, haste)
                if found is not None and found[1] < objective:
                    best, objective = found
            else:
                width *= 3
                continue
            break
        return _solution(instance, best, bound)


@dataclass(frozen=True)
class RandomisedDispatchSolver:
    """A rule with log-normal noise on its priorities, over and over until the time is up; the first run has none.

    Attributes:
        rule: Name of the rule.
        noise: Sigma of the noise.
        fetches: As in the environment.
    """

    rule: str = "earliest"
    noise: float = 0.3
    fetches: str = "ahead"

    def solve(self, instance: TransferCell, time_limit_s: float = 2.0, seed: int = 0) -> Solution:
        """The best schedule found in the time; its bound is the quick one.

        Args:
            instance: The cell.
            time_limit_s: Wall-clock seconds.
            seed: Seed of the noise.
        """
        if not time_limit_s > 0:
            raise ValueError(f"time_limit_s: {time_limit_s}; expected seconds > 0")
        began, batch = time.monotonic(), 0
        bound = instance.bounds.lower_bound
        best, objective = dispatch(instance, self.rule, fetches=self.fetches)
        while objective > bound and time.monotonic() - began < time_limit_s:
            entropy = int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])
            found = dispatch(
                instance, self.rule, fetches=self.fetches, noise=self.noise, runs=_RUNS, seed=entropy
            )
            if found[1] < objective:
                best, objective = found
            batch += 1
        return _solution(instance, best, bound)


def _solution(cell: TransferCell, schedule: Schedule, bound: int) -> Solution:
    objective = validate(cell, schedule)
    return Solution(schedule, objective, bound, "optimal" if objective == bound else "feasible")
