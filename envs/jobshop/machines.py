"""PettingZoo's AEC face of the job shops: each machine is an agent.

`env()` and `raw_env()` follow PettingZoo's convention for a module of one environment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from makespan.envs.core.env import SchedulingEnv
from makespan.envs.core.multi_agent import ResourceAgentsEnv


class JobShopMachinesEnv(ResourceAgentsEnv):
    """The world of any job-shop environment with one agent a machine, `machine_0`, `machine_1`, ...

    At each decision the machines that could load a job are asked in the order of their numbers: a machine loads one (the
    action is the world's candidate) or passes (the last action). Where all pass, the world waits; where it has no such
    decision, the last machine must not pass. Any environment will do whose candidates point at a "machine": the job shop, the
    flexible job shop, where several machines may be after one operation, the blocking job shop. See `ResourceAgentsEnv`.

    Args:
        env_id: The world: a Gymnasium id.
        max_cycles: Truncate after so many turns; None never does.
        render_mode: As of the world.
        keywords: The world's.
    """

    metadata: ClassVar[dict[str, Any]] = {**ResourceAgentsEnv.metadata, "name": "jobshop_machines_v0"}

    def __init__(
        self,
        env_id: str = "makespan/JobShop-v0",
        *,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        keywords = {"illegal_action": "raise", "copy": False, **keywords}
        world = gymnasium.make(
            env_id, disable_env_checker=True, render_mode=render_mode, **keywords
        ).unwrapped
        machines = isinstance(world, SchedulingEnv) and "machine" in world.schema.candidates.points_at
        if not isinstance(world, SchedulingEnv) or not machines:
            raise ValueError(
                f"env_id: {env_id!r} has no machines that candidates point at; expected a job shop"
            )
        super().__init__(world, "machine", resource="machine", max_cycles=max_cycles)


def raw_env(**keywords: Any) -> JobShopMachinesEnv:
    """The AEC environment, bare; keywords as of `JobShopMachinesEnv`."""
    return JobShopMachinesEnv(**keywords)


def env(**keywords: Any) -> OrderEnforcingWrapper:
    """The AEC environment with PettingZoo's order check; keywords as of `JobShopMachinesEnv`."""
    return OrderEnforcingWrapper(raw_env(**keywords))
