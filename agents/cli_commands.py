"""What the commands of `makespan.agents.cli` do; torch and OR-Tools are imported where they are used."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import gymnasium

from makespan.agents.cli import UsageError, echo
from makespan.agents.cli_lists import LISTINGS
from makespan.agents.cli_pictures import SUFFIXES, check_output, draw, family_pictures
from makespan.envs.core.errors import MakespanError, UnknownNameError
from makespan.envs.core.family import Family
from makespan.envs.core.policy import Solution, Solver, solvers_of
from makespan.envs.registration import get_family

if TYPE_CHECKING:
    from makespan.agents.config import TrainConfig
    from makespan.agents.contenders import PolicyFactory
    from makespan.agents.results import Evaluation

PROGRAM: Final = "makespan train"
DEFAULT_PRESET: Final = "jobshop_quickstart"


def train(args: argparse.Namespace) -> int:
    """Train an agent, or go on with a run."""
    from makespan.agents.run_folder import RunFolder

    config = _train_config(args)
    path = Path(args.run) if args.run else Path("runs") / f"{config.name}-seed{config.seed}"
    training = _module("makespan.agents.training", "training")
    with RunFolder.create(
        config, path.parent, path.name, resume=args.resume, tensorboard=not args.no_tensorboard
    ) as run:
        training.train(config, run)
    echo(f"run folder: {path}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Compare policies, print the tables and write what was asked for."""
    from makespan.agents import report

    family = get_family(args.env_id)
    instances = [instance for name in args.instances for instance in family.find_instances(name)]
    check_output(args.json)
    check_output(args.csv)
    env_kwargs, options = _env_kwargs(args, bool(instances)), _pairs("--option", args.option)
    policies = _with_samples(args.policies, args.samples, family)
    given = {"env_kwargs": env_kwargs, "options": options}
    result = _run(args, family, policies, instances or None, episodes=args.episodes, **given)
    if args.json:
        result.save_json(args.json)
    if args.csv:
        result.save_csv(args.csv)
    echo(report.summary_table(result))
    if len(result.groups) > 1:
        echo(f"\n{report.group_table(result)}")
    if any(info.kind == "learned" for info in result.policies):
        echo("\n" + "\n".join(report.verdicts(result)))
    if args.plots:
        echo(f"report: {report.write_report(args.plots, result)}")
    return 0 if all(row.valid for row in result.rows) else 1


def solve(args: argparse.Namespace) -> int:
    """Solve one instance, check the schedule and write it."""
    family = get_family(args.env_id)
    instance = _one_instance(family, args.instance)
    check_output(args.out, (".json", ".csv"))
    check_output(args.gantt, SUFFIXES)
    name = args.solver or next(iter(solvers_of(family.name)), "")
    solver = _solver(family, name, {} if args.workers is None else {"workers": args.workers})
    solution = solver.solve(instance, args.time_limit, args.seed)
    objective = family.validate(instance, solution.schedule)
    for line in _solution_lines(family, instance, solution, objective):
        echo(line)
    if args.out and args.out.endswith(".json"):
        solution.schedule.to_json(args.out)
    elif args.out:
        solution.schedule.to_csv(args.out)
    if args.gantt:
        title = f"{instance.name}: {name}, {family.objective} {_text(objective)} {family.unit}"
        draw(solution.schedule, args.gantt, title=title, reference=_makespan_reference(family, instance))
    return 0 if _same(objective, solution.objective) else 1


def render(args: argparse.Namespace) -> int:
    """Run a policy on one instance and draw its schedule."""
    family = get_family(args.env_id)
    check_output(args.out, SUFFIXES)
    instances = [_one_instance(family, args.instance)] if args.instance else None
    env_kwargs, options = _env_kwargs(args, instances is not None), _pairs("--option", args.option)
    result = _run(args, family, [args.policy], instances, episodes=1, env_kwargs=env_kwargs, options=options)
    row = result.rows[0]
    title = f"{row.instance}: {row.policy}, {family.objective} {_text(row.objective)} {family.unit}"
    instance = result.problems[row.instance]
    page, picture = family_pictures(family, args.picture)
    draw(
        result.schedules[row.policy, row.instance],
        args.out,
        title=title,
        reference=_makespan_reference(family, instance),
        instance=instance,
        page=page,
        picture=picture,
    )
    if args.out != "-":
        echo(title)
    return 0 if row.valid else 1


def bench(args: argparse.Namespace) -> int:
    """Hand over to the family's benchmark, options and all."""
    module = _module("makespan.agents.bench", "the benchmark")
    out = [] if args.out is None else ["--out", args.out]
    status: int | None = module.main([args.family, *out, *args.rest])
    return status or 0


def show_list(args: argparse.Namespace) -> int:
    """List what the suite knows."""
    names = [args.what] if args.what else list(LISTINGS)
    for name in names:
        rows = list(LISTINGS[name](args.what is not None))
        indent = "  " if len(names) > 1 else ""
        if indent:
            echo(f"{name}:")
        width = max((len(title) for title, _ in rows), default=0)
        for title, text in rows:
            echo(f"{indent}{title:{width}}  {text}".rstrip())
    return 0


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "train": train,
    "evaluate": evaluate,
    "solve": solve,
    "render": render,
    "bench": bench,
    "list": show_list,
}


def _train_config(args: argparse.Namespace) -> TrainConfig:
    """The preset (or, resuming, the config in the run folder) with the command line's overrides."""
    from makespan.agents.config import apply_overrides, load_preset
    from makespan.agents.run_folder import RunFolder

    if args.resume and args.run and not args.config:
        config = RunFolder.open(args.run).config
    else:
        config = load_preset(args.config or DEFAULT_PRESET)
    if args.help:
        echo(args.parser.format_help())
    return apply_overrides(config, [*args.rest, *(["--help"] if args.help else [])], PROGRAM)


def _module(name: str, what: str) -> ModuleType:
    """A module of the suite; a clear error if it, or a package it needs, is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise MakespanError(f"{what} needs the package {error.name!r}, which is not installed") from error
        raise MakespanError(f"{what} is not part of this installation: {name} is missing") from error


def _run(
    args: argparse.Namespace,
    family: Family,
    policies: Sequence[str],
    instances: Sequence[Any] | None,
    *,
    episodes: int,
    env_kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Evaluation:
    """The paired evaluation, with what the commands that use it have in common."""
    from makespan.agents.evaluation import evaluate as run

    time_limit = {} if args.time_limit is None else {"time_limit_s": args.time_limit}
    return run(
        family,
        args.env_id,
        policies,
        instances,
        episodes=episodes,
        seed=args.seed,
        env_kwargs=env_kwargs,
        options=options,
        load_policy=_load_policy,
        **time_limit,
    )


def _load_policy(name: str, env_id: str) -> PolicyFactory:
    """A trained policy; torch is imported here."""
    factory: PolicyFactory = _module("makespan.agents.policy", "a trained policy").load_policy(name, env_id)
    return factory


def _with_samples(policies: Sequence[str], samples: Sequence[int], family: Family) -> list[str]:
    """The policies, then the best of N of each that can be sampled and names no N itself."""
    from makespan.agents.contenders import parse_policies

    specs, _ = parse_policies(policies, family.name)
    one = [spec.text for spec in specs if spec.kind in ("rule", "learned") and spec.samples == 1]
    return [*policies, *(f"{text}*{n}" for n in samples if n > 1 for text in one)]


def _env_kwargs(args: argparse.Namespace, named: bool) -> dict[str, Any]:
    """Keywords of the generator."""
    keywords = _pairs("--set", args.set)
    if args.generator is not None:
        keywords = {"generator": args.generator, **keywords}
    if keywords and named:
        raise UsageError(
            f"{', '.join(keywords)}: given together with named instances; expected one of the two"
        )
    if keywords:
        try:
            gymnasium.make(args.env_id, disable_env_checker=True, **keywords).close()
        except (TypeError, ValueError) as error:
            if isinstance(error, MakespanError):
                raise
            # Gymnasium appends the whole call to the message
            raise UsageError(f"generator: {str(error).partition(' was raised from')[0]}") from error
    return keywords


def _pairs(option: str, words: Sequence[str]) -> dict[str, Any]:
    """`name=value` words as keywords, values read as YAML."""
    from makespan.agents.yaml_text import read_value

    pairs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        key = name.replace("-", "_")
        if not equals or not key.isidentifier():
            raise UsageError(f"{option} {word}: expected name=value")
        pairs[key] = read_value([value])
    return pairs


def _one_instance(family: Family, name: str) -> Any:  # families have their own types
    found = family.find_instances(name)
    if len(found) != 1:
        few = ", ".join(instance.name for instance in found[:3])
        raise UsageError(f"{name!r} names {len(found)} instances ({few} ...); expected one")
    return found[0]


def _solver(family: Family, name: str, options: Mapping[str, int]) -> Solver:
    known = solvers_of(family.name)
    if name not in known:
        raise UnknownNameError(f"{family.name} solver", name, known)
    try:
        return known[name].load(**options)
    except TypeError as error:
        raise UsageError(f"the solver {name} takes no option {', '.join(options)}") from error


def _solution_lines(
    family: Family,
    instance: Any,
    solution: Solution,
    objective: float,
) -> list[str]:
    """What the solver found, in the validator's numbers."""
    bounds = [float(family.lower_bound(instance))]
    bounds += [] if solution.bound is None else [float(solution.bound)]
    maximises = family.sense == "max"
    bound = min(bounds) if maximises else max(bounds)
    lines = [
        f"instance  {instance.name}",
        f"{family.objective:<9} {_text(objective)} {family.unit} (validated)",
        f"bound     {_text(bound)}",
        f"status    {solution.status}",
    ]
    best = family.best_known(instance)
    if best is not None:
        value, limit = (best.lower, best.upper) if maximises else (best.upper, best.lower)
        side = "upper" if maximises else "lower"
        kind = "the optimum" if best.proved else f"best known, {side} bound {_text(limit)}"
        gap = _gap(family, objective, value)
        lines.append(f"gap       {gap:.2f} % to {_text(value)} ({kind}; {best.source})")
    elif 0 < bound < math.inf:
        lines.append(f"gap       {_gap(family, objective, bound):.2f} % to the bound")
    if not _same(objective, solution.objective):
        lines.append(f"MISMATCH  the solver claims {_text(solution.objective)}")
    return lines


def _gap(family: Family, objective: float, reference: float) -> float:
    """How far an objective is from a reference, in percent of it; negative where it is better."""
    above = 100.0 * (objective / reference - 1.0)
    return -above if family.sense == "max" else above


def _same(objective: float, claimed: float) -> bool:
    """Equal but for rounding: objectives are sums of integers, or means of such sums."""
    return math.isclose(objective, claimed, rel_tol=1e-9, abs_tol=1e-6)


def _makespan_reference(family: Family, instance: Any) -> float | None:
    """The best known makespan, which a Gantt chart can show; None where the objective is another."""
    best = family.best_known(instance) if family.objective == "makespan" else None
    return None if best is None else float(best.upper)


def _text(number: float | None) -> str:
    return "?" if number is None else f"{number:.10g}"
