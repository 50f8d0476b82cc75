"""`makespan bench`: what it times, how it counts, and what it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import makespan  # noqa: F401
from makespan.agents import (
    bench_blocking,
    bench_dynamic_shop,
    bench_memory,
    bench_soc,
    bench_tardiness,
    bench_transfer_robot,
)
from makespan.agents.bench import Contestant, Timing, measure, table
from makespan.agents.bench_jobshop import contestants
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.dynamic_shop.env import DynamicJobShopEnv
from makespan.envs.soc.generator import make_generator


def test_command_writes_rows(tmp_path: Path) -> None:
    """The command prints a table and writes rows with command, versions and machine; peers may be missing."""
    command = [sys.executable, "-m", "makespan.agents.cli", "bench", "jobshop", "--out", str(tmp_path)]
    options = ["--sizes", "6x6", "--seconds", "0.01", "--repeats", "1"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "bare kernel" in result.stdout
    written = json.loads((tmp_path / "speed_jobshop.json").read_text(encoding="utf-8"))
    assert written["command"].startswith("makespan bench jobshop")
    assert written["machine"]["cpu_count"] >= 1
    assert all(row["per_second"] > 0 for row in written["rows"])
    lines = (tmp_path / "speed_jobshop.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(written["rows"]) + 1


def test_contestants_count_every_decision() -> None:
    """Our own contestants report whole episodes: 36 decisions each on a 6 x 6 shop, nothing skipped."""
    ours = {(c.name, c.num_envs): c for c in contestants(["6x6"]) if c.name.startswith(("bare", "env"))}
    assert ours["bare kernel, whole rollouts inside", 64].build()() == 64 * 36
    assert ours["env.step, full observation, copied", 1].build()() == 36
    with pytest.raises(UnknownNameError, match="6x6"):
        contestants(["7x7"])


def test_median_and_ratios() -> None:
    """The median of the runs counts, and ratios are taken within a size."""
    timing = measure(Contestant("a", "s", 1, lambda: lambda: 5), lambda: 5, repeats=3, seconds=0.001)
    assert timing.per_second == sorted(timing.runs)[1]
    text = table(
        [
            Timing("a", "s", 1, 100.0, (), "a"),
            Timing("b", "s", 4, 250.0, (), ""),
            Timing("c", "t", 1, 9.0, (), ""),
        ]
    )
    rows = [line.split() for line in text.splitlines()]
    assert rows[2][-2:] == ["250", "2.5"]
    assert rows[3][-1] == "9"


def test_memory_contestants_count_every_decision() -> None:
    """Fifty buffers are fifty decisions, also in plain Python; every access of a program is one, nothing skipped."""
    ours = {(c.name, c.num_envs): c for c in bench_memory.contestants(["allocation 50"])}
    assert ours["first fit in plain Python, no observation", 1].build()() == 50
    assert ours["env.step, full observation, copied", 1].build()() == 50
    mapping = {(c.name, c.num_envs): c for c in bench_memory.contestants(["mapping 253"])}
    assert mapping["env.step, full observation, live", 1].build()() == 253
    with pytest.raises(UnknownNameError, match="mapping"):
        bench_memory.contestants(["7x7"])


def test_shop_contestants_count_every_decision() -> None:
    """Without waiting, 36 operations are 36 decisions and 20 jobs are 20; the job shop is the reference of both families."""
    ours = {(c.name, c.num_envs): c for c in bench_blocking.contestants(["6x6"])}
    assert ours["greedy, no swap: env.step, full observation, live", 1].build()() == 36
    assert (
        ours["greedy, swap: env.step, full observation, copied", 1].build()() <= 36
    )  # swaps are no decisions
    assert ours["wait, swap, shutdowns: env.step, full observation, live", 1].build()() > 36
    assert ours["job shop: batch, full observation", 64].reference == "job shop, batch"
    machine = {(c.name, c.num_envs): c for c in bench_tardiness.contestants(["20"])}
    assert machine["single machine: env.step, full observation, live", 1].build()() == 20
    assert machine["single machine: batch, rule mdd", 64].build()() % 64 == 0
    with pytest.raises(UnknownNameError, match="6x6"):
        bench_blocking.contestants(["7x7"])


def test_dynamic_contestants_count_every_decision() -> None:
    """A run that is skipped nowhere takes as many decisions as operations begin in it; unknown sizes are refused."""
    rows = {(c.name, c.num_envs): c for c in bench_dynamic_shop.contestants(["5 machines"])}
    env = DynamicJobShopEnv(instance="dynamic-u90-0", skip_forced=False)
    env.reset()
    terminated = False
    draws, decisions = np.random.default_rng(0).random(100_003), 0
    while not terminated:
        allowed = env.action_masks().nonzero()[0]
        _, _, terminated, _, _ = env.step(allowed[int(draws[decisions] * allowed.size)])
        decisions += 1
    begun = sum(kind == "process" for kind in env.schedule().kinds)
    assert rows["env.step, full observation, live", 1].build()() == decisions == begun
    with pytest.raises(UnknownNameError, match="flexible"):
        bench_dynamic_shop.contestants(["7x7"])


def test_transfer_contestants_count_every_decision() -> None:
    """A lot of 24 glasses through three stages takes 192 moves, and a robot that may wait takes more decisions than that."""
    ours = {(c.name, c.num_envs): c for c in bench_transfer_robot.contestants(["1 robot"])}
    assert ours["env.step, full observation, copied", 1].build()() >= 192
    assert ours["batch, rule swap_push", 64].build()() == 4096
    with pytest.raises(UnknownNameError, match="2 robots"):
        bench_transfer_robot.contestants(["7x7"])


def test_soc_contestants_do_the_same_work() -> None:
    """Each decision is a task, nothing skipped; the plain loop's schedule is the environment's, task by task."""
    instance = make_generator("soc16-mix", scale=60.0, num_jobs=12).sample(np.random.default_rng(1))
    env = gymnasium.make("makespan/SoC-v0", instance=instance, mode="task", **bench_soc.ASKED).unwrapped
    env.reset(seed=0)
    decisions, terminated = 0, False
    while not terminated:
        _, _, terminated, _, _ = env.step(0)
        decisions += 1
    assert decisions == instance.total_rows
    rows = env.schedule()  # type: ignore[attr-defined]
    template = instance.row_task[instance.row_first[rows.job] + rows.task]
    columns = (rows.job.tolist(), template.tolist(), rows.resource.tolist(), rows.start.tolist())
    assert bench_soc.plain_loop(instance) == {(j, t): (p, s) for j, t, p, s in zip(*columns, strict=True)}
    with pytest.raises(UnknownNameError, match="soc16"):
        bench_soc.contestants(["7x7"])
