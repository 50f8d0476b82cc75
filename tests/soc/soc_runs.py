"""Runs of rules and random decisions that several tests need."""

from __future__ import annotations

from typing import Any

from makespan.envs.core.policy import rule_policy
from makespan.envs.soc import rules as rules  # registers the rules
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator_base import SocSize
from makespan.envs.soc.instance import SocInstance


def engine_for(instance: SocInstance, **options: Any) -> SocEngine:
    """One slot with an instance, every PE and every ready task on offer."""
    wide: dict[str, Any] = {
        "max_live_jobs": 64,
        "max_ready": 64,
        "merge_twins": False,
        "skip_forced": False,
    }
    engine = SocEngine(1, SocSize.of(instance), **(wide | options))
    engine.load(0, instance)
    return engine


def play(instance: SocInstance, rule: str, **options: Any) -> SocEngine:
    """A whole run of a rule that never defers."""
    engine = engine_for(instance, defer=False, **options)
    policy = rule_policy("soc", rule, engine.schema)
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    return engine
