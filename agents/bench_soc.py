"""What `makespan bench soc` times: streams of jobs on sixteen PEs, and an event loop in plain Python under the same rule.

Every decision commits one task, so that decisions a second are simulated tasks a second: nothing is deferred, forced moves are
asked, too. In mode `task` action 0 is FIFO with the earliest finish, which the plain loop also follows, so that no policy is
timed; in mode `task_pe` actions are random. "bare" engines write no decision graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, Final

import gymnasium
import numpy as np

from makespan.agents.bench import Contestant, Play
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance

SIZES: Final = {"soc16-mix 60": ("soc16-mix", 60.0), "top-stream 75": ("top-stream", 75.0)}
NUM_JOBS: Final = 100
BATCHES: Final = (1, 64, 1024)
DECISIONS: Final = 4_096  # of a batch between two looks at the clock
PLAIN: Final = "plain Python"
ASKED: Final[dict[str, Any]] = {"defer": False, "skip_forced": False}


def contestants(sizes: Sequence[str] | None = None) -> list[Contestant]:
    """Everybody, size by size."""
    chosen = list(SIZES) if sizes is None else list(sizes)
    for size in chosen:
        if size not in SIZES:
            raise UnknownNameError("size", size, SIZES)
    return [contestant for size in chosen for contestant in _of_size(size, *SIZES[size])]


def _of_size(size: str, generator: str, scale: float) -> Iterator[Contestant]:
    def row(what: str, num_envs: int, build: Callable[[], Play], reference: str = "") -> Contestant:
        return Contestant(what, size, num_envs, build, reference)

    source = make_generator(generator, scale=scale, num_jobs=NUM_JOBS)
    rng = np.random.default_rng(0)
    instances = [source.sample(rng) for _ in range(max(BATCHES))]
    yield row("event loop in plain Python, no observation", 1, lambda: _plain(instances[0]), PLAIN)
    for copy in (True, False):
        kind = "copied" if copy else "live"
        yield row(f"env.step, full observation, {kind}", 1, lambda c=copy: _scalar(instances[0], c))  # type: ignore[misc]
    for mode in ("task", "task_pe"):
        for num_envs in BATCHES:
            for observe in (True, False):
                kind = "full observation" if observe else "bare"
                build = lambda m=mode, n=num_envs, o=observe: _batch(source.size, instances[:n], m, o)  # noqa: E731
                yield row(f"batch in mode {mode}, {kind}", num_envs, build)


def _plain(instance: SocInstance) -> Play:
    return lambda: len(plain_loop(instance))


def _scalar(instance: SocInstance, copy: bool) -> Play:
    env: Any = gymnasium.make(
        "makespan/SoC-v0", instance=instance, mode="task", copy=copy, disable_env_checker=True, **ASKED
    ).unwrapped

    def play() -> int:
        env.reset(seed=0)
        done = False
        while not done:
            _, _, done, _, _ = env.step(0)
        return instance.total_rows

    return play


def _batch(size: Any, instances: list[SocInstance], mode: str, observe: bool) -> Play:
    """Steps slots side by side; a slot whose run is done starts anew."""
    engine = SocEngine(len(instances), size, mode=mode, observe=observe, **ASKED)
    for slot, instance in enumerate(instances):
        engine.load(slot, instance)
    mask, done = engine.observation["action_mask"], engine.outcome.terminated
    tables = np.random.default_rng(0).random((31, *mask.shape), dtype=np.float32)
    first = np.zeros(len(instances), np.int64)
    steps = max(1, DECISIONS // len(instances))

    def play() -> int:
        for step in range(steps):
            engine.step(first if mode == "task" else (tables[step % 31] * mask).argmax(axis=1))
            if done.any():
                for slot in np.flatnonzero(done).tolist():
                    engine.load(slot, instances[slot])
        return steps * len(instances)

    return play


def plain_loop(instance: SocInstance) -> dict[tuple[int, int], tuple[int, int]]:
    """(PE, start) of every (job, template task): lists, dictionaries and a heap of events, without noise, cap or horizon."""
    return _PlainLoop(instance).run()


class _PlainLoop:
    """FIFO order, each task on the PE where it finishes first."""

    def __init__(self, instance: SocInstance) -> None:
        self.first, self.durations = instance.task_first.tolist(), instance.durations.tolist()
        self.sources: list[list[tuple[int, int]]] = [[] for _ in self.durations]
        self.targets: list[list[int]] = [[] for _ in self.durations]
        columns = (
            instance.edge_source.tolist(),
            instance.edge_target.tolist(),
            instance.edge_volume.tolist(),
        )
        for a, b, volume in zip(*columns, strict=True):
            self.sources[b].append((a, volume))
            self.targets[a].append(b)
        self.wire, self.profiles = instance.bandwidth.tolist(), instance.job_profile.tolist()
        # time, order, PE, job, task: an arrival has neither PE nor task, data that arrive no task
        self.events: list[tuple[int, int, int, int, int]] = []
        for j, time in enumerate(instance.arrival.tolist()):
            heappush(self.events, (time, j - len(self.profiles), -1, j, -1))
        self.waits: dict[tuple[int, int], int] = {}
        self.place: dict[tuple[int, int], tuple[int, int]] = {}
        self.record: dict[tuple[int, int], tuple[int, int]] = {}
        num_pes = len(self.wire)
        self.queues: list[list[tuple[int, int, int, int, int]]] = [[] for _ in range(num_pes)]
        self.running, self.free = [False] * num_pes, [0] * num_pes
        self.committed = 0

    def run(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Events, then commitments, then starts, instant by instant."""
        while self.events:
            now, ready = self.events[0][0], []
            while self.events and self.events[0][0] == now:
                _, _, p, j, t = heappop(self.events)
                ready += self._arrive(j) if p < 0 else self._finish(p, j, t, now) if t >= 0 else []
            for j, t in ready:
                self._commit(j, t, now)
            self._start(now)
        return self.record

    def _arrive(self, j: int) -> list[tuple[int, int]]:
        tasks = range(self.first[self.profiles[j]], self.first[self.profiles[j] + 1])
        self.waits.update(((j, t), len(self.sources[t])) for t in tasks)
        return [(j, t) for t in tasks if not self.sources[t]]

    def _finish(self, p: int, j: int, t: int, now: int) -> list[tuple[int, int]]:
        self.running[p], self.place[j, t] = False, (p, now)
        ready = []
        for after in self.targets[t]:
            self.waits[j, after] -= 1
            if self.waits[j, after] == 0:
                ready.append((j, after))
        return ready

    def _commit(self, j: int, t: int, now: int) -> None:
        best_end, best_pe, best_data = 2**62, -1, now
        for p, duration in enumerate(self.durations[t]):
            if duration < 0:
                continue
            data = now
            for a, volume in self.sources[t]:
                q, end = self.place[j, a]
                data = max(data, end + (volume // self.wire[q][p] if self.wire[q][p] else 0))
            end = max(data, self.free[p] if self.running[p] or self.queues[p] else now) + duration
            if end < best_end:
                best_end, best_pe, best_data = end, p, data
        self.free[best_pe] = best_end
        self.queues[best_pe].append((j, self.committed, t, best_data, self.durations[t][best_pe]))
        self.queues[best_pe].sort()
        self.committed += 1
        if best_data > now:
            heappush(self.events, (best_data, 2**40, best_pe, -1, -1))

    def _start(self, now: int) -> None:
        for p, queue in enumerate(self.queues):
            entry = next((e for e in queue if e[3] <= now), None)
            if not self.running[p] and entry is not None:
                queue.remove(entry)
                self.running[p] = True
                j, _, t, _, duration = entry
                self.record[j, t] = (p, now)
                heappush(self.events, (now + duration, len(self.record) - 1, p, j, t))
