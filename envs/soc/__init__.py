"""Heterogeneous SoC family: jobs that are DAGs of tasks share unlike processing elements."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
