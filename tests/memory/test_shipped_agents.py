"""The agents that ship are as good as the docs say, on instances that are quickly played."""

from __future__ import annotations

import numpy as np
import pytest

from makespan.agents.evaluation import evaluate
from makespan.agents.policy import load_policy
from makespan.envs.registration import get_family

pytestmark = pytest.mark.slow

MAPPING = "makespan/MemoryMapping-v0"
ALLOCATION = "makespan/MemoryAllocation-v0"
HELD_OUT = ("decoder_inference_b1@8", "denoiser_inference_b8@8")


def objectives(env_id: str, policies: tuple[str, ...], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """(instances,) what each policy reaches, accepted by the validator."""
    family = get_family(env_id)
    instances = [one for name in names for one in family.find_instances(name)]
    result = evaluate(family, env_id, policies, instances, load_policy=load_policy, progress=False)
    assert all(row.valid for row in result.rows)
    return {
        policy: np.array([row.objective for row in result.rows if row.policy == policy])
        for policy in policies
    }


def test_mapping_agent_with_a_climb_beats_the_portfolio() -> None:
    """On held-out programs: the climb from its samples is ahead of the best of all orders."""
    climb = "pretrained[search=climb,samples=8,evaluations=1000]"
    found = objectives(MAPPING, (climb, "pretrained", "portfolio"), HELD_OUT)
    assert (found[climb] <= found["pretrained"]).all()
    assert np.log(found["portfolio"] / found[climb]).mean() > 0.01


def test_allocation_agent_beats_every_rule() -> None:
    """On perfect packings that it has not seen: lower peaks in the mean than the best rule, and samples are better still."""
    found = objectives(
        ALLOCATION, ("pretrained", "pretrained*16", "lowest_offset", "greedy_by_size"), ("guillotine50",)
    )
    mean = {policy: peaks.mean() for policy, peaks in found.items()}
    assert mean["pretrained*16"] < mean["pretrained"] < min(mean["lowest_offset"], mean["greedy_by_size"])
