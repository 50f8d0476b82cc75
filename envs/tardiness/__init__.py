"""Single-machine total tardiness, 1 || sum T_j."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
