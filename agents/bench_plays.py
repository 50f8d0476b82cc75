"""Play of any environment as `makespan bench` times it: one environment or a native batch, random or by a rule.

Everybody plays whole episodes on the same instance. Random actions are drawn from a table, so that choosing costs
everybody the same little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from makespan.agents.bench import Contestant, Play
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.policy import rule_policy
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family

CHUNK: Final = 4_096  # decisions of a batch between two looks at the clock
DRAWS: Final = 100_003


@dataclass(frozen=True)
class Ground:
    """What is played on.

    Attributes:
        env_id: The environment.
        instance: Of every episode.
        options: Keywords of the environment.
    """

    env_id: str
    instance: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def scalar(self, *, copy: bool) -> Play:
        """Random episodes in one environment; observations copied or live."""
        env = gymnasium.make(
            self.env_id, instance=self.instance, copy=copy, disable_env_checker=True, **self.options
        )
        draws = np.random.default_rng(0).random(DRAWS)

        def play() -> int:
            observation, _ = env.reset()
            decisions, over = 0, False
            while not over:
                allowed = observation["action_mask"].nonzero()[0]
                action = allowed[int(draws[decisions % DRAWS] * allowed.size)]
                observation, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
                decisions += 1
            return decisions

        return play

    def batch(self, num_envs: int) -> Play:
        """Random decisions in a batch, episode after episode."""
        envs = self._make_batch(num_envs)
        observation, _ = envs.reset(seed=0)
        mask = observation["action_mask"]
        tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
        steps = max(1, CHUNK // num_envs)

        def play() -> int:
            for step in range(steps):
                envs.step((tables[step % 31] * mask).argmax(axis=1))
            return steps * num_envs

        return play

    def rule(self, name: str, num_envs: int, steps: int = 0) -> Play:
        """A rule's decisions in a batch, episode after episode; `steps` between two looks at the clock, 0 for a few."""
        envs = self._make_batch(num_envs)
        policy = rule_policy(get_family(self.env_id).name, name, envs.schema)
        observation, _ = envs.reset(seed=0)
        count = steps or max(1, CHUNK // num_envs)

        def play() -> int:
            seen = observation
            for _ in range(count):
                seen, *_ = envs.step(policy.act(seen))
            return count * num_envs

        return play

    def _make_batch(self, num_envs: int) -> SchedulingVectorEnv:
        envs = gymnasium.make_vec(
            self.env_id,
            num_envs=num_envs,
            vectorization_mode="vector_entry_point",
            instances=[self.instance] * num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
            copy=False,
            **self.options,
        ).unwrapped
        assert isinstance(envs, SchedulingVectorEnv)
        return envs


def rows(
    ground: Ground,
    size: str,
    *,
    name: str = "",
    batches: Sequence[int] = (1, 64, 256),
    rules: Sequence[str] = (),
    rule_envs: int = 64,
    rule_steps: int = 0,
    references: Mapping[str, str] | None = None,
) -> Iterator[Contestant]:
    """The usual rows of an environment: one environment, live and copied, batches, and rules in a batch.

    Args:
        ground: What is played on.
        size: Size of the problem.
        name: Put before each row's name.
        batches: Numbers of environments stepped together.
        rules: Rules of the family.
        rule_envs: Environments that a rule steps together.
        rule_steps: Steps between two looks at the clock; 0 for a few.
        references: Row's name (without `name`), with the number of environments where it is a batch -> key of the reference
            that it is.
    """
    references = references or {}
    prefix = f"{name}: " if name else ""

    def row(what: str, num_envs: int, build: Any) -> Contestant:
        key = what if num_envs == 1 else f"{what} {num_envs}"
        return Contestant(prefix + what, size, num_envs, build, references.get(key, ""))

    yield row("env.step, full observation, live", 1, partial(ground.scalar, copy=False))
    yield row("env.step, full observation, copied", 1, partial(ground.scalar, copy=True))
    for num_envs in batches:
        yield row("batch, full observation", num_envs, partial(ground.batch, num_envs))
    for rule in rules:
        yield row(f"batch, rule {rule}", rule_envs, partial(ground.rule, rule, rule_envs, rule_steps))


def chosen_sizes(sizes: Sequence[str] | None, known: Mapping[str, Any]) -> list[str]:
    """All known sizes, or those asked for; raises `UnknownNameError` for others."""
    chosen = list(known) if sizes is None else list(sizes)
    for size in chosen:
        if size not in known:
            raise UnknownNameError("size", size, known)
    return chosen
