"""Every id under every scheme passes Gymnasium's, Stable-Baselines3's and the suite's own checker."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.env import NOOP_PATIENCE, SchedulingEnv
from makespan.envs.core.errors import IllegalActionError
from makespan.envs.registration import env_ids
from makespan.envs.testing import check_scheduling_env

SHOPS = ("makespan/JobShop-v0", "makespan/FlexibleJobShop-v0")
SCHEMES = ("active", "non_delay_wait", "append")
VARIANTS: list[tuple[str, dict[str, str]]] = [
    *((env_id, {}) for env_id in env_ids()),
    *((env_id, {"sgs": sgs}) for env_id in SHOPS for sgs in SCHEMES),
]

EXPECTED_WARNINGS = (
    # a feature matrix is two-dimensional and no image; SB3's MultiInputPolicy flattens it, ours reads it as it is
    "observation .* unconventional shape",
)


def no_surprise(check: Callable[[], object]) -> None:
    """Run a checker; a warning that `EXPECTED_WARNINGS` does not explain is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=f"(?s).*{message}")
        check()


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_gymnasium_checker(env_id: str, options: dict[str, str]) -> None:
    """`check_env` finds nothing, the render modes included."""
    env = gymnasium.make(env_id, **options)
    no_surprise(lambda: check_env(env.unwrapped))


@pytest.mark.parametrize(("env_id", "options"), VARIANTS)
def test_stable_baselines3_checker(env_id: str, options: dict[str, str]) -> None:
    """Stable-Baselines3 accepts the spaces, the dtypes and the API."""
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(env_id, **options)
    no_surprise(lambda: checker.check_env(env.unwrapped, warn=True, skip_render_check=False))


@pytest.mark.parametrize("illegal_action", ["raise", "noop", "random"])
@pytest.mark.parametrize(("env_id", "options"), [one for one in VARIANTS if one[0] in SHOPS])
def test_own_checker(env_id: str, options: dict[str, str], illegal_action: str) -> None:
    """Masks, return, schedule, seeds, clones, copies and illegal actions are what the suite promises."""
    check_scheduling_env(gymnasium.make(env_id, **options, illegal_action=illegal_action))


@pytest.mark.parametrize("skip_forced", [True, False])
def test_own_checker_on_mixed_sizes(skip_forced: bool) -> None:
    """Shops smaller than the spaces, with release dates, keep every promise too."""
    env = gymnasium.make(
        "makespan/JobShop-v0",
        num_jobs=6,
        num_machines=5,
        min_jobs=2,
        min_machines=2,
        release_factor=0.5,
        skip_forced=skip_forced,
    )
    check_scheduling_env(env, episodes=6)


def make(**options: object) -> SchedulingEnv:
    """A bare 6 x 6 job shop."""
    env = gymnasium.make("makespan/JobShop-v0", **options).unwrapped
    assert isinstance(env, SchedulingEnv)
    return env


def test_step_needs_a_reset() -> None:
    """Stepping before a reset or after the end is an error, not a silent restart."""
    env = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    while not env.step(int(env.action_masks().argmax()))[2]:
        pass
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_raise_names_the_allowed_actions() -> None:
    """The error of a refused action says what would have been allowed, and the episode goes on."""
    env = make(illegal_action="raise", sgs="active")
    env.reset(seed=0)
    allowed = np.flatnonzero(env.action_masks())
    illegal = int(np.flatnonzero(~env.action_masks())[0])
    with pytest.raises(IllegalActionError, match=f"action {illegal} .*{allowed.tolist()[0]}"):
        env.step(illegal)
    for outside in (-1, env.action_space.n):
        with pytest.raises(IllegalActionError):
            env.step(outside)
    assert not env.step(int(allowed[0]))[4]["invalid_action"]


def test_noop_cuts_the_episode() -> None:
    """Ten no-ops an operation, and the episode is truncated; a legal action in between does not hurt."""
    env = make(illegal_action="noop", sgs="active")
    env.reset(seed=0)
    env.step(int(env.action_masks().argmax()))
    illegal = int(np.flatnonzero(~env.action_masks())[0])
    results = [env.step(illegal) for _ in range(NOOP_PATIENCE * 36)]
    assert [truncated for _, _, _, truncated, _ in results].index(True) == NOOP_PATIENCE * 36 - 1
    assert all(reward == 0.0 for _, reward, *_ in results)


def test_random_replacement_is_seeded_and_apart() -> None:
    """Illegal actions are replaced reproducibly, and do not move the stream that draws the instances."""
    ends, next_instances = [], []
    for illegal in (True, True, False):
        env = make(illegal_action="random")
        env.reset(seed=3)
        terminated = False
        while not terminated:
            action = env.action_space.n if illegal else int(env.action_masks().argmax())
            _, _, terminated, _, info = env.step(action)
            assert info["invalid_action"] is illegal
        ends.append(env.objective)
        env.reset()
        next_instances.append(env.instance)
    assert ends[0] == ends[1]
    assert next_instances[0] == next_instances[1] == next_instances[2]


def test_observations_survive_writing() -> None:
    """Scribbling over an observation changes nothing but the observation."""
    env, twin = make(), make()
    observation, _ = env.reset(seed=1)
    twin.reset(seed=1)
    terminated = False
    while not terminated:
        for array in observation.values():
            array[...] = 1
        action = int(twin.action_masks().argmax())
        observation, _, terminated, _, _ = env.step(action)
        other, *_ = twin.step(action)
        assert all(np.array_equal(observation[key], other[key]) for key in other)


def test_live_observations() -> None:
    """`copy=False` shows the same episode in buffers that later steps write to, as trainers on their own want it."""
    copied = gymnasium.make("makespan/JobShop-v0", instance="ft06", disable_env_checker=True)
    live = gymnasium.make("makespan/JobShop-v0", instance="ft06", copy=False, disable_env_checker=True)
    expected, _ = copied.reset(seed=0)
    first, _ = live.reset(seed=0)
    terminated = False
    while not terminated:
        action = int(np.flatnonzero(expected["action_mask"])[0])
        expected, _, terminated, _, _ = copied.step(action)
        shown, *_ = live.step(action)
        for key, array in expected.items():
            np.testing.assert_array_equal(shown[key], array)
            assert np.shares_memory(shown[key], first[key])
            assert not np.shares_memory(array, first[key])


def test_options_choose_the_instance() -> None:
    """`options["instance"]` takes an instance or its name for one reset, and the generator's stream stays as it was."""
    env, twin = gymnasium.make("makespan/JobShop-v0"), gymnasium.make("makespan/JobShop-v0")
    env.reset(seed=0, options={"instance": "ft06"})
    assert env.unwrapped.instance.name == "ft06"  # type: ignore[attr-defined]
    env.reset()
    twin.reset(seed=0)
    assert env.unwrapped.instance == twin.unwrapped.instance  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"illegal_action": "ignore"}, "illegal_action: 'ignore'"),
        ({"render_mode": "gif"}, "render_mode: 'gif'"),
    ],
)
def test_unknown_modes_are_refused(options: dict[str, str], message: str) -> None:
    """A misspelt mode is an error that names the known ones."""
    from makespan.envs.jobshop.env import JobShopEnv

    with pytest.raises(ValueError, match=message):
        JobShopEnv(**options)  # type: ignore[arg-type]
