"""The blocking job shop: no buffers, swaps allowed or not, machines that shut down."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
