"""The decision graph of the SoC: values against the plain simulator, and what is kept up to date against what is written anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plain_soc import PlainSoc, PlainTask
from soc_runs import engine_for

from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.instance import SocInstance

CASES = (
    ("soc16-mix", {"scale": 30.0, "num_jobs": 8, "noise": 0.3}),
    ("top-pss3", {"horizon": 400}),
)


def named(engine: SocEngine, kind: str, row: int) -> dict[str, float]:
    """Features of a node or candidate by name."""
    schema, x = engine.schema, engine.observation
    if kind == "candidate":
        features = schema.candidates.features
    elif kind == "critic":
        features = schema.critic_features
        return {f.name: float(v) for f, v in zip(features, x["critic_x"][0], strict=True)}
    else:
        features = schema.node(kind).features
    return {f.name: float(v) for f, v in zip(features, x[f"{kind}_x"][0, row], strict=True)}


class PlainGraph:
    """What the graph should say of a `PlainSoc`, feature by feature as the schema describes it."""

    def __init__(self, soc: PlainSoc) -> None:
        self.soc, self.i = soc, soc.instance
        self.shortest = [min(d for d in row if d >= 0) for row in soc.durations]
        self.level = [0] * self.i.total_tasks
        for t in self._backwards():
            self.level[t] = self.shortest[t] + max((self.level[a] for a in soc.targets[t]), default=0)
        first = self.i.task_first.tolist()
        spans = itertools.pairwise(first)
        self.bounds = [max(self.level[a:b]) for a, b in spans]
        self.u = max(1, int(sum(self.bounds) / len(self.bounds) + 0.5))

    def _backwards(self) -> list[int]:
        order: list[int] = []
        while len(order) < self.i.total_tasks:
            order += [
                t
                for t in range(self.i.total_tasks)
                if t not in order and all(a in order for a in self.soc.targets[t])
            ]
        return order

    def path(self, job: int) -> int:
        """Longest path through what is unfinished of a job."""
        longest = 0
        for t in self.soc.members(job):
            task = self.soc.tasks[job, t]
            if task.end is None and task.start is not None:
                rest = max(0, task.expected_end - self.soc.now)
                longest = max(longest, rest + self.level[t] - self.shortest[t])
            elif task.end is None:
                longest = max(longest, self.level[t])
        return longest

    def job(self, job: int) -> dict[str, float]:
        soc, members = self.soc, self.soc.members(job)
        tasks = [soc.tasks[job, t] for t in members]
        left = [t for t in members if soc.tasks[job, t].end is None]
        active = sum(t.pe is not None and t.end is None for t in tasks)
        return {
            "age": (soc.now - soc.jobs[job]) / self.u,
            "progress": 1 - len(left) / len(tasks),
            "remaining_work": sum(self.shortest[t] for t in left) / self.u,
            "remaining_path": self.path(job) / self.u,
            "critical_path": self.bounds[int(self.i.job_profile[job])] / self.u,
            "ready": sum((job, t) in soc.ready for t in members) / len(tasks),
            "active": active / len(tasks),
            "counted": float(self.i.counted[job]),
        }

    def shown(self, task: PlainTask) -> bool:
        """Whether a task is in the graph: until its output has been asked for by every successor."""
        if task.end is None:
            return True
        return any(self.soc.tasks[task.job, a].pe is None for a in self.soc.targets[task.template])

    def task(self, task: PlainTask) -> dict[str, float]:
        soc = self.soc
        waits = sum(soc.tasks[task.job, s].end is None for s, _ in soc.sources[task.template])
        degree = len(soc.sources[task.template])
        started, placed = task.start is not None, task.pe is not None
        ready = (task.job, task.template) in soc.ready
        idle_since = task.ready if task.ready is not None else soc.now
        return {
            "shortest_execution": self.shortest[task.template] / self.u,
            "critical_path": self.level[task.template] / self.u,
            "outstanding": float(not ready and not placed),
            "ready": float(ready),
            "committed": float(placed and not started),
            "running": float(started and task.end is None),
            "done": float(task.end is not None),
            "waiting_for": waits / max(1, degree),
            "waited": 0.0 if started else (soc.now - idle_since) / self.u,
            "remaining": max(0, task.expected_end - soc.now) / self.u
            if started and task.end is None
            else 0.0,
            "template": task.template,
        }

    def pe(self, p: int) -> dict[str, float]:
        queue, wait = self.soc.queue(p), self.soc.available(p) - self.soc.now
        work = sum(self.soc.durations[t.template][p] for t in queue)
        return {
            "idle": float(self.soc.running(p) is None and not queue),
            "running": float(self.soc.running(p) is not None),
            "available": wait / self.u,
            "queue_length": len(queue) / self.i.num_pes,
            "queue_work": work / self.u,
            "available_us": wait,
        }


def check_graph(engine: SocEngine, soc: PlainSoc) -> None:
    """Compare every live row, and the edges."""
    graph, x = PlainGraph(soc), engine.observation
    number = engine.schema.node_feature("job", "number")
    slot_of = {int(x["job_x"][0, s, number]): int(s) for s in np.flatnonzero(x["job_mask"][0])}
    assert set(slot_of) == {j for j in range(soc.entered) if j not in soc.finish}
    rows: dict[tuple[int, int], int] = {}
    width = engine.schema.node("task").max_count // engine.schema.node("job").max_count
    for job, slot in slot_of.items():
        found = named(engine, "job", slot)
        for key, value in graph.job(job).items():
            assert found[key] == pytest.approx(value, abs=1e-5), (job, key)
        for local, t in enumerate(soc.members(job)):
            row, task = slot * width + local, soc.tasks[job, t]
            assert bool(x["task_mask"][0, row]) == graph.shown(task)
            if graph.shown(task):
                rows[job, t] = row
                assert x["task_parent"][0, row] == slot
                found = named(engine, "task", row)
                for key, value in graph.task(task).items():
                    assert found[key] == pytest.approx(value, abs=1e-5), (job, t, key)
    assert x["task_mask"][0].sum() == len(rows)
    for p in range(soc.instance.num_pes):
        found = named(engine, "pe", p)
        for key, value in graph.pe(p).items():
            assert found[key] == pytest.approx(value, abs=1e-5), (p, key)
    edges = {(a, b) for a, b in x["precedence_index"][0].T.tolist() if a >= 0}
    assert edges == {
        (rows[j, s], row) for (j, t), row in rows.items() for s, _ in soc.sources[t] if (j, s) in rows
    }
    assigned = {(a, p) for a, p in x["assignment_index"][0].T.tolist() if a >= 0}
    assert assigned == {
        (row, soc.tasks[key].pe) for key, row in rows.items() if soc.tasks[key].pe is not None
    }
    links = {(a, p) for a, p in x["eligibility_index"][0].T.tolist() if a >= 0}
    can = soc.durations
    assert links == {(rows[key], p) for key in soc.ready for p in range(len(can[0])) if can[key[1]][p] >= 0}
    critic = named(engine, "critic", 0)
    work = [sum(graph.shortest[t] for t in soc.members(j)) for j in range(len(soc.jobs))]
    later = range(soc.arrived, len(soc.jobs))
    for window in (1, 2, 4, 8):
        total = sum(work[j] for j in later if soc.jobs[j] - soc.now <= window * graph.u)
        assert critic[f"work_{window}"] == pytest.approx(total / (soc.instance.num_pes * graph.u), abs=1e-4)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_graph_matches_plain_python(name: str, parameters: dict[str, object]) -> None:
    """Nodes, edges, statuses, ages, paths and the critic's outlook are those of an independent simulator at every decision."""
    rng = np.random.default_rng(5)
    instance = make_generator(name, **parameters).sample(rng)
    engine, soc = engine_for(instance, max_live_jobs=3, defer=True), PlainSoc(instance, room=3)
    decisions = 0
    while not engine.outcome.terminated[0]:
        check_graph(engine, soc)
        index, mask = engine.observation["candidate_index"][0], engine.observation["action_mask"][0]
        action = int(rng.choice(np.flatnonzero(mask)))
        template = engine.schema.node_feature("task", "template")
        number = engine.schema.node_feature("job", "number")
        if index[action, 0] >= 0:
            job = int(engine.observation["job_x"][0, index[action, 1], number])
            key = (job, int(engine.observation["task_x"][0, index[action, 0], template]))
            soc.place(key, int(index[action, 2]))
        else:
            soc.defer()
        engine.step(np.array([action]))
        decisions += 1
    assert decisions > 50


def test_candidates_by_hand() -> None:
    """One fork on two unlike PEs: every number that rules read, worked out by hand.

    Task 0 (PE 0: 4, PE 1: 6) feeds 1 (5, 2) with 10 and 2 (3, cannot) with 6; bandwidth 2 between the PEs, own data at once.
    Task 0 goes to PE 0 and ends at 4; at PE 1 data are at 4 + 5 = 9.
    """
    instance = SocInstance(
        task_first=[0, 3],
        execution=[[4, 6], [5, 2], [3, -1]],
        edge_source=[0, 0],
        edge_target=[1, 2],
        edge_volume=[10, 6],
        pe_type=[0, 1],
        pe_cluster=[0, 1],
        bandwidth=[[0, 2], [2, 0]],
        job_profile=[0],
        arrival=[0],
    )  # type: ignore[arg-type]  # lists are converted
    engine = engine_for(instance, defer=False, max_ready=2)
    first = named(engine, "candidate", 0)
    # mean executions 5, 3.5, 3; mean communication 10 / 2 and 6 / 2; rank of 0 is 5 + max(5 + 3.5, 3 + 3)
    assert first["upward"] == 64 * 13.5
    assert first["static_level"] == 64 * 8.5
    # after task 0 on PE 0: task 1 there 5, or 5 + 2 away; task 2 there 3; on PE 1: task 1 there 2, task 2 away 3 + 3
    assert first["optimistic_us"] == 5
    assert named(engine, "candidate", 1)["optimistic_us"] == 6
    assert first["priority_oct"] == 64 * 5.5
    engine.step(np.array([0]))
    assert engine.now(0) == 4
    seen = {a: named(engine, "candidate", a) for a in range(3)}
    assert engine.observation["action_mask"][0].tolist() == [1, 1, 1, 0]
    assert [seen[a]["data_us"] for a in range(3)] == [0, 5, 0]
    assert [seen[a]["finish_us"] for a in range(3)] == [5, 7, 3]
    assert [seen[a]["second_us"] for a in range(3)] == [7, 7, 3]
    assert [seen[a]["shortest_us"] for a in range(3)] == [2, 2, 3]
    assert [seen[a]["order"] for a in range(3)] == [0, 0, 1]
    assert seen[1]["assigned"] == 0
    assert seen[0]["assigned"] == 1
    engine.step(np.array([2]))  # task 2 to PE 0
    assert named(engine, "candidate", 0)["finish_us"] == 8
    assert named(engine, "candidate", 0)["pe_us"] == 3
    assert named(engine, "candidate", 1)["finish_us"] == 7
    engine.step(np.array([1]))
    assert engine.objective(0) == 11


def test_twins() -> None:
    """Like PEs that are idle and reached as early stand for each other; the one that holds the data does not."""
    instance = SocInstance(
        task_first=[0, 2],
        execution=[[4], [5]],
        edge_source=[0],
        edge_target=[1],
        edge_volume=[10],
        pe_type=[0, 0, 0],
        pe_cluster=[0, 0, 0],
        bandwidth=np.where(np.eye(3, dtype=int) > 0, 0, 2),
        job_profile=[0],
        arrival=[0],
    )  # type: ignore[arg-type]  # lists are converted
    engine = engine_for(instance, merge_twins=True, defer=False, max_ready=1)
    assert engine.observation["action_mask"][0].tolist() == [1, 0, 0]
    engine.step(np.array([0]))
    assert engine.observation["action_mask"][0].tolist() == [1, 1, 0]


def test_empty_rows_are_empty() -> None:
    """Rows of tasks and jobs that are gone hold zeros, and nothing points at them."""
    instance = make_generator("soc16-mix", scale=20.0, num_jobs=10).sample(np.random.default_rng(2))
    engine = engine_for(instance, max_live_jobs=3, defer=False, max_ready=4)
    x = engine.observation
    while not engine.outcome.terminated[0]:
        for node in ("task", "job"):
            there = x[f"{node}_mask"][0] > 0
            assert not x[f"{node}_x"][0][~there].any()
            assert (x[f"{node}_parent"][0][~there] == -1).all()
        tasks = x["task_mask"][0] > 0
        for key in ("precedence_index", "eligibility_index", "assignment_index"):
            used = x[key][0, 0] >= 0
            assert tasks[x[key][0, 0, used]].all()
        forbidden = x["action_mask"][0] == 0
        assert not x["candidate_x"][0][forbidden].any()
        assert (x["candidate_index"][0][forbidden] == -1).all()
        engine.step(x["action_mask"].argmax(axis=1))
