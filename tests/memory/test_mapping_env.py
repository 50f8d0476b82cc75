"""The Gymnasium faces of memory mapping: checkers, batches, specs and errors."""

from __future__ import annotations

import json
import pickle
import warnings

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import IllegalActionError, InvalidInstanceError, UnknownNameError
from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_env import MemoryMappingEnv, MemoryMappingVectorEnv
from makespan.envs.memory.mapping_generator import toy_mapping
from makespan.envs.memory.mapping_map import mapping_html, mapping_map
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ENV_ID = "makespan/MemoryMapping-v0"


@pytest.mark.parametrize(
    "keywords",
    [
        {"num_ops": 12},
        {"num_ops": 12, "training": 1.0, "dead_ends": "drop_backup"},
        {"num_ops": 12, "granularity": "tensor"},
        {"num_ops": 12, "order": "priority"},
        {"generator": "long_skips", "levels": 2, "training": 1.0, "order": "priority", "stay_limit": 1.0},
        {"instance": "toy", "illegal_action": "noop", "occupancy": (4, 8)},
        {"generator": "long_skips", "levels": 2, "prefetch": "preferred", "offset_policy": "best"},
    ],
    ids=lambda keywords: " ".join(map(str, keywords.values())),
)
def test_promises_of_the_suite(keywords: dict[str, object]) -> None:
    """The suite's checker: masks, clones, seeds, the validator, and a return of 1 - latency / latency from HBM."""
    env = gymnasium.make(ENV_ID, **keywords)
    bare = env.unwrapped
    assert isinstance(bare, MemoryMappingEnv)
    check_scheduling_env(env, return_of=lambda latency, _: 1 - latency / bare.instance.hbm_latency)


def test_checkers_of_gymnasium_and_sb3() -> None:
    """Gymnasium's and Stable-Baselines3's checkers find nothing."""
    from stable_baselines3.common.env_checker import check_env as check_sb3

    env = gymnasium.make(ENV_ID, num_ops=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(env.unwrapped, skip_render_check=True)
        check_sb3(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize(
    "keywords", [{}, {"dead_ends": "drop_backup"}, {"order": "priority"}], ids=["safe", "backup", "priority"]
)
def test_batch_equals_scalar(keywords: dict[str, object]) -> None:
    """Slot i of the native batch plays what the scalar environment seeded seed + i plays."""
    check_scheduling_vector_env(ENV_ID, num_ops=10, **keywords)


def test_last_info_reports() -> None:
    """The toy's optimum: 420 / 294, bound 420 / 240, 126 of 180 ps captured, one copy; HBM moves x, b twice, y and w."""
    env = MemoryMappingEnv(instance="toy")
    env.reset(seed=0)
    env.step(1)
    _, _, _, _, info = env.step(2)
    assert info["speedup"] == pytest.approx(420 / 294)
    assert info["speedup_bound"] == pytest.approx(1.75)
    assert info["captured"] == pytest.approx(126 / 180)
    assert (info["copies"], info["hbm_bytes"], info["rewinds"]) == (1, 40 + 20 + 20 + 40 + 60, 0)


def test_spec_survives_json_and_pickle() -> None:
    """An environment made from its spec's JSON or pickle starts the same episode."""
    keywords = {"instance": "vae_training_b8@8", "prefetch": "earliest"}
    env = gymnasium.make(ENV_ID, **keywords)
    assert env.spec is not None
    specs = [EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))]
    assert json.loads(env.spec.to_json())["kwargs"] == keywords
    first, _ = env.reset(seed=8)
    for spec in specs:
        other, _ = gymnasium.make(spec).reset(seed=8)
        assert all((other[key] == first[key]).all() for key in first)


def test_bad_input_is_named() -> None:
    """Misspelt rules, two sources, instances too large and illegal actions are clear errors."""
    with pytest.raises(UnknownNameError, match="drop_backup"):
        MemoryMappingEnv(dead_ends="dropbackup")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="preferred"):
        MemoryMappingEnv(prefetch="late")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="priority"):
        MemoryMappingEnv(order="any")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"occupancy: \(4, 8\) with order='priority'"):
        MemoryMappingEnv(order="priority", occupancy=(4, 8))
    with pytest.raises(ValueError, match="stay_limit: -1"):
        MemoryMappingEnv(order="priority", stay_limit=-1.0)
    with pytest.raises(ValueError, match="given together"):
        MemoryMappingEnv("layered", instance=toy_mapping())
    with pytest.raises(ValueError, match="given together"):
        MemoryMappingVectorEnv(1, "layered", instances=[toy_mapping()])
    env = MemoryMappingEnv(num_ops=4, illegal_action="raise")
    with pytest.raises(InvalidInstanceError, match=r"'unet_training_b1@8' has .*at most"):
        env.reset(options={"instance": "unet_training_b1@8"})
    env.reset(options={"instance": load_instance("toy")})
    with pytest.raises(IllegalActionError, match="expected one of"):
        env.step(2)


def test_pictures_show_the_mapping() -> None:
    """The toy's map: a and w at their offsets, 294 ps, HBM busy for 40 + 20 + 60 ps; text, frame and page are drawn."""
    env = MemoryMappingEnv(instance="toy", render_mode="ansi")
    env.reset(seed=0)
    env.step(1)
    env.step(2)
    plan = mapping_map(env.instance, env.schedule())
    blocks = {
        plan.labels[o]: (int(low), int(high))
        for o, low, high in zip(plan.owner, plan.low, plan.high, strict=True)
    }
    assert blocks == {"a": (0, 40), "w": (40, 100)}
    latency, use, load = (profile.values.tolist() for profile in plan.profiles)
    assert latency == [200e-6, 30e-6, 64e-6]
    assert use == pytest.approx([40 / 200, 20 / 30, 60 / 64])
    assert load == [100, 100, 40]
    assert "1.429 x" in plan.title
    assert isinstance(env.render(), str)
    assert "toy" in mapping_html(env.instance, env.schedule())
    env.render_mode = "rgb_array"
    assert env.render().shape[2] == 3
