"""Glass flow control: transfer robots that carry glass substrates through the chambers of a cell."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
