"""The decision graph of a `PlainShop`, feature by feature as the schema describes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from plain_shop import Pair, PlainShop

from makespan.envs.core.graph import GraphSchema

Row = dict[str, float]


class PlainGraph:
    """Rows of named features for each node, edge and allowed candidate of a shop at a decision."""

    def __init__(self, shop: PlainShop) -> None:
        self.shop = shop
        self.num_jobs, self.num_machines = len(shop.jobs), shop.num_machines
        self.operations = [(j, i) for j, job in enumerate(shop.jobs) for i in range(len(job))]
        self.number = {place: o for o, place in enumerate(self.operations)}
        self.unit = max(1, shop.initial_bound)
        self.longest = max(1, max(p for job in shop.jobs for o in job for _, p in o))
        self.choices = shop.allowed()
        self.now = min((pair.start for pair in shop.pairs()), default=0)

    def fastest(self, j: int, i: int) -> int:
        return min(p for _, p in self.shop.jobs[j][i])

    def work(self, j: int, first: int = 0) -> int:
        return sum(self.fastest(j, i) for i in range(first, len(self.shop.jobs[j])))

    def next_of(self, j: int) -> int:
        return len(self.shop.done[j])

    def open(self, j: int) -> bool:
        return self.next_of(j) < len(self.shop.jobs[j])

    def load(self, m: int, everything: bool = False) -> int:
        """Work left on a machine; an operation's share of each of its n machines is its duration there div n."""
        shops = self.shop.jobs
        left = [(j, i) for j, i in self.operations if everything or i >= self.next_of(j)]
        return sum(p // len(shops[j][i]) for j, i in left for machine, p in shops[j][i] if machine == m)

    def could_run(self, m: int) -> int:
        return sum(m in dict(o) for o in self.shop.unscheduled())

    def rivals(self, m: int) -> list[int]:
        return [j for j in range(self.num_jobs) if self.open(j) and m in dict(self.shop.remaining(j)[0])]

    def queue_work(self, m: int) -> int:
        waiting = [j for j in self.rivals(m) if self.shop.job_ready(j) <= self.now]
        return sum(self.fastest(j, self.next_of(j)) for j in waiting)

    def operation(self, j: int, i: int) -> Row:
        shop, length = self.shop, len(self.shop.jobs[j])
        done = i < self.next_of(j)
        ahead = sum(self.fastest(j, n) for n in range(self.next_of(j), i + 1))
        completion = shop.done[j][i][2] if done else shop.job_ready(j) + ahead
        before = sum(self.fastest(j, n) for n in range(i))
        return {
            "scheduled": done,
            "completion": completion / self.unit,
            "duration": self.fastest(j, i) / self.unit,
            "relative_duration": self.fastest(j, i) / self.longest,
            "head": (shop.release[j] + before) / self.unit,
            "tail": self.work(j, i + 1) / self.unit,
            "position": i / length,
            "flexibility": len(shop.jobs[j][i]) / self.num_machines,
        }

    def job(self, j: int) -> Row:
        ready, left = self.shop.job_ready(j), self.shop.remaining_work(j)
        length = len(self.shop.jobs[j])
        return {
            "unfinished": self.open(j),
            "ready": (ready - self.now) / self.unit,
            "remaining_work": left / self.unit,
            "remaining_operations": (length - self.next_of(j)) / length,
            "slack": (self.shop.bound - ready - left) / self.unit,
            "work": self.work(j) / self.unit,
            "length": length / max(len(job) for job in self.shop.jobs),
        }

    def machine(self, m: int) -> Row:
        ready, left = self.shop.machine_ready(m), self.load(m)
        return {
            "ready": (ready - self.now) / self.unit,
            "remaining_work": left / self.unit,
            "remaining_operations": self.could_run(m) / self.num_jobs,
            "slack": (self.shop.bound - ready - left) / self.unit,
            "queue_length": len(self.rivals(m)) / self.num_jobs,
            "queue_work": self.queue_work(m) / self.unit,
            "work": self.load(m, everything=True) / self.unit,
        }

    def system(self) -> Row:
        return {
            "progress": sum(map(len, self.shop.done)) / len(self.operations),
            "bound": (self.shop.bound - self.shop.initial_bound) / self.unit,
            "now": self.now / self.unit,
            "makespan": self.shop.makespan / self.unit,
            "allowed": len(self.choices) / self.num_jobs,
            "jobs_share": self.num_jobs / (self.num_jobs + self.num_machines),
        }

    def eligibility(self, j: int, i: int, p: int) -> Row:
        return {"duration": p / self.unit, "excess": (p - self.fastest(j, i)) / self.unit}

    def candidate(self, pair: Pair) -> Row:
        shop, unit = self.shop, self.unit
        j, m, start, end = pair.job, pair.machine, pair.start, pair.end
        i, p, length = self.next_of(j), end - start, len(shop.jobs[j])
        tail, left = self.work(j, i + 1), self.load(m)
        row: Row = {
            "duration": p / unit,
            "relative_duration": p / self.longest,
            "excess": (p - self.fastest(j, i)) / unit,
            "start": (start - self.now) / unit,
            "end": (end - self.now) / unit,
            "job_wait": (start - shop.job_ready(j)) / unit,
            "machine_idle": (start - shop.machine_ready(m)) / unit,
            "tail": tail / unit,
            "job_slack": (shop.bound - end - tail) / unit,
            "machine_slack": (shop.bound - start - left) / unit,
            "bound_increase": (self.bound_after(pair) - shop.bound) / unit,
            "remaining_operations": (length - i - 1) / length,
            "machine_operations": self.could_run(m) / self.num_jobs,
            "rivals": len(self.rivals(m)) / self.num_jobs,
            "flexibility": len(shop.jobs[j][i]) / self.num_machines,
            "is_last": i + 1 == length,
            "processing_time": p,
            "earliest_start": start,
            "queue_entry": shop.job_ready(j),
            "remaining_work": self.work(j, i),
            "remaining_operations_count": length - i,
            "cumulative_work": shop.release[j] + self.work(j) - tail,
            "total_work": self.work(j),
            "machine_remaining_work": left,
        }
        return row | (self.next_machine(j, i + 1, end) if i + 1 < length else {})

    def bound_after(self, pair: Pair) -> int:
        """The lower bound once the pair is scheduled."""
        done = [*self.shop.done]
        done[pair.job] = [*done[pair.job], (pair.machine, pair.start, pair.end)]
        after = PlainShop(self.shop.jobs, self.num_machines, self.shop.release, self.shop.sgs)
        after.done = done
        return max(self.shop.bound, after.lower_bound())

    def next_machine(self, j: int, i: int, end: int) -> Row:
        """The outlook on operation i; of its machines the one that is free first counts."""
        m = min((m for m, _ in self.shop.jobs[j][i]), key=self.shop.machine_ready)
        ready = self.shop.machine_ready(m)
        return {
            "next_duration": self.fastest(j, i) / self.unit,
            "next_idle": (end - ready) / self.unit,
            "next_work": self.load(m) / self.unit,
            "next_queue": self.queue_work(m) / self.unit,
            "next_queue_work": self.queue_work(m) + max(0, ready - self.now),
        }

    def observation(self, schema: GraphSchema) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for a shop that need not fill the schema."""
        out = {key: value[0] for key, value in schema.zeros(1).items()}
        counts = {
            "operation": len(self.operations),
            "job": self.num_jobs,
            "machine": self.num_machines,
            "system": 1,
        }
        for name, count in counts.items():
            out[f"{name}_count"][0] = count
        edge = link = 0
        for o, (j, i) in enumerate(self.operations):
            _fill(out["operation_x"][o], schema.node("operation").features, self.operation(j, i))
            out["operation_parent"][o] = j
            for m, p in self.shop.jobs[j][i]:
                out["eligibility_index"][:, edge] = o, m
                _fill(
                    out["eligibility_x"][edge], schema.edge("eligibility").features, self.eligibility(j, i, p)
                )
                edge += 1
            if i + 1 < len(self.shop.jobs[j]):
                out["precedence_index"][:, link] = o, o + 1
                link += 1
        for j in range(self.num_jobs):
            _fill(out["job_x"][j], schema.node("job").features, self.job(j))
            if self.open(j):
                out["frontier_index"][:, j] = j, self.number[j, self.next_of(j)]
        for m in range(self.num_machines):
            _fill(out["machine_x"][m], schema.node("machine").features, self.machine(m))
        _fill(out["system_x"][0], schema.node("system").features, self.system())
        width = schema.edge("eligibility").max_count // schema.node("operation").max_count
        for choice in self.choices:
            wait = not isinstance(choice, Pair)
            a = len(out["action_mask"]) - 1 if wait else choice.job * width + choice.k
            row = {"is_wait": 1.0} if wait else self.candidate(choice)
            _fill(out["candidate_x"][a], schema.candidates.features, row)
            if not wait:
                place = (choice.job, self.next_of(choice.job))
                out["candidate_index"][a] = self.number[place], choice.job, choice.machine
            out["action_mask"][a] = 1
        return out


def _fill(target: NDArray[np.float32], features: tuple[Any, ...], row: Row) -> None:
    """Write named values into their columns; columns the row does not name stay 0."""
    names = [feature.name for feature in features]
    assert row.keys() <= set(names)
    for name, value in row.items():
        target[names.index(name)] = value
