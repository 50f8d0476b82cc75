"""A family to reckon by hand: at each step one of several costs is chosen; their sum is the objective.

Registered under the id `test/Choice-v0` with the two faces the evaluation uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.family import BestKnown, Family
from makespan.envs.core.graph import CandidateType, GraphSchema, NodeType, raw
from makespan.envs.core.policy import Solution, register_solver, rule
from makespan.envs.core.schedule import Schedule

ENV_ID = "test/Choice-v0"
FAMILY = "choice"


@dataclass(frozen=True, eq=False)
class Choices:
    """`costs` (num_steps, num_options) int64."""

    costs: np.ndarray
    name: str = ""

    @property
    def num_steps(self) -> int:
        return self.costs.shape[0]

    @property
    def num_options(self) -> int:
        return self.costs.shape[1]


def schema_of(num_options: int) -> GraphSchema:
    return GraphSchema(
        nodes=(NodeType("step", 1, (raw("number", "step"),), "task"),),
        edges=(),
        candidates=CandidateType(num_options, ("step",), (raw("cost", "cost"), raw("option", "number"))),
    )


class ChoiceVectorEnv(VectorEnv):
    """The batch; `lie` is added to the objective it reports, `cheat` shortens a row of its schedules."""

    lie = 0
    cheat = False
    made: list[dict] = []  # noqa: RUF012  what was asked of the constructor

    def __init__(
        self, num_envs, instances, autoreset_mode, copy=True, illegal_action="random", sgs="plain"
    ) -> None:
        assert autoreset_mode is AutoresetMode.DISABLED
        assert num_envs == len(instances)
        ChoiceVectorEnv.made.append({"slots": [i.name for i in instances], "sgs": sgs})
        self.num_envs, self.instances, self.sgs = num_envs, instances, sgs
        self.schema = schema_of(max(i.num_options for i in instances))
        self.single_observation_space = self.schema.space
        self.single_action_space = spaces.Discrete(self.schema.candidates.max_count)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": autoreset_mode}

    def reset(self, *, seed=None, options=None):
        self.chosen = [[] for _ in self.instances]
        return self._observe(), {}

    def step(self, actions):
        was_done = self._done()
        for slot, action in enumerate(actions):
            if not was_done[slot]:
                assert 0 <= action < self.instances[slot].num_options
                self.chosen[slot].append(int(action))
        done = self._done()
        objective = np.array([self._objective(slot) for slot in range(self.num_envs)], float)
        info = {"objective": np.where(done & ~was_done, objective, 0.0)}
        return self._observe(), np.zeros(self.num_envs), done, np.zeros(self.num_envs, bool), info

    def schedule(self, slot) -> Schedule:
        costs = [int(self.instances[slot].costs[t, a]) for t, a in enumerate(self.chosen[slot])]
        if self.cheat:
            costs[-1] -= 1
        return schedule_of(self.chosen[slot], costs)

    def _done(self):
        pairs = zip(self.chosen, self.instances, strict=True)
        return np.array([len(c) == i.num_steps for c, i in pairs])

    def _objective(self, slot) -> int:
        costs = self.instances[slot].costs
        return sum(int(costs[t, a]) for t, a in enumerate(self.chosen[slot])) + self.lie

    def _observe(self):
        observation = self.schema.zeros(self.num_envs)
        for slot, (chosen, instance) in enumerate(zip(self.chosen, self.instances, strict=True)):
            if len(chosen) < instance.num_steps:
                observation["candidate_x"][slot, : instance.num_options, 0] = instance.costs[len(chosen)]
                observation["candidate_x"][slot, : instance.num_options, 1] = np.arange(instance.num_options)
                observation["candidate_index"][slot, : instance.num_options] = 0
                observation["action_mask"][slot, : instance.num_options] = 1
        return observation


class ChoiceEnv(gymnasium.Env):
    """The scalar face: only what drawing instances needs."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self, num_steps=3) -> None:
        self.num_steps = num_steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.instance = Choices(self.np_random.integers(1, 100, (self.num_steps, 3)))
        return 0, {}


def schedule_of(chosen, costs) -> Schedule:
    end = np.cumsum(costs, dtype=np.int64)
    steps = np.arange(len(costs), dtype=np.int64)
    options = np.array(chosen, np.int64)
    return Schedule(steps, options, np.zeros_like(steps), end - np.array(costs, np.int64), end)


def validate(instance: Choices, schedule: Schedule) -> float:
    if schedule.job.size != instance.num_steps:
        raise InvalidScheduleError([f"{schedule.job.size} steps; expected {instance.num_steps}"])
    costs = instance.costs[schedule.job, schedule.task]
    if not np.array_equal(schedule.end - schedule.start, costs):
        raise InvalidScheduleError(["a step does not last as long as it costs"])
    return float(costs.sum())


class CheapestSolver:
    """Exact; with `proves=False` it proves nothing, with `finds=False` it comes back empty-handed."""

    def __init__(self, proves: bool = True, finds: bool = True) -> None:
        self.proves, self.finds = proves, finds

    def solve(self, instance: Choices, time_limit_s: float, seed: int = 0) -> Solution:
        self.time_limit_s = time_limit_s
        if not self.finds:
            return Solution(schedule_of([], []), float("inf"), None, "unknown")
        chosen = instance.costs.argmin(axis=1)
        costs = instance.costs.min(axis=1)
        total = float(costs.sum())
        if not self.proves:
            return Solution(schedule_of(chosen, costs), total, None, "feasible")
        return Solution(schedule_of(chosen, costs), total, total, "optimal")


@rule(FAMILY, "cheapest", "none")
def cheapest(c):
    """Least cost."""
    return c["cost"]


@rule(FAMILY, "first", "none")
def first(c):
    """Least number."""
    return c["option"] + 1.0


register_solver(FAMILY, "exact", "none", f"{__name__}:CheapestSolver")

SMALL = Choices(np.array([[5, 1], [2, 4]]), "small")  # first 7, cheapest 3
SAME = Choices(np.array([[3, 3], [4, 4]]), "same")  # every choice 7
LARGE = Choices(np.array([[9, 1, 5], [9, 2, 5], [9, 3, 1]]), "large")  # first 27, cheapest 4
PUBLISHED = {"small": BestKnown(2, 3, "table 1"), "same": BestKnown(7, 7, "table 1")}


CHOICE = Family(
    name=FAMILY,
    objective="cost",
    unit="coins",
    env_ids=(ENV_ID,),
    instance_sets={"toys": ("small", "same")},
    make_generator=lambda name, **parameters: None,
    find_instances=lambda text: [SMALL, SAME, LARGE],
    best_known=lambda instance: PUBLISHED.get(instance.name),
    lower_bound=lambda instance: float(instance.num_steps),
    validate=validate,
    mode="sgs",
)

if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point=ChoiceEnv, vector_entry_point=ChoiceVectorEnv)
