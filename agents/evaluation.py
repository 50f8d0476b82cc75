"""The paired runner: every policy on the same instances, every schedule checked, nothing left out.

Policies that act in environments are rolled in native batches, solvers work through the instances one by
one. Gaps are measured against the best reference there is, and every instance says which one that is.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np

from makespan.agents.contenders import NOISE, Contender, LoadPolicy, make_contender, parse_policies
from makespan.agents.results import Evaluation, InstanceInfo, Json, PolicyInfo, Row
from makespan.agents.trials import (
    TIME_LIMIT_S,
    Case,
    Result,
    Run,
    load_solver,
    roll_all,
    shape_of,
    solve_all,
    vector_env_maker,
)
from makespan.envs.core.errors import InvalidScheduleError, MakespanError
from makespan.envs.core.family import Family, smallest_set

logger = logging.getLogger(__name__)

TOLERANCE: Final = 1e-6  # objectives are sums of integers,
RELATIVE: Final = 1e-9  # or means and ratios of such sums


class EvaluationError(MakespanError, ValueError):
    """An evaluation that has nothing to do."""


@dataclass(frozen=True, slots=True)
class _Checked:
    objective: float | None
    valid: bool


def evaluate(
    family: Family,
    env_id: str,
    policies: Sequence[str],
    instances: Sequence[Any] | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
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
        options: Keywords of the environment that every policy acts in, beside its own mode or what it was trained with.
        time_limit_s: Seconds a solver may take for an instance, unless its options say otherwise.
        load_policy: Finds trained policies.
        progress: Show a progress bar; None shows it on a terminal only, and log lines elsewhere.
        command: Command line to record; None records the running one.

    Returns:
        Rows in the order of policies, then instances.

    Raises:
        UnknownNameError: A policy is not known.
        PolicySpecError: A policy string cannot be read, or a solver does not take its options.
        EvaluationError: There is nothing to evaluate.
    """
    specs, methods = parse_policies(policies, family.name)
    if not specs:
        raise EvaluationError("policies: none given; expected at least one")
    contenders = {
        spec.text: make_contender(spec, family, env_id, load_policy, options)
        for spec in specs
        if spec.kind != "solver"
    }
    solvers = {spec.text: load_solver(spec, family.name) for spec in specs if spec.kind == "solver"}
    drawn = instances is None
    if instances is None:
        instances = sample_instances(env_id, episodes, seed, **{**(options or {}), **(env_kwargs or {})})
    if not len(instances):
        raise EvaluationError("instances: none given; expected at least one")
    cases = _cases(family, instances, seed, drawn)
    run = Run(family, env_id, cases, seed, time_limit_s, vector_env_maker(env_id), progress)
    results: dict[str, list[Result]] = {}
    for spec in specs:
        if spec.kind == "solver":
            results[spec.text] = solve_all(run, spec, solvers[spec.text])
        elif spec.search is not None:
            from makespan.agents.guided import search_all  # loads torch

            results[spec.text] = search_all(run, contenders[spec.text])
        else:
            results[spec.text] = roll_all(run, contenders[spec.text])
    infos = tuple(PolicyInfo(s.text, s.kind, s.samples, _mode(family, contenders.get(s.text))) for s in specs)
    return _conclude(run, infos, methods, results, _meta(run, drawn, env_kwargs, options, command))


def sample_instances(
    env_id: str,
    episodes: int,
    seed: int,
    **env_kwargs: Any,
) -> list[Any]:
    """The instances that `reset(seed=seed + i)` draws, i < episodes."""
    env = gymnasium.make(env_id, disable_env_checker=True, **env_kwargs)
    drawn = []
    for i in range(episodes):
        env.reset(seed=seed + i)
        drawn.append(env.unwrapped.instance)  # type: ignore[attr-defined]
    env.close()
    return drawn


def _mode(family: Family, contender: Contender | None) -> str | None:
    """The mode a contender acts in, as far as anybody named one."""
    mode = None if contender is None or family.mode is None else contender.options.get(family.mode)
    return None if mode is None else str(mode)


def group_of(family: Family, instance: Any) -> str:
    """Name of an instance's group: the family's own, else its set, if any, and its sizes."""
    if family.group is not None:
        return family.group(instance)
    name = smallest_set(family.instance_sets, str(getattr(instance, "name", ""))) or ""
    return f"{name} {'x'.join(map(str, shape_of(instance)))}".strip()


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


def _check(run: Run, policy: str, case: Case, result: Result) -> _Checked:
    """Judge a schedule by the independent validator; what it refuses stays in the rows, marked invalid."""
    claimed = result.claimed if np.isfinite(result.claimed) else None
    if result.schedule is None:
        return _Checked(claimed, False)
    try:
        objective = float(run.family.validate(case.instance, result.schedule))
    except InvalidScheduleError as error:
        logger.warning("%s on %s: %s", policy, case.name, error)
        return _Checked(claimed, False)
    if claimed is None or not math.isclose(objective, claimed, rel_tol=RELATIVE, abs_tol=TOLERANCE):
        logger.warning("%s on %s claims %s; the validator says %s", policy, case.name, claimed, objective)
        return _Checked(objective, False)
    return _Checked(objective, True)


def _conclude(
    run: Run,
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
        bounds.append(_bound(run.family, case, attempts))
        infos.append(_reference(run.family, case, attempts, bounds[i]))
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
                    best_known=_best_known(run.family, case),
                    gap_pct=_gap(run.family, verdict, infos[i].reference),
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
    problems = {case.name: case.instance for case in run.cases}
    evaluation = Evaluation(
        tuple(rows), (), policies, tuple(infos), methods, meta, schedules, problems, run.family
    )
    return evaluation.summarised()


def _bound(family: Family, case: Case, attempts: Sequence[tuple[Result, _Checked]]) -> float | None:
    """The tightest bound on the optimum; a valid schedule beyond it is a contradiction that is said aloud."""
    known = [case.lower_bound, *(result.bound for result, _ in attempts if result.bound is not None)]
    if case.best_known is not None:
        known.append(float(case.best_known.upper if family.sense == "max" else case.best_known.lower))
    known = [bound for bound in known if np.isfinite(bound)]
    bound = min(known, default=None) if family.sense == "max" else max(known, default=None)
    best = _best(family, [v.objective for _, v in attempts if v.valid and v.objective is not None])
    if bound is not None and best is not None:
        beyond = best - bound if family.sense == "max" else bound - best
        if beyond > max(TOLERANCE, RELATIVE * abs(bound)):
            side = "above the upper" if family.sense == "max" else "below the lower"
            logger.error("%s: a valid schedule of %s lies %s bound %s", case.name, best, side, bound)
    return bound


def _best(family: Family, objectives: Sequence[float]) -> float | None:
    if not objectives:
        return None
    return max(objectives) if family.sense == "max" else min(objectives)


def _best_known(family: Family, case: Case) -> float | None:
    """The best published objective."""
    if case.best_known is None:
        return None
    return float(case.best_known.lower if family.sense == "max" else case.best_known.upper)


def _reference(
    family: Family, case: Case, attempts: Sequence[tuple[Result, _Checked]], bound: float | None
) -> InstanceInfo:
    def info(reference: float | None, kind: str) -> InstanceInfo:
        return InstanceInfo(case.name, case.group, reference, kind)

    if case.best_known is not None:
        return info(_best_known(family, case), "best known")
    valid = [(result, v.objective) for result, v in attempts if v.valid and v.objective is not None]
    proved = _best(family, [objective for result, objective in valid if result.proved])
    if proved is not None:
        return info(proved, "proved in this run")
    if bound is not None and bound > 0:
        return info(bound, "upper bound" if family.sense == "max" else "lower bound")
    best = _best(family, [objective for _, objective in valid])
    return info(best, "none" if best is None else "best of this run")


def _gap(family: Family, verdict: _Checked, reference: float | None) -> float | None:
    if not verdict.valid or verdict.objective is None or reference is None or reference <= 0:
        return None
    above = 100.0 * (verdict.objective / reference - 1.0)
    return -above if family.sense == "max" else above


def _meta(
    run: Run,
    drawn: bool,
    env_kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
    command: str | None,
) -> dict[str, Json]:
    sources = {case.best_known.source for case in run.cases if case.best_known is not None}
    return {
        "env": run.env_id,
        "family": run.family.name,
        "objective": run.family.objective,
        "sense": run.family.sense,
        "unit": run.family.unit,
        "instances_drawn": drawn,
        "env_kwargs": {key: _plain(value) for key, value in (env_kwargs or {}).items()},
        "env_options": {key: _plain(value) for key, value in (options or {}).items()},
        "seed": run.seed,
        "time_limit_s": run.time_limit_s,
        "rule_noise_sigma": NOISE,
        "bounds_source": sorted(sources),
        "command": command if command is not None else _command(),
        "commit": _commit(),
        "versions": _versions(),
        "machine": {"cpu_count": os.cpu_count() or 0},
    }


def _plain(value: object) -> Json:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _commit() -> str | None:
    """Commit of the checkout the package runs from, None elsewhere."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, Json]:
    versions: dict[str, Json] = {"python": platform.python_version()}
    for package in ("makespan", "numpy", "numba", "gymnasium", "torch", "ortools"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
