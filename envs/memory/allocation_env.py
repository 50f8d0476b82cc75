"""Gymnasium faces of static memory allocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.memory import allocation_rules as allocation_rules  # registers the family's rules
from makespan.envs.memory.allocation_benchmark import load_instance
from makespan.envs.memory.allocation_engine import AllocationEngine
from makespan.envs.memory.allocation_generator import (
    AllocationSize,
    FixedProblems,
    Generator,
    make_generator,
)
from makespan.envs.memory.allocation_instance import AllocationProblem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fit = Literal["lowest", "best"]
FITS: tuple[Fit, ...] = ("lowest", "best")


SOURCES: Final = Sources(make_generator, "guillotine", FixedProblems, load_instance)


def _engine(size: AllocationSize, num_slots: int, fit: str, canonical: bool) -> AllocationEngine:
    if fit not in FITS:
        raise UnknownNameError("fit", fit, FITS)
    if canonical and fit != "lowest":
        raise ValueError(f"canonical: True with fit={fit!r}; a canonical order is one of lowest offsets")
    return AllocationEngine(
        num_slots,
        num_buffers=size.num_buffers,
        num_pieces=size.num_pieces,
        num_sections=size.num_sections,
        num_incidences=size.num_incidences,
        mode="canonical" if canonical else fit,
    )


class MemoryAllocationEnv(SchedulingEnv):
    """Static memory allocation, minimising the peak.

    ## Description
    Buffers with known lifetimes and sizes share one memory. Each needs an offset such that no two hold the same byte at
    the same time; the highest byte in use, the peak, is to be as low as possible. Buffers may have an alignment, gaps in
    their lifetime, and prescribed offsets; the latter are placed before the first decision.

    ## Action Space
    `Discrete(max_buffers)`: the unplaced buffer that is placed next, at its lowest feasible offset, or with `fit="best"` in
    the smallest gap that holds it (buffers with gaps of their own go to their lowest offset all the same). Every unplaced
    buffer is allowed; with `canonical=True` only those that keep the order of offsets non-decreasing (a buffer then lies nowhere
    below the last placed one) and are not dominated, which keeps an order with the lowest peak of all within reach and
    removes most others.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): buffer, section and system nodes, incidence edges (which buffer lives
    in which section of time), candidates, and `action_mask`. Sections are the maximal intervals with a constant set of
    live buffers: a far smaller graph than the pairs in conflict.

    ## Rewards
    -(LB' - LB) / LB0, the rise of a lower bound of the final peak by the decision, relative to the load bound LB0. The
    return is exactly -(peak - LB0) / LB0.

    ## Starting State
    An empty memory, but for prescribed offsets, and `options["instance"]` or a fresh draw of the generator.

    ## Episode End
    Termination: every buffer is placed. Truncation: only with `illegal_action="noop"`, after ten no-ops a buffer.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="random", num_buffers=100`); default: `guillotine` (50 buffers, lowest peak known).
    * `instance`: one instance, its name ("toy"), or the path of a file in MiniMalloc's format, for every episode.
    * `fit`: "lowest" (default) or "best".
    * `canonical`: restrict the order as said above; for `fit="lowest"`.
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: AllocationProblem | str | None = None,
        fit: Fit = "lowest",
        canonical: bool = False,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = _engine(source.size, 1, fit, canonical)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)

    def render(self) -> str | NDArray[np.uint8] | None:
        """The memory map so far, in the render mode the environment was made with."""
        if self.render_mode is None or self.instance is None:
            rendered: str | NDArray[np.uint8] | None = super().render()
            return rendered
        from makespan.envs.memory.allocation_map import allocation_map
        from makespan.envs.memory.memory_map import show

        return show(allocation_map(self.instance, self.schedule()), self.render_mode)


class MemoryAllocationVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/MemoryAllocation-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: AllocationProblem | str | None = None,
        instances: Sequence[AllocationProblem | str] | None = None,
        fit: Fit = "lowest",
        canonical: bool = False,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            _engine(source.size, num_envs, fit, canonical),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
