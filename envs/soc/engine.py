"""A batch of SoCs with their decision graphs: the simulator as the environment faces drive it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.core.kernels import compiled
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.slots import SlotEngine, Token, corner, put
from makespan.envs.soc.generator_base import SocSize
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.loading import same_tables, world_of
from makespan.envs.soc.observation import graph_views
from makespan.envs.soc.schema import MODES, ROLLOUT_RULES, soc_schema
from makespan.envs.soc.state import (
    ARRIVED,
    BASE_POWER,
    BUSY,
    COUNTED,
    COUNTED_NOW,
    DECISIONS,
    DONE_COUNTED,
    DONE_JOBS,
    DONE_TASKS,
    ENDED,
    ENERGY,
    ENERGY_SUM,
    FINISHED_LATENCY,
    LAST_END,
    LATENCY,
    LATENCY_SUM,
    MOST_LIVE,
    NOW,
    OBJECTIVE,
    SCALE,
    SLOT_LATENCY,
    WAITED,
    WORLD,
    Limits,
    make_socs,
)
from makespan.envs.soc.stepping import (
    Outcome,
    Settings,
    bound_batch,
    clear_batch,
    load_batch,
    make_batch,
    plan_batch,
    roll_out_batch,
    run_batch,
)

_NONE: Final = np.array([-1], np.int64)

_WORLD: Final = (
    "profile",
    "template",
    "edge",
    "volume",
    "duration",
    "cost",
    "bandwidth",
    "platform",
    "draw",
    "arrival",
    "realised",
)


@dataclass(frozen=True, slots=True)
class SocMetrics:
    """What a run has come to so far.

    Attributes:
        arrived: Jobs that have arrived.
        finished: Jobs that are done.
        finished_tasks: Tasks that are done.
        mean_latency: Mean of finish - arrival over finished counted jobs, us; 0 without any.
        mean_admission_latency: The same from the entry into a slot, which hides what is spent outside.
        counted_latency: Mean over counted jobs that have arrived, unfinished ones with their age, us.
        makespan: End of the last finished task, us.
        energy_pj: Energy drawn, pJ; None without a power model.
        utilisation: Share of the time that each PE has spent on finished tasks (M,).
        most_jobs: Most jobs in the system at once.
        waited: Jobs that found no room when they arrived.
    """

    arrived: int
    finished: int
    finished_tasks: int
    mean_latency: float
    mean_admission_latency: float
    counted_latency: float
    makespan: int
    energy_pj: int | None
    utilisation: NDArray[np.float64]
    most_jobs: int
    waited: int


class SocEngine(SlotEngine):
    """`num_slots` systems of at most the given size, stepped together.

    Args:
        num_slots: Systems.
        size: Maxima over the instances to come; more jobs are taken too, the arrays grow.
        mode: One of `MODES`, what a candidate is.
        max_live_jobs: Slots for jobs in the system; more wait outside in the order of their arrival.
        max_ready: Ready tasks offered at once; more wait behind them in FIFO order.
        defer: Whether a candidate leaves what is ready until the next event.
        skip_forced: Take decisions with a single candidate without asking, but for the first.
        merge_twins: Offer only the lowest of PEs that are alike, idle, and reached by the task's data as early.
        most_jobs: Jobs in the system beyond which a run is cut off; 0: never.
        observe: False leaves the decision graph empty but for the mask.
        rollout_rule: One of `ROLLOUT_RULES`, which plays each candidate out for further columns; None: nobody does.
        rollout_samples: Further rollouts of each candidate, of which the cheapest counts.
        rollout_draws: Worlds of drawn durations that a rollout of an instance with noise is the mean over; 0: expected
            durations.
        plan_moves: Moves of the local search that improves a plan of all that is not committed before each decision, for
            further columns; 0: HEFT's plan, kept; None: no plan.
        plan_work: What a us that all PEs work counts for in a plan's cost, beside a us of a job's latency.

    Attributes:
        schema: The decision graph's schema.
        observation: The live buffers, batch axis first; overwritten by every step.
        outcome: Reward, end and time of each slot's last step.
    """

    def __init__(
        self,
        num_slots: int,
        size: SocSize,
        *,
        mode: str = "task_pe",
        max_live_jobs: int = 24,
        max_ready: int = 16,
        defer: bool = True,
        skip_forced: bool = True,
        merge_twins: bool = True,
        most_jobs: int = 0,
        observe: bool = True,
        rollout_rule: str | None = None,
        rollout_samples: int = 0,
        rollout_draws: int = 0,
        plan_moves: int | None = None,
        plan_work: float = 1.0,
    ) -> None:
        self._options = {
            "mode": mode,
            "max_live_jobs": max_live_jobs,
            "max_ready": max_ready,
            "defer": defer,
            "skip_forced": skip_forced,
            "merge_twins": merge_twins,
            "most_jobs": most_jobs,
            "observe": observe,
            "rollout_rule": rollout_rule,
            "rollout_samples": rollout_samples,
            "rollout_draws": rollout_draws,
            "plan_moves": plan_moves,
            "plan_work": plan_work,
        }
        self._size = size
        live = min(max_live_jobs, size.num_jobs, size.max_jobs or max_live_jobs)
        self._max_ready = min(max_ready, live * size.max_tasks)
        which = MODES.index(mode)
        rollout = -1 if rollout_rule is None else ROLLOUT_RULES.index(rollout_rule)
        self._settings = Settings(
            which,
            defer,
            skip_forced,
            merge_twins,
            most_jobs,
            observe,
            rollout,
            rollout_samples,
            rollout_draws,
            -1 if plan_moves is None else plan_moves,
            plan_work,
        )
        self._limits = Limits(
            size.num_pes,
            size.num_clusters,
            size.num_profiles,
            size.total_tasks,
            size.total_edges,
            size.max_tasks,
            live,
            size.num_jobs,
            size.total_rows,
            0,
            plan_moves is not None,
        )
        self.schema = soc_schema(
            size.num_pes,
            size.max_tasks,
            size.profile_edges,
            live,
            self._max_ready,
            which,
            defer,
            rollout >= 0,
            rollout_draws > 0,
            plan_moves is not None,
        )
        self.observation = self.schema.zeros(num_slots)
        self._graph = graph_views(self.observation, self._max_ready, size.num_pes, live)
        self._socs, self._spare = make_socs(num_slots, self._limits), make_socs(1, self._limits)
        self.outcome = Outcome(
            np.zeros(num_slots),
            np.zeros(num_slots, np.bool_),
            np.zeros(num_slots, np.bool_),
            np.zeros(num_slots),
        )
        self._batch = make_batch(self._socs, self._spare, self._graph, self.outcome, self._settings)
        self._run_slots = compiled(run_batch, self._batch, _NONE, 0, True)
        self.loaded: list[SocInstance | None] = [None] * num_slots

    def load(self, slot: int, instance: SocInstance) -> None:
        """Start `instance` in a slot. Raises `InvalidInstanceError` if it is larger than the engine."""
        if instance is not self.loaded[slot]:
            self._put(slot, instance)
        clear_batch(self._batch, slot)
        self._run(_NONE, slot, begins=True)

    def _put(self, slot: int, instance: SocInstance) -> None:
        size, own = self._size, SocSize.of(instance)
        for key in ("num_pes", "num_clusters", "num_profiles", "max_tasks", "total_tasks", "total_edges"):
            if getattr(own, key) > getattr(size, key) or own.profile_edges > size.profile_edges:
                raise InvalidInstanceError(
                    f"instance {instance.name!r} has size {own}; the environment was made for at most {size}"
                )
        if self._limits.plans and instance.objective == "energy":
            raise InvalidInstanceError(
                f"instance {instance.name!r} has the objective 'energy'; plans (plan_moves) expect 'latency' or 'makespan'"
            )
        noise = 0 if instance.is_deterministic else own.total_rows
        if (
            own.num_jobs > self._limits.num_jobs
            or own.total_rows > self._limits.total_rows
            or noise > self._limits.noise_rows
        ):
            self._grow(own.num_jobs, own.total_rows, noise)
        before, world = self.loaded[slot], self._socs.clock[slot, WORLD]
        load_batch(self._batch, slot, world_of(instance))
        self.loaded[slot] = instance
        if before is not None and same_tables(before, instance):
            self._socs.clock[slot, WORLD] = world
        else:
            self._share(slot)

    def _share(self, slot: int) -> None:
        """Let slots that hold the graphs and PEs of slot 0 read its tables: few tables stay in the cache."""
        first, world = self.loaded[0], self._socs.clock[:, WORLD]
        for other in range(len(self.loaded)) if slot == 0 else (slot,):
            held = self.loaded[other]
            alike = first is held or (first is not None and held is not None and same_tables(first, held))
            world[other] = 0 if alike else other

    def _grow(self, num_jobs: int, total_rows: int, noise_rows: int) -> None:
        """Make room for longer runs: jobs are no part of the spaces."""
        old, limits = self._socs, self._limits
        self._limits = limits._replace(
            num_jobs=max(num_jobs, limits.num_jobs),
            total_rows=max(total_rows, limits.total_rows),
            noise_rows=max(noise_rows, limits.noise_rows),
        )
        self._socs, self._spare = make_socs(len(self.loaded), self._limits), make_socs(1, self._limits)
        for key, array in old._asdict().items():
            getattr(self._socs, key)[corner(array)] = array
        self._batch = make_batch(self._socs, self._spare, self._graph, self.outcome, self._settings)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); actions must be allowed, negative ones leave a slot untouched."""
        self._run(np.ascontiguousarray(actions, np.int64), 0, begins=False)

    def _run(self, actions: NDArray[np.int64], first: int, *, begins: bool) -> None:
        self._run_slots(self._batch, actions, first, begins)
        if self._settings.observe and self._settings.rollout >= 0:
            roll_out_batch(self._batch, actions, first, begins)
        if self._settings.observe and self._settings.moves >= 0:
            plan_batch(self._batch, actions, first, begins)

    def objective(self, slot: int) -> float:
        """The instance's objective so far; once the run has ended, its value."""
        clock = self._socs.clock[slot]
        if clock[OBJECTIVE] == LATENCY:
            return float(clock[LATENCY_SUM]) / max(1, int(clock[DONE_COUNTED] + clock[COUNTED_NOW]))
        if clock[OBJECTIVE] == ENERGY:
            return float(clock[ENERGY_SUM])
        return float(clock[NOW] if clock[ENDED] else clock[LAST_END])

    def lower_bound(self, slot: int) -> float:
        """What the objective will be at least, given the decisions so far."""
        clock = self._socs.clock[slot]
        return float(bound_batch(self._batch, slot)) / (
            int(clock[COUNTED]) if clock[OBJECTIVE] == LATENCY else 1
        )

    def return_of(self, slot: int, objective: float) -> float:
        """The return of a whole run with that objective."""
        clock = self._socs.clock[slot]
        return -objective * (int(clock[COUNTED]) if clock[OBJECTIVE] == LATENCY else 1) / int(clock[SCALE])

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        return int(self._socs.clock[slot, DECISIONS])

    def now(self, slot: int) -> int:
        """Time, us."""
        return int(self._socs.clock[slot, NOW])

    def metrics(self, slot: int) -> SocMetrics:
        """What the run has come to so far."""
        clock = self._socs.clock[slot]
        counted = max(1, int(clock[DONE_COUNTED]))
        power = None if clock[BASE_POWER] < 0 else int(clock[ENERGY_SUM])
        num_pes = self._instance(slot).num_pes
        return SocMetrics(
            arrived=int(clock[ARRIVED]),
            finished=int(clock[DONE_JOBS]),
            finished_tasks=int(clock[DONE_TASKS]),
            mean_latency=int(clock[FINISHED_LATENCY]) / counted,
            mean_admission_latency=int(clock[SLOT_LATENCY]) / counted,
            counted_latency=int(clock[LATENCY_SUM]) / max(1, int(clock[DONE_COUNTED] + clock[COUNTED_NOW])),
            makespan=int(clock[LAST_END]),
            energy_pj=power,
            utilisation=self._socs.pe[slot, :num_pes, BUSY] / max(1, int(clock[NOW])),
            most_jobs=int(clock[MOST_LIVE]),
            waited=int(clock[WAITED]),
        )

    def _instance(self, slot: int) -> SocInstance:
        instance = self.loaded[slot]
        if instance is None:
            raise ValueError(f"slot {slot}: no instance has been loaded")
        return instance

    def schedule(self, slot: int) -> Schedule:
        """Every task that has started, by job and task, with its true end."""
        instance = self.loaded[slot]
        if instance is None:
            return Schedule.empty()
        record = self._socs.record[slot, : instance.total_rows].astype(np.int64)
        rows = np.flatnonzero(record[:, 0] >= 0)
        start, pe = record[rows].T
        job, template = instance.row_job[rows].astype(np.int64), instance.row_task[rows]
        if instance.is_deterministic:
            duration = instance.execution[template, instance.pe_type[pe]]
        else:
            duration = instance.realised[rows, pe]
        local = rows - instance.row_first[job]
        return Schedule(job, local, pe, start, start + duration, name=instance.name)

    def clone(self, slot: int) -> Token:
        """A token that `restore` turns back into the slot's present state; it holds the instance, not its arrays."""
        held = np.empty((), object)
        held[()] = self.loaded[slot]
        return (held, *(array[slot].copy() for array in self._state()))

    def restore(self, slot: int, token: Token) -> None:
        """Put a slot into the state a token was taken from, be it in this or another slot."""
        held, *arrays = token
        instance: SocInstance | None = held.item()
        if instance is not None and instance is not self.loaded[slot]:
            self._put(slot, instance)
        world = self._socs.clock[slot, WORLD]
        for array, saved in zip(self._state(), arrays, strict=True):
            put(array, slot, saved)
        self._socs.clock[slot, WORLD] = world

    def copy_slots(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        """Put each slot of `target` (n,) into the present state of its partner in `source` (n,)."""
        super().copy_slots(source, target)
        for slot in [0] if 0 in target else target.tolist():
            self._share(slot)

    def _arguments(self) -> dict[str, Any]:
        return {"size": self._size, **self._options}

    def _arrays(self) -> Token:
        return (*(getattr(self._socs, key) for key in _WORLD), *self._state())

    def _state(self) -> list[NDArray[Any]]:
        """The arrays that change in the course of a run."""
        state = [array for key, array in self._socs._asdict().items() if key not in _WORLD]
        return [*state, *self.observation.values(), *self.outcome, self._graph.linked, self._graph.active]
