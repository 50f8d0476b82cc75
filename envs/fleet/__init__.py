"""Urban air mobility: a fleet of electric aircraft between vertiports, for Gymnasium and PettingZoo.

`env()`, `raw_env()` and `parallel_env()` follow PettingZoo's convention for a module of one environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from makespan.envs.core.kernels import drop_stale_kernels

if TYPE_CHECKING:
    from makespan.envs.fleet.aec import FleetAECEnv
    from makespan.envs.fleet.parallel import FleetParallelEnv

__all__ = ["env", "parallel_env", "raw_env"]

drop_stale_kernels(Path(__file__).parent)


def raw_env(**keywords: Any) -> FleetAECEnv:
    """The AEC environment in native event order, bare; keywords as of `FleetAECEnv`."""
    from makespan.envs.fleet.aec import FleetAECEnv  # PettingZoo is imported only by those who use it

    return FleetAECEnv(**keywords)


def env(**keywords: Any) -> FleetAECEnv:
    """The AEC environment; keywords as of `FleetAECEnv`.

    It checks the order of calls itself: PettingZoo's wrapper for that would cost a third of the speed.
    """
    return raw_env(**keywords)


def parallel_env(**keywords: Any) -> FleetParallelEnv:
    """The Parallel environment with a fixed tick; keywords as of `FleetParallelEnv`."""
    from makespan.envs.fleet.parallel import FleetParallelEnv

    return FleetParallelEnv(**keywords)
