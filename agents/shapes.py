"""Shapes of a config as generators of a family, and a config held against the family it names before hours are spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium

from makespan.agents.config import EnvConfig, ShapeConfig, TrainConfig
from makespan.agents.contenders import PolicySpec, parse_policies, parse_policy
from makespan.agents.typed_config import ConfigError
from makespan.envs.core.env import Generator
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.family import Family
from makespan.envs.core.graph import GraphSchema

TEACHERS = ("solver", "rule", "policy", "random")


def make_generator(family: Family, shape: ShapeConfig) -> Generator:
    """The generator of a shape; raises `ConfigError` where the family has none of that name or with such parameters."""
    try:
        return family.make_generator(shape.generator, **shape.parameters)
    except (TypeError, ValueError, KeyError) as error:  # unknown names are KeyErrors
        raise ConfigError(f"{shape.name}: {error}") from error


def teacher_of(family: Family, shape: ShapeConfig) -> PolicySpec:
    """Who is imitated on a shape; raises `ConfigError` unless it is a solver, a rule or a registered policy."""
    expected = f"a solver, rule or registered policy of the family {family.name}"
    if not shape.teacher:
        raise ConfigError(f"{shape.name}: teacher is empty; expected {expected}")
    try:
        spec = parse_policy(shape.teacher, family.name)
    except MakespanError as error:
        raise ConfigError(f"{shape.name}: teacher: {error}") from error
    if spec.kind not in TEACHERS or spec.samples > 1:
        raise ConfigError(f"{shape.name}: teacher {shape.teacher!r}; expected {expected}")
    return spec


def schema_of(env: EnvConfig) -> GraphSchema:
    """The decision graph of an environment; raises `ConfigError` where it does not take the options."""
    keywords: dict[str, Any] = dict(env.options)
    try:
        made = gymnasium.make(env.id, disable_env_checker=True, **keywords)
    except (TypeError, ValueError, KeyError) as error:
        reason = str(error).partition(" was raised from")[
            0
        ]  # Gymnasium appends the whole call to the message
        raise ConfigError(f"env.options: {reason}") from error
    schema: GraphSchema = made.unwrapped.schema  # type: ignore[attr-defined]
    made.close()
    return schema


def check_config(config: TrainConfig, family: Family) -> None:
    """Refuse a config whose shapes, teachers or contenders the family does not have.

    Raises:
        ConfigError: The message names the dotted key.
        MakespanError: A contender or instance is not known.
    """
    for path, shapes in _shapes(config):
        for number, shape in enumerate(shapes):
            try:
                make_generator(family, shape)
                if path.startswith("imitation."):
                    teacher_of(family, shape)
            except ConfigError as error:
                raise ConfigError(f"{path}.{number}: {error}") from error
    parse_policies((*config.evaluation.rules, *config.evaluation.solvers), family.name)
    for name in config.evaluation.instances:
        family.find_instances(name)


def _shapes(config: TrainConfig) -> Iterator[tuple[str, Sequence[ShapeConfig]]]:
    if config.imitation.enabled:
        yield "imitation.shapes", config.imitation.shapes
        yield "imitation.dagger_shapes", config.imitation.dagger_shapes
    yield "self_labelling.shapes", config.self_labelling.shapes
    yield "ppo.shapes", config.ppo.shapes
    yield "evaluation.shapes", config.evaluation.shapes


def without_mode(family: Family, options: dict[str, Any]) -> dict[str, Any]:
    """An environment's options but for its mode, which every contender chooses for itself."""
    return {key: value for key, value in options.items() if key != family.mode}
