"""The shipped checker notices what is broken: each fault below is one it must name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import makespan  # noqa: F401
from makespan.envs.jobshop.env import JobShopEnv
from makespan.envs.jobshop.validator import validate
from makespan.envs.testing import check_scheduling_env


class LiveBuffers(JobShopEnv):
    """Hands out its own arrays."""

    def _observe(self) -> dict[str, Any]:
        return dict(self._slot)


class OtherMask(JobShopEnv):
    """Tells another mask in info."""

    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        return observation, {**info, "action_mask": 1 - info["action_mask"]}


class BrokenReward(JobShopEnv):
    """Pays a little too much."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + 1e-3, *rest


class Unseeded(JobShopEnv):
    """Forgets its seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=int(np.random.default_rng().integers(2**30)), options=options)


class OutOfSpace(JobShopEnv):
    """Shows a feature far outside its bounds."""

    def _observe(self) -> dict[str, Any]:
        observation = super()._observe()
        observation["operation_x"][0, 0] = 5.0
        return observation


class Amnesiac(JobShopEnv):
    """Restores nothing."""

    def restore(self, token: Any) -> Any:
        return self._observe()


class SilentIllegal(JobShopEnv):
    """Does not report illegal actions."""

    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, {**info, "invalid_action": False}


def too_small(instance: Any, schedule: Any) -> float:
    """A validator of another opinion."""
    return validate(instance, schedule) - 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (LiveBuffers, "wrote into an observation"),
        (OtherMask, "masks in observation and info differ"),
        (BrokenReward, "return"),
        (Unseeded, "two trajectories|steps, then"),
        (OutOfSpace, "operation_x outside its space"),
        (Amnesiac, "restore"),
        (SilentIllegal, "not reported"),
    ],
)
def test_faults_are_named(build: Callable[[], JobShopEnv], message: str) -> None:
    """A faulty environment fails with a message that says which promise is broken."""
    with pytest.raises(AssertionError, match=message):
        check_scheduling_env(build(), validate=validate)


def test_validator_decides() -> None:
    """The objective that counts is the validator's."""
    with pytest.raises(AssertionError, match="the validator finds"):
        check_scheduling_env(JobShopEnv(), validate=too_small)


def test_sound_env_passes_bare() -> None:
    """Without Gymnasium's wrappers and spec the checker needs the validator, and then passes."""
    check_scheduling_env(JobShopEnv(), validate=validate)
    with pytest.raises(AssertionError, match="pass `validate`"):
        check_scheduling_env(JobShopEnv())
