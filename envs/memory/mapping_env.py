"""Gymnasium faces of memory mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import Buffers, IllegalAction, Info, SchedulingEnv
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.memory import mapping_priority_rules as mapping_priority_rules  # registers rules
from makespan.envs.memory import mapping_rules as mapping_rules  # registers the family's rules
from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_engine import MappingEngine
from makespan.envs.memory.mapping_game import (
    DeadEnds,
    Granularity,
    MappingRules,
    MappingSlots,
    Offsets,
    Order,
    Prefetch,
    Supply,
)
from makespan.envs.memory.mapping_generator import FixedMappings, Generator, MappingSize, make_generator
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_priority_engine import PriorityEngine

SOURCES: Final = Sources(make_generator, "layered", FixedMappings, load_instance)


def _engine(size: MappingSize, num_slots: int, rules: MappingRules) -> MappingSlots:
    engine = PriorityEngine if rules.order == "priority" else MappingEngine
    return engine(
        num_slots,
        num_ops=size.num_ops,
        num_accesses=size.num_accesses,
        num_tensors=size.num_tensors,
        num_regions=size.num_regions,
        rules=rules,
    )


class MemoryMappingEnv(SchedulingEnv):
    """Mapping a program's tensors to a fast and a slow memory, minimising latency: the memory-mapping game.

    ## Description
    A program is a sequence of operations that read and write tensors. An operation takes as long as its computation or its
    memory traffic, whichever is longer. HBM is large and slow; the fast memory is small, and tensors in it must not overlap.
    For each access the agent decides where it is served from. Tensors can be fetched from HBM, and written back to it,
    in the HBM time that other operations leave idle. (The game of arXiv 2305.07440, which has no public implementation;
    what differs is said in `docs/memory.md`.)

    ## Action Space
    `Discrete(3)`: 0 Drop (HBM), 1 Keep (an output is produced in fast memory, an operand is still there), 2 Copy (an operand
    is fetched ahead of its use). Accesses come in program order; in an operation operands, largest first, then outputs.
    With `order="priority"` `Discrete(max_tensors)`: the undecided tensor that next takes what room in fast memory and
    what HBM time for copies there still is; it stays over as many of its accesses as possible. Tensors updated in place are
    decided together, by the first of them, and one that has no room left anywhere is left in HBM without a decision.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): operations in regions, tensors, who accesses what, the profile of free
    memory and idle HBM time around the present operation, candidates, and `action_mask`. The candidates point at the
    operation and the tensor to be decided. With `order="priority"` each tensor is a candidate, which points at the tensor and
    its first operation, and shows what it would still save and what room there is for it.

    ## Rewards
    (latency before - latency after) / latency from HBM alone; everything undecided counts as served from HBM. The return
    is exactly 1 - latency / latency from HBM alone, and never more than 1 - lower bound / latency from HBM alone.

    ## Starting State
    Everything in HBM, for the program of `options["instance"]` or of a fresh draw of the generator.

    ## Episode End
    Termination: everything is decided. Truncation: only with `illegal_action="noop"`.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="layered", num_ops=48, training=1.0`); default: layered programs of 32 operations.
    * `instance`: one instance, or its name (`mapping_benchmark`), for every episode.
    * `dead_ends`: "safe" (default) or "drop_backup"; see `MappingRules`, also for the following.
    * `supply`: "idle" (default), or "elapsed" for comparison with XLA's copy model.
    * `offset_policy`: "lowest" (default), "best" or "highest".
    * `prefetch`: "latest" (default), "preferred" or "earliest".
    * `order`: "program" (default) or "priority".
    * `granularity`: "access" (default) or "tensor", in program order.
    * `stay_limit`: longest gap between two accesses that a tensor stays for, where whole tensors are decided; none by default.
    * `skip_forced`: take decisions with a single legal action inside the environment (default).
    * `occupancy`: (operations, bins) of an image of the fast memory, time x offset, in the observation; none by default.
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers, which the next step overwrites.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    engine: MappingSlots

    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: MappingInstance | str | None = None,
        dead_ends: DeadEnds = "safe",
        supply: Supply = "idle",
        offset_policy: Offsets = "lowest",
        prefetch: Prefetch = "latest",
        order: Order = "program",
        granularity: Granularity = "access",
        stay_limit: float = 0.0,
        skip_forced: bool = True,
        occupancy: tuple[int, int] = (0, 0),
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        rules = MappingRules(
            dead_ends,
            supply,
            offset_policy,
            prefetch,
            order,
            granularity,
            stay_limit,
            skip_forced,
            occupancy,
        )
        engine = _engine(source.size, 1, rules)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)

    def render(self) -> Any:
        """The memory map so far, in the render mode the environment was made with."""
        if self.render_mode is None or self.instance is None:
            return super().render()
        from makespan.envs.memory.mapping_map import mapping_map
        from makespan.envs.memory.memory_map import show

        return show(mapping_map(self.instance, self.schedule()), self.render_mode)

    def step(self, action: Any) -> tuple[Buffers, Any, bool, bool, Info]:
        """Take the candidate `action`; the last info tells speed-up, copies and HBM traffic."""
        observation, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            info |= self.engine.report(0)
        return observation, reward, terminated, truncated, info


class MemoryMappingVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/MemoryMapping-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: MappingInstance | str | None = None,
        instances: Sequence[MappingInstance | str] | None = None,
        dead_ends: DeadEnds = "safe",
        supply: Supply = "idle",
        offset_policy: Offsets = "lowest",
        prefetch: Prefetch = "latest",
        order: Order = "program",
        granularity: Granularity = "access",
        stay_limit: float = 0.0,
        skip_forced: bool = True,
        occupancy: tuple[int, int] = (0, 0),
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        rules = MappingRules(
            dead_ends,
            supply,
            offset_policy,
            prefetch,
            order,
            granularity,
            stay_limit,
            skip_forced,
            occupancy,
        )
        super().__init__(
            _engine(source.size, num_envs, rules),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
