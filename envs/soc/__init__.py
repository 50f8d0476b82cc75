"""Heterogeneous SoC family: jobs that are DAGs of tasks share unlike processing elements.

`env()` and `raw_env()` follow PettingZoo's convention for a module of one environment, `makespan/soc_clusters-v0`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from makespan.envs.core.kernels import drop_stale_kernels

if TYPE_CHECKING:
    from makespan.envs.soc.clusters import SocClustersEnv

__all__ = ["env", "raw_env"]

drop_stale_kernels(Path(__file__).parent)


def raw_env(**keywords: Any) -> SocClustersEnv:
    """The AEC environment with an agent a cluster, bare; keywords as of `SocClustersEnv`."""
    from makespan.envs.soc.clusters import SocClustersEnv  # PettingZoo is imported only by those who use it

    return SocClustersEnv(**keywords)


def env(**keywords: Any) -> Any:
    """The AEC environment with PettingZoo's order check; keywords as of `SocClustersEnv`."""
    from pettingzoo.utils import wrappers

    return wrappers.OrderEnforcingWrapper(raw_env(**keywords))
