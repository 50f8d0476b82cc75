"""Labelled tiny shops for the tests of imitation, solved in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from makespan.agents.config import NetworkConfig
from makespan.agents.demonstrations import make_batch
from makespan.agents.labels import Labels
from makespan.agents.network import ActorCritic
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.completion import complete
from makespan.envs.jobshop.generator import make_generator
from makespan.envs.jobshop.instance import ShopInstance

JOBSHOP_ID = "makespan/JobShop-v0"
FLEXIBLE_ID = "makespan/FlexibleJobShop-v0"


def shops(
    count: int, num_jobs: int = 3, num_machines: int = 3, generator: str = "uniform"
) -> list[ShopInstance]:
    """`count` shops, always the same."""
    source = make_generator(generator, num_jobs=num_jobs, num_machines=num_machines)
    return [source.sample(np.random.default_rng((5, i))) for i in range(count)]


def solved(instances: list[ShopInstance]) -> Labels:
    """The shops with optimal schedules."""
    return Labels(instances, [complete(shop, Schedule.empty(), 10.0, 0) for shop in instances])


def tiny_network(env_id: str = JOBSHOP_ID, seed: int = 0, sgs: str = "active", **config: Any) -> ActorCritic:
    """A network of a few thousand weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # more are slower on networks as small as this
    schema = make_batch(env_id, {"sgs": sgs}, shops(1)).schema
    return ActorCritic(schema, replace(NetworkConfig(width=16, head_width=16, depth=1, rounds=1), **config))
