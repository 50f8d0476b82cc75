"""Simulated tasks a second of `makespan/SoC-v0`, beside a plain-Python event loop under the same rule (FIFO, earliest finish).

    python benchmarks/soc_speed.py

All runs schedule the same streams: soc16-mix at the given scale. Seconds are those of the processor, so that other work on the
machine disturbs little. In mode "task" action 0 is the rule itself, so that no policy is
timed. "bare" engines write no decision graph.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from heapq import heappop, heappush

import gymnasium
import numpy as np

import makespan  # noqa: F401
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance


def plain_loop(instance: SocInstance) -> dict[tuple[int, int], tuple[int, int]]:
    """(PE, start) of every (job, task): lists, dictionaries and a heap of events."""
    first, durations = instance.task_first.tolist(), instance.durations.tolist()
    sources: list[list[tuple[int, int]]] = [[] for _ in durations]
    targets: list[list[int]] = [[] for _ in durations]
    for a, b, volume in zip(
        instance.edge_source.tolist(),
        instance.edge_target.tolist(),
        instance.edge_volume.tolist(),
        strict=True,
    ):
        sources[b].append((a, volume))
        targets[a].append(b)
    wire, profiles = instance.bandwidth.tolist(), instance.job_profile.tolist()
    num_pes = len(wire)
    events: list[tuple[int, int, int, int, int]] = []
    for j, time_us in enumerate(instance.arrival.tolist()):
        heappush(events, (time_us, j - len(profiles), -1, j, -1))
    waits: dict[tuple[int, int], int] = {}
    place: dict[tuple[int, int], tuple[int, int, int]] = {}
    record: dict[tuple[int, int], tuple[int, int]] = {}
    queues: list[list[tuple[int, int, int, int, int]]] = [[] for _ in range(num_pes)]
    running, free, started, committed = [False] * num_pes, [0] * num_pes, 0, 0
    while events:
        now, ready = events[0][0], []
        while events and events[0][0] == now:
            _, _, p, j, t = heappop(events)
            if p < 0 and t < 0:
                low, high = first[profiles[j]], first[profiles[j] + 1]
                waits.update(((j, t), len(sources[t])) for t in range(low, high))
                ready += [(j, t) for t in range(low, high) if not sources[t]]
            elif t >= 0:
                running[p] = False
                place[j, t] = (p, now, 0)
                for after in targets[t]:
                    waits[j, after] -= 1
                    if waits[j, after] == 0:
                        ready.append((j, after))
        for j, t in ready:
            best = None
            for p in range(num_pes):
                if durations[t][p] < 0:
                    continue
                data = now
                for a, volume in sources[t]:
                    q, end, _ = place[j, a]
                    data = max(data, end + (volume // wire[q][p] if wire[q][p] else 0))
                start = max(data, free[p] if running[p] or queues[p] else now)
                if best is None or start + durations[t][p] < best[0]:
                    best = (start + durations[t][p], p, data)
            assert best is not None
            free[best[1]] = best[0]
            queues[best[1]].append((j, committed, t, best[2], durations[t][best[1]]))
            queues[best[1]].sort()
            committed += 1
            if best[2] > now:
                heappush(events, (best[2], 2**40, best[1], -1, -1))
        for p in range(num_pes):
            entry = next((e for e in queues[p] if e[3] <= now), None)
            if not running[p] and entry is not None:
                queues[p].remove(entry)
                running[p] = True
                record[entry[0], entry[2]] = (p, now)
                heappush(events, (now + entry[4], started, p, entry[0], entry[2]))
                started += 1
    return record


def rate(run: Callable[[], int], seconds: float) -> float:
    """Tasks a CPU second of `run`, which returns how many it scheduled; the first call is not timed."""
    run()
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        count += run()
    return count / (time.process_time() - start)


def engine_run(instances: list[SocInstance], observe: bool, skip_forced: bool) -> Callable[[], int]:
    """Schedules the instances side by side in one batch until the first of them is done."""
    size = make_generator("soc16-mix", num_jobs=instances[0].num_jobs).size
    engine = SocEngine(
        len(instances), size, mode="task", defer=False, skip_forced=skip_forced, observe=observe
    )
    actions = np.zeros(len(instances), np.int64)

    def run() -> int:
        for slot, instance in enumerate(instances):
            engine.load(slot, instance)
        while not engine.outcome.terminated.any():
            engine.step(actions)
        return sum(engine.metrics(slot).finished_tasks for slot in range(len(instances)))

    return run


def env_run(instance: SocInstance) -> Callable[[], int]:
    """The scalar Gymnasium environment, observations copied."""
    env = gymnasium.make(
        "makespan/SoC-v0", instance=instance, mode="task", defer=False, skip_forced=False
    ).unwrapped

    def run() -> int:
        env.reset(seed=0)
        done = False
        while not done:
            _, _, done, _, _ = env.step(0)
        return instance.total_rows

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=60.0)
    parser.add_argument("--num-jobs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 1024])
    args = parser.parse_args()
    generator = make_generator("soc16-mix", scale=args.scale, num_jobs=args.num_jobs)
    rng = np.random.default_rng(0)
    instances = [generator.sample(rng) for _ in range(max(args.batches))]
    slowest = rate(lambda: len(plain_loop(instances[0])), args.seconds)
    print(f"{'plain-Python event loop':50s} {slowest:12,.0f} tasks/s")

    def show(name: str, tasks: float) -> None:
        print(f"{name:50s} {tasks:12,.0f} tasks/s {tasks / slowest:8.0f}x")

    show("Gymnasium environment, copies", rate(env_run(instances[0]), args.seconds))
    for batch in args.batches:
        for observe in (True, False):
            kind = "with the decision graph" if observe else "bare"
            run = engine_run(instances[:batch], observe, skip_forced=False)
            show(f"engine, batch {batch}, {kind}", rate(run, args.seconds))


if __name__ == "__main__":
    main()
