"""Setting contenders and solvers to work on many instances: native batches, best-of-N, wall-clock time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from makespan.agents.contenders import Contender, MakePolicy, PolicySpec, PolicySpecError
from makespan.agents.progress import Progress
from makespan.envs.core.family import BestKnown, Family, better
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import PlanningPolicy, Policy, Solver, solvers_of
from makespan.envs.core.schedule import Schedule

MAX_SLOTS: Final = 256  # larger batches fall out of the cache and are slower
MAX_BYTES: Final = 2**28  # of observations in one batch
TIME_LIMIT_S: Final = 10.0
WARM_UP_S: Final = 0.01

MakeVectorEnv = Callable[[Sequence[Any], Mapping[str, Any]], VectorEnv[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """An instance to evaluate on, with what is known of it before anything runs."""

    instance: Any
    name: str
    seed: int
    group: str
    best_known: BestKnown | None
    lower_bound: float


@dataclass(slots=True)
class Result:
    """What one policy made of one instance, before it is checked."""

    schedule: Schedule | None = None
    claimed: float = np.nan
    decisions: int | None = None
    seconds: float = 0.0
    bound: float | None = None
    proved: bool = False


@dataclass(slots=True)
class Run:
    """One evaluation under way.

    Attributes:
        family: Family of the problem.
        env_id: Environment to act in.
        cases: The instances.
        seed: Seeds all sampling and the solvers.
        time_limit_s: Seconds a solver may take for an instance.
        make_env: Makes a native batch for instances with keywords of the environment.
        progress: As in `makespan.agents.progress.Progress`.
        planners: Policies that turned out to look at the whole instance.
    """

    family: Family
    env_id: str
    cases: list[Case]
    seed: int
    time_limit_s: float
    make_env: MakeVectorEnv
    progress: bool | None
    planners: set[str] = field(default_factory=set)


def vector_env_maker(env_id: str) -> MakeVectorEnv:
    """How to make a native batch of an environment: one slot for each instance, no autoreset."""

    def make(instances: Sequence[Any], options: Mapping[str, Any]) -> VectorEnv[Any, Any, Any]:
        fixed = {"autoreset_mode": AutoresetMode.DISABLED, "copy": False, "illegal_action": "raise"}
        return gymnasium.make_vec(
            env_id,
            num_envs=len(instances),
            vectorization_mode="vector_entry_point",
            instances=list(instances),
            **{**options, **fixed},
        )

    return make


def roll_all(run: Run, contender: Contender) -> list[Result]:
    """The best schedule of a contender on every instance."""
    results = [Result() for _ in run.cases]
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, case in enumerate(run.cases):
        shapes.setdefault(shape_of(case.instance), []).append(i)
    samples = contender.spec.samples
    total = len(run.cases) * len(contender.makers) * samples
    with Progress(contender.spec.text, total, unit="schedule", terminal=run.progress) as progress:
        for members in shapes.values():
            width = _warm_up(run, contender, members[0])
            for number, make in enumerate(contender.makers):
                for repeats, greedy in ((1, True), (samples - 1, False)):
                    slots = [i for i in members for _ in range(repeats)]
                    for start in range(0, len(slots), width):
                        chunk = slots[start : start + width]
                        seed = _derived_seed(run.seed, number, int(greedy), members[0], start)
                        _roll_chunk(run, contender, make, greedy, seed, chunk, results)
                        progress.update(len(chunk))
    return results


def _roll_chunk(
    run: Run,
    contender: Contender,
    make: MakePolicy,
    greedy: bool,
    seed: int,
    chunk: Sequence[int],
    results: list[Result],
) -> None:
    """Roll one batch, slot s holding instance chunk[s], and keep what improves on `results`."""
    env = run.make_env([run.cases[i].instance for i in chunk], contender.options)
    policy = make(_schema(env), greedy, seed)
    if isinstance(policy, PlanningPolicy):
        run.planners.add(contender.spec.text)
    began = time.perf_counter()
    objective, decisions = roll_out(env, policy, [run.cases[i].instance for i in chunk], run.seed)
    share = (time.perf_counter() - began) / len(chunk)
    for slot, i in enumerate(chunk):
        result = results[i]
        result.seconds += share
        if result.schedule is None or better(run.family, objective[slot], result.claimed):
            result.schedule = env.unwrapped.schedule(slot)  # type: ignore[attr-defined]
            result.claimed = float(objective[slot])
            result.decisions = int(decisions[slot])
    env.close()


def roll_out(
    env: VectorEnv[Any, Any, Any], policy: Policy, instances: Sequence[Any], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Run one episode in every slot of a native batch whose autoreset is disabled.

    Returns:
        Objective (B,) and number of decisions (B,) of each episode. An episode that was truncated has the objective of
        what it had scheduled; the validator says whether that counts.
    """
    observation, _ = env.reset(seed=seed)
    if isinstance(policy, PlanningPolicy):
        policy.begin(instances, np.arange(env.num_envs))
    ended = np.zeros(env.num_envs, np.bool_)
    objective = np.full(env.num_envs, np.nan)
    decisions = np.zeros(env.num_envs, np.int64)
    while not ended.all():
        decisions += ~ended
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        now = (terminated | truncated) & ~ended
        if now.any():
            objective[now] = info["objective"][now]
            ended |= now
    return objective, decisions


def _warm_up(run: Run, contender: Contender, index: int) -> int:
    """Take one step outside the clock, which compiles and loads; returns how many slots fit a batch."""
    env = run.make_env([run.cases[index].instance], contender.options)
    schema = _schema(env)
    observation, _ = env.reset(seed=run.seed)
    policy = contender.makers[0](schema, True, run.seed)
    if isinstance(policy, PlanningPolicy):
        policy.begin([run.cases[index].instance], np.arange(1))
    env.step(policy.act(observation))
    env.close()
    slot_bytes = sum(box.nbytes for box in schema.zeros(1).values())
    return int(np.clip(MAX_BYTES // max(slot_bytes, 1), 1, MAX_SLOTS))


def _schema(env: VectorEnv[Any, Any, Any]) -> GraphSchema:
    schema: GraphSchema = env.unwrapped.schema  # type: ignore[attr-defined]
    return schema


def _derived_seed(*key: int) -> int:
    return int(np.random.SeedSequence([abs(part) for part in key]).generate_state(1)[0])


def load_solver(spec: PolicySpec, family: str) -> Solver:
    """The solver of a specification; raises `PolicySpecError` where it cannot be had with the options."""
    options = {key: value for key, value in spec.options if key not in ("time_limit", "time_limit_s")}
    limit = _time_limit(spec, TIME_LIMIT_S)
    if not limit > 0:
        raise PolicySpecError(f"policy {spec.text!r}: time limit {limit} s; expected more than 0")
    try:
        return solvers_of(family)[spec.name].load(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise PolicySpecError(f"policy {spec.text!r}: {error}") from error


def _time_limit(spec: PolicySpec, default: float) -> float:
    options = dict(spec.options)
    value = options.get("time_limit", options.get("time_limit_s", default))
    if not isinstance(value, int | float):
        raise PolicySpecError(f"policy {spec.text!r}: time limit {value!r}; expected seconds")
    return float(value)


def solve_all(run: Run, spec: PolicySpec, solver: Solver) -> list[Result]:
    """What a solver makes of every instance; a first, short call outside the clock loads and compiles it."""
    results = []
    limit = _time_limit(spec, run.time_limit_s)
    smallest = min(run.cases, key=lambda case: shape_of(case.instance))
    solver.solve(smallest.instance, min(limit, WARM_UP_S), run.seed)
    with Progress(spec.text, len(run.cases), unit="instance", terminal=run.progress) as progress:
        for case in run.cases:
            began = time.perf_counter()
            solution = solver.solve(case.instance, limit, run.seed)
            results.append(
                Result(
                    schedule=solution.schedule,
                    claimed=float(solution.objective),
                    seconds=time.perf_counter() - began,
                    bound=None if solution.bound is None else float(solution.bound),
                    proved=solution.status == "optimal",
                )
            )
            progress.update(1)
    return results


def shape_of(instance: Any) -> tuple[int, ...]:
    """Sizes of an instance, to be batched with its equals: all its `num_...` and `max_...` integers."""
    names = sorted(name for name in dir(instance) if name.startswith(("num_", "max_")))
    return tuple(int(getattr(instance, name)) for name in names if not callable(getattr(instance, name)))
