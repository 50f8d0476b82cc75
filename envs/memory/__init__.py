"""Memory: static allocation (where does every buffer lie?) and mapping (what is in fast memory, and when?)."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
