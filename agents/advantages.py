"""Advantages of whole episodes: discounts by decision or by time, and what they are measured against.

Time that runs between decisions discounts by gamma per unit of it (a semi-Markov decision process); steps of no
length then leave the future as it is. The baseline is a critic (generalised advantage estimation, Schulman et al.,
2016) or the other episodes on the same instance: an input-dependent baseline (Mao et al., ICLR 2019), which takes the luck
of the arrivals out of the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from makespan.agents.config import PPOConfig
from makespan.agents.rollouts import Experience
from makespan.agents.typed_config import ConfigError

Floats = NDArray[np.float64]
_SMALLEST: Final = 1e-8


class RewardScale:
    """What rewards are divided by: a constant, or the running standard deviation of discounted returns.

    Args:
        constant: Positive, or 0 for the running standard deviation.
    """

    def __init__(self, constant: float) -> None:
        self.constant = constant
        self.count, self.mean, self.square = 0, 0.0, 0.0  # of all returns so far: Chan et al. (1983)

    def __call__(self, returns: Floats) -> float:
        """The divisor, after these discounted returns to go (S,) have been counted."""
        if self.constant > 0.0:
            return self.constant
        count, mean = len(returns), float(returns.mean())
        total = self.count + count
        shift = mean - self.mean
        self.square += float(((returns - mean) ** 2).sum()) + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total
        return max(float(np.sqrt(self.square / total)), _SMALLEST)

    def state(self) -> dict[str, float]:
        """Numbers from which `restore` goes on."""
        return {"count": self.count, "mean": self.mean, "square": self.square}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.count, self.mean, self.square = int(state["count"]), float(state["mean"]), float(state["square"])


def discounts(experience: Experience, config: PPOConfig) -> Floats:
    """What each decision's future counts for (S,).

    Raises:
        ConfigError: The discount is by time, and the environment tells none.
    """
    if config.discount == "decision":
        return np.full(len(experience.reward), config.gamma)
    if experience.elapsed is None:
        raise ConfigError("ppo.discount: time; expected decision, as the environment tells no elapsed time")
    return np.power(config.gamma, experience.elapsed)


def advantages(
    experience: Experience, config: PPOConfig, scale: RewardScale, episodes_per_instance: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Advantages (S,) and what the critic should have estimated (S,), both of scaled rewards.

    Args:
        experience: Whole episodes; those of one instance follow each other.
        config: Discount, lambda and baseline.
        scale: Of the rewards; it counts these.
        episodes_per_instance: How many those are.
    """
    gamma = discounts(experience, config)
    slot, size = experience.decisions.instance, len(experience.objectives)
    raw = _to_go(experience.reward, gamma, slot, np.zeros(size))
    reward = experience.reward / scale(raw)
    value = experience.value.astype(np.float64)
    gain = _generalised(reward, value, gamma, config.gae_lambda, slot, experience.bootstrap)
    targets = gain + value
    if config.baseline == "instance":
        to_go = _to_go(reward, gamma, slot, experience.bootstrap)
        gain = to_go - _others(experience, to_go, episodes_per_instance)
    if config.scale_by_instance:
        gain = _scaled(gain, slot // episodes_per_instance)
    return gain.astype(np.float32), targets.astype(np.float32)


def _steps(slot: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The decisions that are the last of their episodes, those before them, and so on."""
    order = np.argsort(slot, kind="stable")
    count = np.bincount(slot)
    left = np.repeat(np.cumsum(count), count) - np.arange(len(slot)) - 1  # decisions to come in the episode
    by_left = order[np.argsort(left, kind="stable")]
    return np.split(by_left, np.cumsum(np.bincount(left))[:-1])


def _to_go(reward: Floats, gamma: Floats, slot: NDArray[np.int64], beyond: Floats) -> Floats:
    """Discounted returns from each decision on (S,); `beyond` (E,) lies behind the end."""
    later, to_go = beyond.copy(), np.zeros(len(reward))
    for rows in _steps(slot):
        later[slot[rows]] = to_go[rows] = reward[rows] + gamma[rows] * later[slot[rows]]
    return to_go


def _generalised(
    reward: Floats, value: Floats, gamma: Floats, decay: float, slot: NDArray[np.int64], beyond: Floats
) -> Floats:
    """Generalised advantage estimates (S,)."""
    next_value, next_gain, gain = beyond.copy(), np.zeros(len(beyond)), np.zeros(len(reward))
    for rows in _steps(slot):
        own = slot[rows]
        delta = reward[rows] + gamma[rows] * next_value[own] - value[rows]
        gain[rows] = next_gain[own] = delta + gamma[rows] * decay * next_gain[own]
        next_value[own] = value[rows]
    return gain


def _scaled(gain: Floats, instance: NDArray[np.int64]) -> Floats:
    """Advantages divided by their root mean square on each instance (S,)."""
    mean_square = np.bincount(instance, gain**2) / np.maximum(np.bincount(instance), 1)
    return gain / np.maximum(np.sqrt(mean_square), _SMALLEST)[instance]


def _others(experience: Experience, to_go: Floats, group: int) -> Floats:
    """Mean return to go of the other episodes on the same instance at the same time (S,), linear in between.

    Time is what has elapsed, or the number of decisions where the environment tells none.
    """
    slot = experience.decisions.instance
    elapsed = np.ones(len(slot)) if experience.elapsed is None else experience.elapsed
    rows = [np.flatnonzero(slot == episode) for episode in range(len(experience.objectives))]
    times, values = [], []
    for episode, own in enumerate(rows):
        times.append(np.concatenate([[0.0], np.cumsum(elapsed[own])]))
        values.append(np.append(to_go[own], experience.bootstrap[episode]))
    baseline = np.zeros(len(slot))
    for episode, own in enumerate(rows):
        first = episode - episode % group
        others = [other for other in range(first, first + group) if other != episode]
        at = times[episode][:-1]
        baseline[own] = np.mean([np.interp(at, times[j], values[j]) for j in others], axis=0)
    return baseline
