"""Local search from where a trained policy leaves off: its greedy schedule and some samples are the starts.

The network plays the starts and is not asked again. What follows is the family's own local search (`Family.climb`), compiled and
over exact objectives, so that thousands of schedules cost less than the samples did.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from makespan.agents.config import Options
from makespan.agents.inference import evaluating
from makespan.agents.network import ActorCritic
from makespan.agents.search import Best, SearchResult, num_slots, roll
from makespan.envs.registration import get_family


def climb(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    samples: int = 8,
    *,
    evaluations: int = 1000,
    temperature: float = 1.0,
    seed: int = 0,
) -> SearchResult:
    """A local search from the best of N schedules of a policy, instance by instance.

    Args:
        network: Plays the starts.
        env_id: Where it acts.
        options: Keywords of the environment.
        instances: Of any shapes.
        samples: Number N of starts: the greedy schedule and N - 1 samples.
        evaluations: Schedules that are tried, the starts included.
        temperature: Of the softmax that is sampled.
        seed: Of samples and search.

    Raises:
        ValueError: The family has no local search, or the numbers make no sense.
    """
    family = get_family(env_id)
    if family.climb is None:
        raise ValueError(f"search: climb; {family.name} has no local search that starts from episodes")
    if samples < 1 or evaluations < samples or not temperature > 0.0:
        raise ValueError(
            f"samples: {samples}, evaluations: {evaluations}, temperature: {temperature}; "
            "expected at least 1, at least as many, more than 0"
        )
    search = Best(family, len(instances), samples)
    generator = torch.Generator().manual_seed(seed)
    heat = torch.full((samples,), temperature)
    heat[0] = 0.0
    with evaluating(network):
        for i, instance in enumerate(instances):
            began, starts = time.perf_counter(), []
            width = num_slots(env_id, options, instance)
            for first in range(0, samples, width):
                part = np.arange(first, min(samples, first + width))
                owner = np.zeros_like(part)
                rollout = roll(
                    network, env_id, options, [instance], owner, heat[first : first + width], generator
                )
                search.keep(rollout, np.stack([owner + i, part], axis=1), 0.0)
                starts += [rollout.actions[:count, slot] for slot, count in enumerate(rollout.decisions)]
            schedule = family.climb(instance, options, starts, evaluations, seed)
            objective = family.validate(instance, schedule)
            if search.improves(i, objective):
                search.replace(i, schedule, objective, int(search.decisions[i]))
            search.seconds[i] = time.perf_counter() - began
    return search.result()
