"""The stored evaluations of the fleet, and the agent that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fleet_play import play

from makespan.agents.policy import load_policy
from makespan.envs.fleet.benchmark import load_instance
from makespan.envs.fleet.schema import fleet_schema

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SECONDS = {"fleet_genetic"}  # times, no evaluations
STORED = sorted({path.stem for path in RESULTS.glob("fleet_*.json")} - SECONDS)
ENV_ID = "makespan/UAMFleet-v0"


@pytest.mark.parametrize("name", STORED)
def test_the_bound_dominates_every_policy_on_every_day(name: str):
    """Guards the tables: all schedules valid, every policy on the same days, and no profit above the day's upper bound."""
    rows = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    days: dict[str, set[str]] = {}
    for row in rows:
        days.setdefault(row["policy"], set()).add(row["instance"])
        assert row["valid"], row
        assert row["bound"] is None or row["objective"] <= row["bound"], row
    assert len({frozenset(own) for own in days.values()}) == 1
    assert sum(map(len, days.values())) == len(rows)


@pytest.mark.parametrize(("preset", "days"), [("tiny", 12), pytest.param("base", 4, marks=pytest.mark.slow)])
def test_the_agent_that_ships_beats_the_lookahead(preset: str, days: int):
    """Guards the shipped weights against anything that makes them play worse: features, encoder, checkpoint."""
    torch.set_num_threads(1)
    chosen = [load_instance(f"{preset}-eval-{day:03d}") for day in range(days)]
    schema = fleet_schema(chosen[0].num_vertiports, chosen[0].num_aircraft)
    agent = load_policy("pretrained", ENV_ID).build(schema, greedy=True, seed=0)
    earned = [
        np.mean([envs.objective(slot) for slot in range(days)])
        for envs in (play(chosen, agent), play(chosen, "lookahead"))
    ]
    assert earned[0] > 1.05 * earned[1]
