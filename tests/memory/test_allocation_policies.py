"""The policy that looks at the bound: what it does by definition, and that looking pays."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from plain_allocation import PlainMemory, full_problem

import makespan  # noqa: F401
from makespan.agents.evaluation import evaluate
from makespan.envs.memory.allocation_family import ALLOCATION
from makespan.envs.memory.allocation_generator import FixedProblems, make_generator
from makespan.envs.memory.allocation_policies import LeastRisePolicy

ENV_ID = "makespan/MemoryAllocation-v0"


def test_least_rise_by_definition() -> None:
    """Every choice has the least outlook of the plain memory, then the lowest spot, then the largest area."""
    rng = np.random.default_rng(0)
    problems = [full_problem(rng) for _ in range(4)]
    env = gymnasium.make(ENV_ID, generator=FixedProblems(problems), canonical=True).unwrapped
    policy = LeastRisePolicy(env.schema)
    for problem in problems:
        plain = PlainMemory(problem, "canonical")
        observation, _ = env.reset(seed=0, options={"instance": problem})
        terminated = False
        while not terminated:
            keys = {
                i: (
                    round(plain.skyline(i)[2], 4),
                    plain.spot(i),
                    -int(problem.size[i] * (problem.upper[i] - problem.lower[i])),
                    i,
                )
                for i in plain.allowed()
            }
            action = int(policy.act({key: array[None] for key, array in observation.items()})[0])
            assert action == min(keys, key=keys.__getitem__)
            plain.place(action)
            observation, _, terminated, _, _ = env.step(action)


def test_least_rise_is_ahead_of_the_lowest_offset() -> None:
    """On perfect packings, in its own order whatever the others do; with noise, the best of a few is better."""
    generator = make_generator("guillotine", num_buffers=30, horizon=24, units=256)
    problems = [generator.sample(np.random.default_rng(seed)) for seed in range(8)]
    policies = ("least_rise", "least_rise[noise=1.0]*8", "lowest_offset")
    rows = evaluate(ALLOCATION, ENV_ID, policies, problems, progress=False).rows
    assert all(row.valid for row in rows)
    mean = {name: np.mean([row.objective for row in rows if row.policy == name]) for name in policies}
    assert mean["least_rise[noise=1.0]*8"] < mean["least_rise"] < mean["lowest_offset"]


def test_noise_is_checked() -> None:
    """A spread below zero means nothing."""
    env = gymnasium.make(ENV_ID, instance="toy", canonical=True).unwrapped
    with pytest.raises(ValueError, match="noise"):
        LeastRisePolicy(env.schema, noise=-1.0)
