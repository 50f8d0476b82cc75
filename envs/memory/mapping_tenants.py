"""Programs that share an accelerator: memory mapping for several agents (PettingZoo AEC).

The operations of K programs are interleaved on one accelerator, always the one next whose program has been served the
least HBM-only time so far. The result is one mapping problem: stays of all tenants share the capacity, copies of all share the
idle HBM time. Each agent decides the accesses of its own program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import AECEnv

from makespan.envs.core.env import Buffers
from makespan.envs.core.errors import IllegalActionError, InvalidInstanceError
from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_engine import MappingEngine, MappingRules
from makespan.envs.memory.mapping_generator import Generator, MappingSize, make_generator
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.program import MemoryProgram


def interleave(
    instances: Sequence[MappingInstance], name: str = ""
) -> tuple[MappingInstance, NDArray[np.int32]]:
    """The programs of some instances as one, on the hardware of the first.

    Returns:
        The common problem, and (O,) int32 the instance to which each of its operations belongs.

    Raises:
        InvalidInstanceError: There is no instance.
    """
    if not instances:
        raise InvalidInstanceError("instances: none; expected at least one tenant")
    ends = [np.maximum(i.op_compute, i.op_hbm).cumsum() for i in instances]
    starts = [np.concatenate([[0], end[:-1]]) for end in ends]
    tenant = np.repeat(np.arange(len(instances)), [i.num_ops for i in instances])
    order = np.lexsort((np.arange(tenant.size), tenant, np.concatenate(starts)))
    place = np.empty(tenant.size, np.int64)
    place[order] = np.arange(tenant.size)
    programs = [i.program for i in instances]
    first_op, first_tensor, first_region = (
        np.concatenate([[0], np.cumsum([getattr(p, key) for p in programs])]).astype(np.int64)
        for key in ("num_ops", "num_tensors", "num_regions")
    )
    access_op = place[np.concatenate([p.access_op + first_op[k] for k, p in enumerate(programs)])]
    access_order = np.argsort(access_op, kind="stable")
    # a group's number must be one of the program's tensors': shift by tensors, as those are numbered
    alias = [
        np.where(p.tensor_alias < 0, -1, p.tensor_alias + first_tensor[k]) for k, p in enumerate(programs)
    ]
    region = np.concatenate([p.op_region + first_region[k] for k, p in enumerate(programs)])
    merged = MemoryProgram(
        name=name or "+".join(p.name for p in programs),
        op_name=tuple(np.array([n for p in programs for n in p.op_name], object)[order]),
        op_region=region[order],
        op_flops=np.concatenate([p.op_flops for p in programs])[order],
        op_vector_flops=np.concatenate([p.op_vector_flops for p in programs])[order],
        region_name=tuple(
            f"tenant{k}.{n}".rstrip(".") for k, p in enumerate(programs) for n in p.region_name
        ),
        tensor_name=tuple(f"tenant{k}.{n}" for k, p in enumerate(programs) for n in p.tensor_name),
        tensor_size=np.concatenate([p.tensor_size for p in programs]),
        tensor_kind=np.concatenate([p.tensor_kind for p in programs]),
        tensor_alias=np.concatenate(alias),
        access_op=access_op[access_order],
        access_tensor=np.concatenate([p.access_tensor + first_tensor[k] for k, p in enumerate(programs)])[
            access_order
        ],
        access_bytes=np.concatenate([p.access_bytes for p in programs])[access_order],
        access_write=np.concatenate([p.access_write for p in programs])[access_order],
        source="interleaved tenants",
    )
    return MappingInstance(merged, instances[0].hardware), tenant[order].astype(np.int32)


class MemoryTenantsEnv(AECEnv):
    """K programs on one accelerator, an agent each.

    Observations are the decision graph of the common problem, with `action_mask`; actions are those of
    `makespan/MemoryMapping-v0`. The agent that acts next is the one whose program makes the next access with a choice. All
    agents are rewarded alike: (latency before - latency after) / latency from HBM alone, so that each one's return is
    1 - latency / latency from HBM alone.

    Args:
        num_tenants: Programs that share the accelerator.
        generator: Draws the programs; a name with its parameters as further keywords, or an object.
        instances: One instance a tenant for every episode, in place of a generator.
        capacity_mib: Fast memory in MiB; None for that of the first tenant's instance.
        rules: The rules of the game.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "memory_tenants_v0",
        "render_modes": [],
        "is_parallelizable": False,
    }

    def __init__(
        self,
        num_tenants: int = 2,
        generator: Generator | str | None = None,
        *,
        instances: Sequence[MappingInstance] | None = None,
        capacity_mib: int | None = None,
        rules: MappingRules | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        if num_tenants < 1:
            raise ValueError(f"num_tenants: {num_tenants}; expected at least 1")
        if instances is not None and (generator is not None or parameters or len(instances) != num_tenants):
            raise ValueError(f"instances: expected {num_tenants} of them, and no generator")
        if generator is None or isinstance(generator, str):
            generator = make_generator(generator or "layered", **parameters)
        elif parameters:
            raise ValueError(
                f"{', '.join(parameters)}: given together with a generator object, which has its own"
            )
        self.render_mode = render_mode
        self._instances, self._generator, self._capacity_mib = instances, generator, capacity_mib
        sizes = [MappingSize.of(i) for i in instances] if instances else [generator.size] * num_tenants
        self.engine = MappingEngine(
            1,
            num_ops=sum(size.num_ops for size in sizes),
            num_accesses=sum(size.num_accesses for size in sizes),
            num_tensors=sum(size.num_tensors for size in sizes),
            num_regions=sum(size.num_regions for size in sizes),
            rules=rules,
        )
        self.schema = self.engine.schema
        self.possible_agents = [f"tenant_{k}" for k in range(num_tenants)]
        self.agents: list[str] = []
        self.observation_spaces = dict.fromkeys(self.possible_agents, self.schema.space)
        self.action_spaces = {agent: spaces.Discrete(3) for agent in self.possible_agents}
        self.instance: MappingInstance | None = None
        self._rng, _ = seeding.np_random(None)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The decision graph's space, the same for all."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Drop, Keep, Copy."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode on fresh programs, or on the given ones."""
        if seed is not None:
            self._rng, _ = seeding.np_random(seed)
        tenants = self._instances or [self._generator.sample(self._rng) for _ in self.possible_agents]
        if self._capacity_mib is not None:
            hardware = replace(tenants[0].hardware, capacity=self._capacity_mib * 2**20)
            tenants = [MappingInstance(tenant.program, hardware) for tenant in tenants]
        self.instance, self._tenant = interleave(tenants)
        self.engine.load(0, self.instance)
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._select()

    def _select(self) -> None:
        """Whose turn it is: whoever makes the access that is awaited."""
        op = int(self.engine.observation["candidate_index"][0, :, 0].max())
        self.agent_selection = self.possible_agents[int(self._tenant[op])] if op >= 0 else self.agents[0]
        self.infos[self.agent_selection] = {"action_mask": self.engine.observation["action_mask"][0].copy()}

    def observe(self, agent: str) -> Buffers:
        """The decision graph; only the agent whose turn it is may act."""
        return {key: buffer[0].copy() for key, buffer in self.engine.observation.items()}

    def step(self, action: Any) -> None:
        """Take the selected agent's action.

        Raises:
            IllegalActionError: The mask forbids it; nothing has changed.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        mask = self.engine.observation["action_mask"][0]
        if not (0 <= int(action) < mask.size and mask[int(action)]):
            allowed = np.flatnonzero(mask).tolist()
            raise IllegalActionError(
                f"action {action} of {agent} is not allowed now; expected one of {allowed}"
            )
        self._cumulative_rewards[agent] = 0.0
        self.engine.step(np.array([int(action)]))
        reward = float(self.engine.outcome.reward[0])
        self.rewards = dict.fromkeys(self.agents, reward)
        self._accumulate_rewards()
        if self.engine.outcome.terminated[0]:
            self.terminations = dict.fromkeys(self.agents, True)
            self.infos = {name: {"objective": self.engine.objective(0)} for name in self.agents}
            self.agent_selection = self.agents[0]
        else:
            self._select()

    def schedule(self) -> Schedule:
        """The mapping of all tenants so far, for `validate(env.instance, ...)`."""
        return self.engine.schedule(0)

    def render(self) -> None:
        """Nothing: draw `schedule()` with the family's pictures."""

    def close(self) -> None:
        """Nothing to close."""


def raw_env(**keywords: Any) -> MemoryTenantsEnv:
    """The bare environment; keywords as of `MemoryTenantsEnv`."""
    return MemoryTenantsEnv(**keywords)


def env(**keywords: Any) -> Any:
    """The environment with PettingZoo's order check; keywords as of `MemoryTenantsEnv`."""
    from pettingzoo.utils import wrappers

    return wrappers.OrderEnforcingWrapper(raw_env(**keywords))
