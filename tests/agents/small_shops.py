"""Small shops and networks that the learners' tests share."""

import gymnasium
import numpy as np
import torch

import makespan  # noqa: F401  (registers the environments)
from makespan.agents.config import NetworkConfig
from makespan.agents.network import ActorCritic
from makespan.envs.jobshop.generator import make_generator

torch.set_num_threads(1)  # as the trainers do: two threads on busy cores wait for each other

ENV_ID = "makespan/JobShop-v0"
SHOP = {"generator": "uniform", "num_jobs": 4, "num_machines": 3, "sgs": "active"}
SMALL = {"width": 16, "depth": 2, "rounds": 1, "head_width": 16}


def shops(count, num_jobs=4, num_machines=3, seed=0):
    """Distinct uniform shops."""
    generator = make_generator("uniform", num_jobs=num_jobs, num_machines=num_machines)
    return [generator.sample(np.random.default_rng((seed, i))) for i in range(count)]


def small_network(seed=0, **config):
    """A small network for job shops of any size."""
    env = gymnasium.make(ENV_ID, **SHOP)
    torch.manual_seed(seed)
    return ActorCritic(env.unwrapped.schema, NetworkConfig(**{**SMALL, **config})).eval()
