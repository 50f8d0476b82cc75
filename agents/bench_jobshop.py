"""What `makespan bench jobshop` times: the bare kernel, the environments, rules, and other packages.

Everybody plays whole episodes on the same instance with uniformly random legal actions, every operation one decision
(nothing is skipped). Draws are taken from a table, so that choosing costs everybody the same little.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from makespan.agents.bench import Contestant, Play
from makespan.agents.bench_plays import Ground, chosen_sizes, rows
from makespan.envs.core.kernels import kernel
from makespan.envs.jobshop.benchmark import load_instance
from makespan.envs.jobshop.instance import ShopInstance
from makespan.envs.jobshop.rollout import RuleRollouts
from makespan.envs.jobshop.simulator import (
    JOBS,
    NON_DELAY,
    Shops,
    dispatch,
    legal_actions,
    load_slot,
    make_shops,
    reset_slot,
)

SIZES: Final = {"6x6": "ft06", "15x15": "ta01", "100x20": "ta71"}
RULES: Final = ("spt", "spt_twkr")
EPISODES: Final = 250_000  # decisions of whole episodes in one batch
KERNEL: Final = "bare kernel"
KERNEL_ENVS: Final = 64


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    found = [Contestant("Gymnasium CartPole-v1", "", 1, _cart_pole)]
    for size in chosen_sizes(sizes, SIZES):
        found += _of_size(size, load_instance(SIZES[size]))
    return found


def _of_size(size: str, instance: ShopInstance) -> Iterator[Contestant]:
    def row(name: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(name, size, num_envs, build, reference)

    if instance.num_operations <= 400:  # beyond, it takes minutes for an episode
        yield row("graph-jsp-env", 1, lambda: _graph_jsp_env(instance))
    yield row("JSSEnv", 1, lambda: _jss_env(instance), "JSSEnv")
    yield row("bare kernel, whole rollouts inside", KERNEL_ENVS, lambda: _kernel(instance), KERNEL)
    for rule in RULES:
        yield row(f"rule {rule}, whole rollouts inside", KERNEL_ENVS, partial(_rule_rollouts, instance, rule))
    yield from rows(
        Ground("makespan/JobShop-v0", instance, {"skip_forced": False}),
        size,
        batches=(1, 64, 1024),
        rules=RULES,
        rule_envs=min(1024, EPISODES // instance.num_operations),
        rule_steps=instance.num_operations,  # whole episodes
    )


@kernel
def _rollouts(shops: Shops, mask: NDArray[np.int8], state: NDArray[np.uint64]) -> int:
    """A random non-delay episode in every slot; returns the number of decisions."""
    decisions = 0
    for b in range(mask.shape[0]):
        reset_slot(shops, b)
        count = legal_actions(shops, b, NON_DELAY, mask)
        while count > 0:
            state[0] ^= state[0] << np.uint64(13)  # xorshift64
            state[0] ^= state[0] >> np.uint64(7)
            state[0] ^= state[0] << np.uint64(17)
            left = int(state[0] >> np.uint64(33)) % count
            for j in range(shops.clock[b, JOBS]):
                if mask[b, j]:
                    if left == 0:
                        dispatch(shops, b, j, 0)
                        break
                    left -= 1
            decisions += 1
            count = legal_actions(shops, b, NON_DELAY, mask)
    return decisions


def _kernel(instance: ShopInstance) -> Play:
    shops = make_shops(KERNEL_ENVS, instance.num_jobs, instance.num_operations, instance.num_machines, 1)
    for b in range(KERNEL_ENVS):
        load_slot(
            shops,
            b,
            instance.job_first,
            instance.machines,
            instance.durations,
            instance.release,
            instance.num_machines,
        )
    mask = np.zeros((KERNEL_ENVS, instance.num_jobs), np.int8)
    state = np.array([88172645463325252], np.uint64)
    return lambda: int(_rollouts(shops, mask, state))


def _rule_rollouts(instance: ShopInstance, rule: str) -> Play:
    rollouts = RuleRollouts([instance] * KERNEL_ENVS)

    def play() -> int:
        rollouts.play(rule)
        return KERNEL_ENVS * instance.num_operations

    return play


def _jss_env(instance: ShopInstance) -> Play:
    from JSSEnv.envs.jss_env import JssEnv

    shape = (instance.num_jobs, instance.num_machines)
    pairs = np.stack([instance.machines.reshape(shape), instance.durations.reshape(shape)], axis=-1)
    lines = [" ".join(map(str, shape)), *(" ".join(map(str, job.ravel())) for job in pairs)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instance"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        env = JssEnv({"instance_path": str(path)})
    draws = np.random.default_rng(0).random(100_003)

    def play() -> int:
        observation = env.reset()
        decisions, terminated = 0, False
        while not terminated:
            allowed = observation["action_mask"].nonzero()[0]
            action = allowed[int(draws[decisions] * allowed.size)]
            observation, _, terminated, _, _ = env.step(action)
            decisions += 1
        return decisions

    return play


def _graph_jsp_env(instance: ShopInstance) -> Play:
    with contextlib.redirect_stdout(io.StringIO()):  # it greets with a banner
        from graph_jsp_env.disjunctive_graph_jsp_env import DisjunctiveGraphJspEnv
    shape = (instance.num_jobs, instance.num_machines)
    shop = np.stack([instance.machines.reshape(shape), instance.durations.reshape(shape)])
    try:
        env = DisjunctiveGraphJspEnv(shop, action_mode="job")
    except AttributeError as error:
        raise ImportError("graph-jsp-env 1.1 needs matplotlib < 3.9", name="matplotlib < 3.9") from error
    draws = np.random.default_rng(0).random(100_003)

    def play() -> int:
        env.reset()
        decisions, terminated = 0, False
        while not terminated:
            allowed = np.flatnonzero(env.valid_action_mask())
            _, _, terminated, _, _ = env.step(allowed[int(draws[decisions] * allowed.size)])
            decisions += 1
        return decisions

    return play


def _cart_pole() -> Play:
    env: gymnasium.Env[Any, Any] = gymnasium.make("CartPole-v1", disable_env_checker=True)
    actions = np.random.default_rng(0).integers(2, size=1_009)

    def play() -> int:
        env.reset()
        steps, terminated = 0, False
        while not terminated:
            _, _, terminated, truncated, _ = env.step(actions[steps])
            terminated = terminated or truncated
            steps += 1
        return steps

    return play
