"""PettingZoo's AEC face of the SoC: each cluster of PEs is an agent, and ready tasks are offered to them in turn.

`env()` and `raw_env()` follow PettingZoo's convention for a module of one environment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from makespan.envs.core.multi_agent import NOBODY, ResourceAgentsEnv
from makespan.envs.soc.env import SocEnv
from makespan.envs.soc.generator_base import Generator
from makespan.envs.soc.instance import SocInstance


class SocClustersEnv(ResourceAgentsEnv):
    """The world of `makespan/SoC-v0` with one agent a cluster, `cluster_0`, `cluster_1`, ...

    The ready task that waits longest (FIFO) is offered to the clusters that have a PE for it, in the order of their numbers. A
    cluster commits it to one of its PEs (action p: PE p of the whole system) or passes (the last action). If all pass,
    everything that is ready waits for the next end or arrival; where nothing would ever happen, the last cluster must not
    pass. See `ResourceAgentsEnv` for observations and rewards.

    Args:
        generator: A generator, or its name with its parameters as further keywords; default: soc16-mix.
        instance: One instance, or its name, for every episode.
        max_live_jobs: As in `SocEnv`.
        overflow: As in `SocEnv`.
        merge_twins: As in `SocEnv`.
        max_cycles: Truncate after so many turns; None never does.
        render_mode: "ansi", "rgb_array", "human" or None.
        parameters: The generator's.
    """

    metadata: ClassVar[dict[str, Any]] = {**ResourceAgentsEnv.metadata, "name": "soc_clusters_v0"}

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: SocInstance | str | None = None,
        max_live_jobs: int = 24,
        overflow: int = 0,
        merge_twins: bool = True,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        world = SocEnv(
            generator,
            instance=instance,
            mode="pe",
            defer=True,
            max_live_jobs=max_live_jobs,
            max_ready=1,
            overflow=overflow,
            skip_forced=False,
            merge_twins=merge_twins,
            illegal_action="raise",
            copy=False,
            render_mode=render_mode,
            **parameters,
        )
        defer = world.schema.candidates.max_count - 1
        clusters: int = world.generator.size.num_clusters  # type: ignore[attr-defined]
        super().__init__(world, "cluster", num_agents=clusters, pass_action=defer, max_cycles=max_cycles)

    def num_agents_of(self) -> int:
        """Clusters of the SoC."""
        clusters: int = self.instance.num_clusters
        return clusters

    def owners(self) -> NDArray[np.int64]:
        """The cluster of each PE."""
        owner = np.full(self.schema.candidates.max_count, NOBODY, np.int64)
        owner[: self.instance.num_pes] = self.instance.pe_cluster
        return owner


def raw_env(**keywords: Any) -> SocClustersEnv:
    """The AEC environment, bare; keywords as of `SocClustersEnv`."""
    return SocClustersEnv(**keywords)


def env(**keywords: Any) -> OrderEnforcingWrapper:
    """The AEC environment with PettingZoo's order check; keywords as of `SocClustersEnv`."""
    return OrderEnforcingWrapper(raw_env(**keywords))
