"""Policies that plan or look ahead: list schedulers with insertion, CP-SAT and the pilot method, while jobs keep arriving.

They know the platform, the profiles and the expected executions of the instance, and of its jobs only those that the decision
graph shows: nothing of what is still to arrive, nothing of realised durations before their ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import GraphSchema, Observation
from makespan.envs.core.policy import Actions, RulePolicy, get_rule, register_policy
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.itinerary import METHODS, Itinerary, SearchedItinerary, View
from makespan.envs.soc.planning import IntArray


class PlanningScheduler:
    """A list scheduler with insertion, online; `Policy` with `begin`.

    It needs the mode `task_pe` with `defer`: a task waits until the PE that the plan gives it has nothing to do before it. It
    wants many ready tasks on offer (`max_ready`): one that is not cannot be taken when the plan is at it, and others pass.

    Args:
        schema: The decision graph's schema.
        seed: Unused; plans are deterministic.
        method: One of `METHODS`.
        replan: See `Itinerary`.
    """

    def __init__(
        self, schema: GraphSchema, seed: int = 0, *, method: str = "heft", replan: bool = False
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method: {method!r}; expected one of {', '.join(METHODS)}")
        if schema.candidates.max_count <= schema.node("pe").max_count + 1:
            raise ValueError("planning policies need mode='task_pe' and more than one ready task offered")
        self.schema, self.method, self.replan = schema, method, replan
        self._runs: dict[int, Itinerary] = {}

    def begin(self, instances: Sequence[SocInstance], slots: NDArray[np.int64]) -> None:
        """Forget the runs of `slots`, where `instances` start."""
        for instance, slot in zip(instances, slots, strict=True):
            self._runs[int(slot)] = self._plan(instance)

    def _plan(self, instance: SocInstance) -> Itinerary:
        return Itinerary(instance, self.method, self.replan)

    def act(self, observation: Observation) -> Actions:
        """The plans' next candidates (B,)."""
        mask = observation["action_mask"] > 0
        return np.array([self._act(observation, b, np.flatnonzero(mask[b])) for b in range(len(mask))])

    def _act(self, observation: Observation, b: int, allowed: IntArray) -> int:
        candidates = observation["candidate_index"][b]
        concerned = allowed[candidates[allowed, 0] >= 0]
        if concerned.size == 0:
            return int(allowed[0])
        run = self._runs[b]
        view = View(self.schema, run.instance, run.row_first, observation, b)
        run.update(view)
        action = run.choose(view, candidates, concerned)
        if action >= 0:
            return action
        waits = allowed[candidates[allowed, 0] < 0]
        return int(waits[0]) if waits.size else run.force(view, candidates, concerned)


class Heft(PlanningScheduler):
    """HEFT, each job planned once at its arrival into the gaps that earlier ones leave."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, method="heft")


class HeftReplan(PlanningScheduler):
    """HEFT over everything not yet committed, planned anew at each arrival."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, method="heft", replan=True)


class Peft(PlanningScheduler):
    """PEFT, each job planned once at its arrival."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, method="peft")


class Cpop(PlanningScheduler):
    """CPOP, each job planned once at its arrival."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, method="cpop")


class Lookahead(PlanningScheduler):
    """Lookahead HEFT, each job planned once at its arrival."""

    def __init__(self, schema: GraphSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, method="lookahead")


class CpSatReplan(PlanningScheduler):
    """CP-SAT over everything not yet committed, solved anew at each arrival: `cp_sat_rolling` as a policy, hence as a teacher.

    Where somebody else has decided in between (a student that it teaches), it plans anew from there.

    Args:
        schema: The decision graph's schema.
        seed: Of the searches.
        effort: CP-SAT's deterministic time for each plan.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0, *, effort: float = 0.2) -> None:
        super().__init__(schema, seed, replan=True)
        if not effort > 0:
            raise ValueError(f"effort: {effort}; expected > 0")
        self.effort, self.seed = effort, seed % 2**31

    def _plan(self, instance: SocInstance) -> Itinerary:
        return SearchedItinerary(instance, self.effort, self.seed)


class Pilot:
    """The pilot method: the candidate whose rollout costs least; of equals the rule's choice, then the lower one.

    It reads the columns of an environment with `rollout_rule`.

    Args:
        schema: The decision graph's schema.
        seed: Unused.
        rule: The rule that plays the rollouts.
        samples: Further rollouts of each candidate (`rollout_samples`).
        work: What a unit of the PEs' time in a rollout counts for, beside the objective's cost: the jobs in the system are
            not the last.
        draws: Worlds of drawn durations that a rollout is the mean over where there is noise (`rollout_draws`).
        doubt: Candidates that cost at most so many standard errors more than the best are its equals; the error is over
            the draws.
    """

    def __init__(
        self,
        schema: GraphSchema,
        seed: int = 0,
        *,
        rule: str = "stf",
        samples: int = 0,
        work: float = 0.0,
        draws: int = 0,
        doubt: float = 0.0,
    ) -> None:
        known = [feature.name for feature in schema.candidates.features]
        if "rollout" not in known:
            raise ValueError("the pilot method needs an environment with rollout_rule")
        if doubt and "rollout_error" not in known:
            raise ValueError(
                f"doubt: {doubt}; needs an environment with rollout_draws, there is no error without draws"
            )
        self.rule, self.samples, self.work = RulePolicy(get_rule("soc", rule), schema), samples, work
        self.doubt = doubt
        names = ("rollout", "rollout_work", *(("rollout_error",) if doubt else ()))
        self._columns = [schema.action_feature(name) for name in names]

    def act(self, observation: Observation) -> Actions:
        """The best candidates (B,)."""
        cost, work, *error = (observation["candidate_x"][..., column] for column in self._columns)
        score = np.where(observation["action_mask"] > 0, cost + self.work * work, np.inf)
        best = score <= score.min(axis=-1, keepdims=True) + self.doubt * sum(error)
        return self.rule.act({**observation, "action_mask": best.astype(np.int8)})


class ListSearch:
    """Does what the plan of an environment with `plan_moves` does now.

    Args:
        schema: The decision graph's schema.
        seed: Unused.
        moves: Moves of the local search before each decision (`plan_moves`).
        work: What a microsecond that all PEs work counts for (`plan_work`).
        ready: Ready tasks on offer (`max_ready`); the plan cannot have others.
        twins: Offer only the lowest of like PEs (`merge_twins`): where data lie makes a difference to a plan.
    """

    def __init__(
        self,
        schema: GraphSchema,
        seed: int = 0,
        *,
        moves: int = 200,
        work: float = 1.0,
        ready: int = 24,
        twins: bool = False,
    ) -> None:
        if "planned" not in [feature.name for feature in schema.candidates.features]:
            raise ValueError("list search needs an environment with plan_moves")
        self._column = schema.action_feature("planned")

    def act(self, observation: Observation) -> Actions:
        """The first candidates that are planned (B,)."""
        planned = observation["candidate_x"][..., self._column]
        return np.where(observation["action_mask"] > 0, planned, -1.0).argmax(axis=-1)


for _name, _class, _citation in (
    ("heft", "Heft", "Topcuoglu, Hariri & Wu (2002), each job planned at its arrival"),
    ("heft_replan", "HeftReplan", "Topcuoglu, Hariri & Wu (2002), planned anew at each arrival"),
    ("peft", "Peft", "Arabnejad & Barbosa (2014), each job planned at its arrival"),
    ("cpop", "Cpop", "Topcuoglu, Hariri & Wu (2002), each job planned at its arrival"),
    ("lookahead", "Lookahead", "Bittencourt, Sakellariou & Madeira (2010), each job planned at its arrival"),
    ("cp_sat_replan", "CpSatReplan", "Perron & Furnon, OR-Tools CP-SAT, solved anew at each arrival"),
):
    register_policy("soc", _name, _citation, f"makespan.envs.soc.policies:{_class}")
register_policy(
    "soc",
    "pilot",
    "Duin & Voss (1999), Networks 34(3); Bertsekas, Tsitsiklis & Wu (1997), J. of Heuristics 3(3)",
    "makespan.envs.soc.policies:Pilot",
    needs={"rollout_rule": ("rule", "stf"), "rollout_samples": ("samples", 0), "rollout_draws": ("draws", 0)},
)
register_policy(
    "soc",
    "list_search",
    "Local search and rollouts over the list of HEFT (Topcuoglu, Hariri & Wu 2002)",
    "makespan.envs.soc.policies:ListSearch",
    needs={
        "plan_moves": ("moves", 200),
        "plan_work": ("work", 1.0),
        "max_ready": ("ready", 24),
        "merge_twins": ("twins", False),
    },
)
