"""Slots of one engine beside each other: whatever they hold, each runs as if it were alone."""

from __future__ import annotations

import numpy as np

from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.generator_base import SocSize
from makespan.envs.soc.instance import SocInstance


class Beside:
    """An engine of several slots, and for each of them an engine of its own that is treated alike."""

    def __init__(self, instances: list[SocInstance], size: SocSize) -> None:
        self.engine = SocEngine(len(instances), size, max_live_jobs=6)
        self.alone = [SocEngine(1, size, max_live_jobs=6) for _ in instances]
        self.rng = np.random.default_rng(0)
        for slot, instance in enumerate(instances):
            self.load(slot, instance)

    def load(self, slot: int, instance: SocInstance) -> None:
        self.engine.load(slot, instance)
        self.alone[slot].load(0, instance)

    def copy(self, source: int, target: int) -> None:
        self.engine.copy_slots(np.array([source]), np.array([target]))
        self.alone[target].restore(0, self.alone[source].clone(0))

    def restore(self, source: int, target: int) -> None:
        self.engine.restore(target, self.engine.clone(source))
        self.alone[target].restore(0, self.alone[source].clone(0))

    def step(self, count: int) -> None:
        """Random decisions, after each of which the slots show what the engines show that are alone."""
        for _ in range(count):
            mask = self.engine.observation["action_mask"]
            actions = (self.rng.random(mask.shape) * mask).argmax(axis=1)
            self.engine.step(actions)
            for slot, alone in enumerate(self.alone):
                alone.step(actions[slot : slot + 1])
                assert self.engine.outcome.reward[slot] == alone.outcome.reward[0]
                assert not self.engine.outcome.terminated[slot]
                for key, array in self.engine.observation.items():
                    np.testing.assert_array_equal(array[slot], alone.observation[key][0], err_msg=key)


def test_slots_do_not_depend_on_each_other() -> None:
    """Slots that share their tables with slot 0 keep to their own worlds when slots are loaded, copied and restored."""
    rng = np.random.default_rng(1)
    stream, graphs = make_generator("top-stream", num_jobs=30), make_generator("layered", num_tasks=60)
    one, two, three, four = (stream.sample(rng) for _ in range(4))
    first, second = graphs.sample(rng), graphs.sample(rng)
    beside = Beside([one, two, first, three], SocSize.of(one, two, three, four, first, second))
    beside.step(8)
    beside.load(0, second)  # whose tables nobody shares any more
    beside.step(8)
    beside.load(0, four)
    beside.restore(source=1, target=2)
    beside.step(8)
    beside.load(2, first)
    beside.copy(source=2, target=3)
    beside.load(2, two)  # the copy stays what it is
    beside.step(8)
    beside.restore(source=3, target=0)
    beside.load(3, second)  # as before, what slot 0 holds is still there
    beside.step(8)
    beside.copy(source=1, target=0)
    beside.step(8)


def test_loading_again_starts_anew() -> None:
    """An instance that its slot holds already starts as if it had just come, be the run before it at its end or not."""
    instance = make_generator("soc16-mix", num_jobs=6, noise=0.2).sample(np.random.default_rng(2))
    fresh, engine = SocEngine(1, SocSize.of(instance)), SocEngine(1, SocSize.of(instance))
    fresh.load(0, instance)
    engine.load(0, instance)
    for steps in (5, 10_000):
        while steps and not engine.outcome.terminated[0]:
            engine.step(engine.observation["action_mask"].argmax(axis=1))
            steps -= 1
        assert len(engine.schedule(0)) > 0
        engine.load(0, instance)
        assert len(engine.schedule(0)) == 0
        assert engine.metrics(0).finished_tasks == engine.num_decisions(0) == 0
        for key, array in engine.observation.items():
            np.testing.assert_array_equal(array, fresh.observation[key], err_msg=key)
