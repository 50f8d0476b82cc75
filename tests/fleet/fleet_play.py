"""Whole days played by a rule or at random, for the fleet's tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from makespan.envs.core.policy import PlanningPolicy, Policy, rule_policy
from makespan.envs.fleet.gymnasium_env import UAMFleetVectorEnv
from makespan.envs.fleet.instance import FleetDay


def play(days: Sequence[FleetDay], policy: str | Policy, seed: int = 0) -> UAMFleetVectorEnv:
    """The vector environment at the end of these days."""
    envs = UAMFleetVectorEnv(len(days), instances=days, autoreset_mode="Disabled", copy=False)
    observation, _ = envs.reset(seed=seed)
    who = rule_policy("fleet", policy, envs.schema, seed=seed) if isinstance(policy, str) else policy
    if isinstance(who, PlanningPolicy):
        who.begin(days, np.arange(len(days)))
    done = np.zeros(len(days), bool)
    while not done.all():
        observation, _, done, _, _ = envs.step(who.act(observation))
    return envs
