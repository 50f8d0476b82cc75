"""The paired runner: every policy on the same instances, every schedule checked, nothing left out.

Policies that act in environments are rolled in native batches, one batch for instances of one shape; best-of-N repeats an
instance in N slots, the greedy schedule always among the N. Solvers work through the instances one by one.
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from makespan.agents.contenders import (
    NOISE,
    Contender,
    LoadPolicy,
    MakePolicy,
    PolicySpec,
    PolicySpecError,
    make_contender,
    parse_policies,
)
from makespan.agents.progress import Progress
from makespan.agents.results import Evaluation, InstanceInfo, Json, PolicyInfo, Row
from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.family import BestKnown, Family
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.policy import PlanningPolicy, Policy, Solver, solvers_of
from makespan.envs.core.schedule import Schedule

logger = logging.getLogger(__name__)

MAX_SLOTS: Final = 1_024  # more slots at once gain nothing
MAX_BYTES: Final = 2**28  # of observations in one batch
TIME_LIMIT_S: Final = 10.0
TOLERANCE: Final = 1e-6  # objectives are sums of integers

MakeVectorEnv = Callable[[Sequence[Any], str | None], VectorEnv[Any, Any, Any]]


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
    claimed: float = np.inf
    decisions: int | None = None
    seconds: float = 0.0
    bound: float | None = None
    proved: bool = False


@dataclass(frozen=True, slots=True)
class _Checked:
    objective: float | None
    valid: bool


@dataclass(slots=True)
class _Run:
    """One evaluation under way."""

    family: Family
    env_id: str
    cases: list[Case]
    seed: int
    time_limit_s: float
    make_env: MakeVectorEnv
    progress: bool | None
    planners: set[str] = field(default_factory=set)


def evaluate(
    family: Family,
    env_id: str,
    policies: Sequence[str],
    instances: Sequence[Any] | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    load_policy: LoadPolicy | None = None,
    progress: bool | None = None,
    command: str | None = None,
) -> Evaluation:
    """Compare policies on the same instances.

    Args:
        family: Family of the problem.
        env_id: Environment to act in.
        policies: Policy strings; see `makespan.agents.contenders`.
        instances: Instances to solve; None draws `episodes` of them.
        episodes: Number of instances to draw.
        seed: Instance i is what `reset(seed=seed + i)` draws; also seeds all sampling and the solvers.
        env_kwargs: Keywords of the environment that draws the instances (its generator).
        time_limit_s: Seconds a solver may take for an instance, unless its options say otherwise.
        load_policy: Finds trained policies.
        progress: Show a progress bar; None shows it on a terminal only, and log lines elsewhere.
        command: Command line to record; None records the running one.

    Returns:
        Rows in the order of policies, then instances.

    Raises:
        UnknownNameError: A policy is not known.
        PolicySpecError: A policy string cannot be read, or a solver does not take its options.
        ValueError: There is nothing to evaluate.
    """
    specs, methods = parse_policies(policies, family.name)
    if not specs:
        raise ValueError("policies: none given; expected at least one")
    contenders = {
        spec.text: make_contender(spec, family.name, env_id, load_policy)
        for spec in specs
        if spec.kind != "solver"
    }
    solvers = {spec.text: _load_solver(spec, family.name) for spec in specs if spec.kind == "solver"}
    drawn = instances is None
    if instances is None:
        instances = sample_instances(env_id, episodes, seed, **(env_kwargs or {}))
    if not len(instances):
        raise ValueError("instances: none given; expected at least one")
    cases = _cases(family, instances, seed, drawn)
    run = _Run(family, env_id, cases, seed, time_limit_s, _vector_env_maker(env_id), progress)
    results: dict[str, list[Result]] = {}
    for spec in specs:
        if spec.kind == "solver":
            results[spec.text] = _solve_all(run, spec, solvers[spec.text])
        else:
            results[spec.text] = _roll_all(run, contenders[spec.text])
    infos = tuple(
        PolicyInfo(s.text, s.kind, s.samples, contenders[s.text].sgs if s.text in contenders else None)
        for s in specs
    )
    return _conclude(run, infos, methods, results, _meta(run, drawn, env_kwargs, command))


def sample_instances(env_id: str, episodes: int, seed: int, **env_kwargs: Any) -> list[Any]:  # noqa: ANN401
    """The instances that `reset(seed=seed + i)` draws, i < episodes."""
    env = gymnasium.make(env_id, disable_env_checker=True, **env_kwargs)
    drawn = []
    for i in range(episodes):
        env.reset(seed=seed + i)
        drawn.append(env.unwrapped.instance)  # type: ignore[attr-defined]
    env.close()
    return drawn


def shape_of(instance: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Sizes of an instance, to be batched with its equals: all its `num_...` and `max_...` integers."""
    names = sorted(name for name in dir(instance) if name.startswith(("num_", "max_")))
    return tuple(int(getattr(instance, name)) for name in names if not callable(getattr(instance, name)))


def group_of(family: Family, instance: Any) -> str:  # noqa: ANN401
    """Name of an instance's group: its set, if it has one, and its size as the literature writes it (15x15)."""
    sets = [name for name, members in family.instance_sets.items() if instance.name in members]
    if hasattr(instance, "num_jobs") and hasattr(instance, "num_machines"):
        size = f"{instance.num_jobs}x{instance.num_machines}"
    else:
        size = "x".join(map(str, shape_of(instance)))
    return " ".join([*sets[:1], size])


def _cases(family: Family, instances: Sequence[Any], seed: int, drawn: bool) -> list[Case]:
    names = [str(getattr(instance, "name", "")) for instance in instances]
    unique = all(names) and len(set(names)) == len(names)
    cases = []
    for i, (instance, name) in enumerate(zip(instances, names, strict=True)):
        number = seed + i if drawn else i
        cases.append(
            Case(
                instance=instance,
                name=name if unique else f"{name or 'instance'}#{number}",
                seed=seed + i if drawn else seed,
                group=group_of(family, instance),
                best_known=family.best_known(instance),
                lower_bound=float(family.lower_bound(instance)),
            )
        )
    return cases


def _vector_env_maker(env_id: str) -> MakeVectorEnv:
    def make(instances: Sequence[Any], sgs: str | None) -> VectorEnv[Any, Any, Any]:
        mode = {} if sgs is None else {"sgs": sgs}
        return gymnasium.make_vec(
            env_id,
            num_envs=len(instances),
            vectorization_mode="vector_entry_point",
            instances=list(instances),
            autoreset_mode=AutoresetMode.DISABLED,
            copy=False,
            illegal_action="raise",
            **mode,
        )

    return make


def _roll_all(run: _Run, contender: Contender) -> list[Result]:
    """The best schedule of a contender on every instance."""
    results = [Result() for _ in run.cases]
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, case in enumerate(run.cases):
        shapes.setdefault(shape_of(case.instance), []).append(i)
    samples = contender.spec.samples
    total = len(run.cases) * len(contender.makers) * samples
    with Progress(contender.spec.text, total, "schedules", run.progress) as progress:
        for members in shapes.values():
            width = _warm_up(run, contender, members[0])
            for number, make in enumerate(contender.makers):
                for repeats, greedy in ((1, True), (samples - 1, False)):
                    slots = [i for i in members for _ in range(repeats)]
                    for start in range(0, len(slots), width):
                        chunk = slots[start : start + width]
                        seed = _derived_seed(run.seed, number, int(greedy), members[0], start)
                        _roll_chunk(run, contender, make, greedy, seed, chunk, results)
                        progress.advance(len(chunk))
    return results


def _roll_chunk(
    run: _Run,
    contender: Contender,
    make: MakePolicy,
    greedy: bool,
    seed: int,
    chunk: Sequence[int],
    results: list[Result],
) -> None:
    """Roll one batch, slot s holding instance chunk[s], and keep what improves on `results`."""
    env = run.make_env([run.cases[i].instance for i in chunk], contender.sgs)
    policy = make(_schema(env), greedy, seed)
    if isinstance(policy, PlanningPolicy):
        run.planners.add(contender.spec.text)
    began = time.perf_counter()
    objective, decisions = roll_out(env, policy, [run.cases[i].instance for i in chunk], run.seed)
    share = (time.perf_counter() - began) / len(chunk)
    for slot, i in enumerate(chunk):
        result = results[i]
        result.seconds += share
        if result.schedule is None or objective[slot] < result.claimed:
            result.schedule = env.unwrapped.schedule(slot)  # type: ignore[attr-defined]
            result.claimed = float(objective[slot])
            result.decisions = int(decisions[slot])
    env.close()


def roll_out(
    env: VectorEnv[Any, Any, Any], policy: Policy, instances: Sequence[Any], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Run one episode in every slot of a native batch whose autoreset is disabled.

    Returns:
        Objective (B,) and number of decisions (B,) of each episode; a truncated one has objective infinity.
    """
    observation, _ = env.reset(seed=seed)
    if isinstance(policy, PlanningPolicy):
        policy.begin(instances, np.arange(env.num_envs))
    ended = np.zeros(env.num_envs, np.bool_)
    objective = np.full(env.num_envs, np.inf)
    decisions = np.zeros(env.num_envs, np.int64)
    while not ended.all():
        decisions += ~ended
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        now = (terminated | truncated) & ~ended
        if now.any():
            finished = now & terminated
            objective[finished] = info["objective"][finished]
            ended |= now
    return objective, decisions


def _warm_up(run: _Run, contender: Contender, index: int) -> int:
    """Compile and load what a first step compiles and loads, outside the clock; returns how many slots fit."""
    env = run.make_env([run.cases[index].instance], contender.sgs)
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


def _load_solver(spec: PolicySpec, family: str) -> Solver:
    options = {key: value for key, value in spec.options if key not in ("time_limit", "time_limit_s")}
    limit = _time_limit(spec, TIME_LIMIT_S)
    if not limit > 0:
        raise PolicySpecError(f"policy {spec.text!r}: time limit {limit} s; expected more than 0")
    try:
        return solvers_of(family)[spec.name].load(**options)
    except (TypeError, ValueError) as error:
        raise PolicySpecError(f"policy {spec.text!r}: {error}") from error


def _time_limit(spec: PolicySpec, default: float) -> float:
    options = dict(spec.options)
    value = options.get("time_limit", options.get("time_limit_s", default))
    if not isinstance(value, int | float):
        raise PolicySpecError(f"policy {spec.text!r}: time limit {value!r}; expected seconds")
    return float(value)


def _solve_all(run: _Run, spec: PolicySpec, solver: Solver) -> list[Result]:
    results = []
    limit = _time_limit(spec, run.time_limit_s)
    with Progress(spec.text, len(run.cases), "instances", run.progress) as progress:
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
            progress.advance(1)
    return results


def _check(run: _Run, policy: str, case: Case, result: Result) -> _Checked:
    """Judge a schedule by the independent validator; what it refuses stays in the rows, marked invalid."""
    claimed = result.claimed if np.isfinite(result.claimed) else None
    if result.schedule is None:
        return _Checked(claimed, False)
    try:
        objective = float(run.family.validate(case.instance, result.schedule))
    except InvalidScheduleError as error:
        logger.warning("%s on %s: %s", policy, case.name, error)
        return _Checked(claimed, False)
    if claimed is None or abs(objective - claimed) > TOLERANCE:
        logger.warning("%s on %s claims %s; the validator says %s", policy, case.name, claimed, objective)
        return _Checked(objective, False)
    return _Checked(objective, True)


def _conclude(
    run: _Run,
    policies: tuple[PolicyInfo, ...],
    methods: Mapping[str, tuple[str, ...]],
    results: Mapping[str, list[Result]],
    meta: dict[str, Json],
) -> Evaluation:
    """Check all schedules, find each instance's reference and bound, and write the rows."""
    checked = {
        policy: [_check(run, policy, case, result) for case, result in zip(run.cases, outcomes, strict=True)]
        for policy, outcomes in results.items()
    }
    infos, bounds = [], []
    for i, case in enumerate(run.cases):
        attempts = [(results[policy][i], checked[policy][i]) for policy in results]
        bounds.append(_bound(case, attempts))
        infos.append(_reference(case, attempts, bounds[i]))
    rows = []
    for policy, outcomes in results.items():
        for i, case in enumerate(run.cases):
            verdict = checked[policy][i]
            rows.append(
                Row(
                    env=run.env_id,
                    policy=policy,
                    instance=case.name,
                    seed=case.seed,
                    objective=verdict.objective,
                    unit=run.family.unit,
                    best_known=None if case.best_known is None else float(case.best_known.upper),
                    gap_pct=_gap(verdict, infos[i].reference),
                    bound=bounds[i],
                    decisions=outcomes[i].decisions,
                    seconds=outcomes[i].seconds,
                    valid=verdict.valid,
                )
            )
    schedules = {
        (policy, case.name): result.schedule
        for policy, outcomes in results.items()
        for case, result in zip(run.cases, outcomes, strict=True)
        if result.schedule is not None
    }
    meta["sees_beyond_the_observation"] = sorted(run.planners)
    evaluation = Evaluation(tuple(rows), (), policies, tuple(infos), methods, meta, schedules)
    return evaluation.summarised()


def _bound(case: Case, attempts: Sequence[tuple[Result, _Checked]]) -> float | None:
    """The best lower bound; a valid schedule below it is a contradiction that is said aloud."""
    known = [case.lower_bound, *(result.bound for result, _ in attempts if result.bound is not None)]
    if case.best_known is not None:
        known.append(float(case.best_known.lower))
    known = [bound for bound in known if np.isfinite(bound)]
    bound = max(known, default=None)
    best = min((v.objective for _, v in attempts if v.valid and v.objective is not None), default=None)
    if bound is not None and best is not None and best < bound - TOLERANCE:
        logger.error("%s: a valid schedule of %s lies below the lower bound %s", case.name, best, bound)
    return bound


def _reference(case: Case, attempts: Sequence[tuple[Result, _Checked]], bound: float | None) -> InstanceInfo:
    if case.best_known is not None:
        return InstanceInfo(case.name, case.group, float(case.best_known.upper), "best known")
    proved = [v.objective for result, v in attempts if result.proved and v.valid and v.objective is not None]
    if proved:
        return InstanceInfo(case.name, case.group, min(proved), "proved in this run")
    if bound is not None:
        return InstanceInfo(case.name, case.group, bound, "lower bound")
    return InstanceInfo(case.name, case.group, None, "none")


def _gap(verdict: _Checked, reference: float | None) -> float | None:
    if not verdict.valid or verdict.objective is None or reference is None or reference <= 0:
        return None
    return 100.0 * (verdict.objective / reference - 1.0)


def _meta(
    run: _Run, drawn: bool, env_kwargs: Mapping[str, Any] | None, command: str | None
) -> dict[str, Json]:
    sources = {case.best_known.source for case in run.cases if case.best_known is not None}
    return {
        "env": run.env_id,
        "family": run.family.name,
        "objective": run.family.objective,
        "unit": run.family.unit,
        "instances_drawn": drawn,
        "env_kwargs": {key: _plain(value) for key, value in (env_kwargs or {}).items()},
        "seed": run.seed,
        "time_limit_s": run.time_limit_s,
        "rule_noise_sigma": NOISE,
        "bounds_source": sorted(sources),
        "command": command if command is not None else _command(),
        "versions": _versions(),
        "machine": {"cpu_count": os.cpu_count() or 0},
    }


def _plain(value: object) -> Json:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _versions() -> dict[str, Json]:
    versions: dict[str, Json] = {"python": platform.python_version()}
    for package in ("makespan", "numpy", "numba", "gymnasium", "torch", "ortools"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
