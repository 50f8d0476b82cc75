"""Ten thousand random episodes, every one judged by the validator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.validator import measure

SLOTS = 100
BATCHES = 8  # of each world: 13 x 8 x 100 = 10 400 episodes

WORLDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("soc16-mix", {"num_jobs": 4, "scale": 60, "noise": 0.3}, {}),
    ("soc16-mix", {"num_jobs": 5, "scale": 20, "objective": "energy"}, {"merge_twins": False}),
    ("soc16-mix", {"num_jobs": 6, "scale": 15, "max_jobs": 2, "noise": 0.5}, {"mode": "pe"}),
    ("soc16-wifi", {"num_jobs": 3, "scale": 40, "horizon": 700}, {"mode": "task"}),
    ("soc16-wifi", {"num_jobs": 4, "scale": 60, "frequencies": (1000, 1400, 0, 0, 0)}, {"max_ready": 5}),
    ("biglittle", {"num_jobs": 3, "scale": 300, "noise": 0.2}, {"defer": False}),
    ("top-stream", {"num_jobs": 8, "scale": 50, "noise": 0.2}, {"max_live_jobs": 3}),
    ("top-stream", {"num_jobs": 6, "scale": 75, "warm_up": 120}, {"max_ready": 2}),
    ("top-pss3", {"horizon": 900}, {}),
    ("top-pss3", {"horizon": 900, "noise": 0.5, "warm_up": 200}, {"mode": "pe", "defer": False}),
    ("layered", {"num_tasks": 15, "noise": 0.4}, {}),
    ("moe", {"direction": "both"}, {"mode": "task"}),
    ("toy", {}, {"skip_forced": False}),
]


@pytest.mark.slow
@pytest.mark.parametrize("world", range(len(WORLDS)))
def test_schedule_tells_what_the_run_was_worth(world: int) -> None:
    """Guards precedence, data arrival, exclusivity, eligibility, caps and noise draws in 10 400 random episodes of all modes.

    Latency, makespan and energy recomputed from the schedule alone are exactly the simulator's, and the rewards add up to them.
    """
    name, parameters, options = WORLDS[world]
    generator = make_generator(name, **parameters)
    engine = SocEngine(SLOTS, generator.size, **({"observe": False} | options))
    rng = np.random.default_rng((31, world))
    for _ in range(BATCHES):
        instances = [generator.sample(rng) for _ in range(SLOTS)]
        for slot, instance in enumerate(instances):
            engine.load(slot, instance)
        returns = np.zeros(SLOTS)
        while not engine.outcome.terminated.all():
            mask = engine.observation["action_mask"]
            actions = (rng.random(mask.shape) * mask).argmax(axis=1)
            engine.step(np.where(engine.outcome.terminated, -1, actions))
            returns += engine.outcome.reward
        for slot, instance in enumerate(instances):
            truth, told = measure(instance, engine.schedule(slot)), engine.metrics(slot)
            assert told.counted_latency == truth.latency
            assert told.energy_pj == (None if truth.energy < 0 else truth.energy)
            assert engine.now(slot) == truth.makespan
            value = float(getattr(truth, instance.objective))
            assert engine.objective(slot) == value
            assert returns[slot] == pytest.approx(engine.return_of(slot, value), rel=1e-9)


def test_a_wrong_duration_would_be_seen() -> None:
    """Guards the check above against passing whatever happens: one noise draw changed after the run, and it is refused."""
    instance = make_generator("top-stream", num_jobs=3, noise=0.3).sample(np.random.default_rng(0))
    engine = SocEngine(1, make_generator("top-stream", num_jobs=3, noise=0.3).size, defer=False)
    engine.load(0, instance)
    while not engine.outcome.terminated[0]:
        engine.step(engine.observation["action_mask"].argmax(axis=1))
    schedule = engine.schedule(0)
    realised = instance.row_durations.copy()
    row = int(instance.row_first[schedule.job[4]] + schedule.task[4])
    realised[row, schedule.resource[4]] += 1
    with pytest.raises(ValueError, match="takes"):
        measure(replace(instance, realised=realised), schedule)
