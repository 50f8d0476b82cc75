"""The dynamic job shop: jobs with due dates arrive over time; machines break down, durations are forecasts."""

from pathlib import Path

from makespan.envs.core.kernels import drop_stale_kernels

drop_stale_kernels(Path(__file__).parent)
