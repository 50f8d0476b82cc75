"""The simulator against a plain-Python one, DS3's published behaviour, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from plain_soc import PlainSoc
from soc_runs import engine_for, play

from makespan.envs.core.policy import rule_policy
from makespan.envs.soc.benchmark import load_instance
from makespan.envs.soc.engine import SocEngine
from makespan.envs.soc.generator import make_generator
from makespan.envs.soc.generator_base import SocSize
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.validator import measure, validate

STREAMS = (
    ("soc16-mix", {"scale": 40.0, "num_jobs": 8}),
    ("soc16-mix", {"scale": 20.0, "num_jobs": 10, "noise": 0.4, "max_jobs": 3, "horizon": 500}),
    ("top-stream", {"scale": 30.0, "num_jobs": 8, "noise": 0.3, "warm_up": 60}),
    ("layered", {}),
)


@pytest.mark.parametrize(("name", "parameters"), STREAMS)
def test_random_runs_match_plain_python(name: str, parameters: dict[str, object]) -> None:
    """Random decisions, deferring too, give the offers, clock, estimates and schedule of an independent loop."""
    rng = np.random.default_rng(3)
    for _ in range(3):
        instance = make_generator(name, **parameters).sample(rng)
        engine, plain = engine_for(instance, max_live_jobs=4), PlainSoc(instance, room=4)
        finish = engine.schema.action_feature("finish_us")
        template = engine.schema.node_feature("task", "template")
        while not engine.outcome.terminated[0]:
            assert engine.now(0) == plain.now
            index = engine.observation["candidate_index"][0]
            allowed = np.flatnonzero(engine.observation["action_mask"][0])
            placing = allowed[index[allowed, 0] >= 0]
            pairs = [
                (key, p)
                for key in plain.ready
                for p in range(instance.num_pes)
                if plain.durations[key[1]][p] >= 0
            ]
            tasks = engine.observation["task_x"][0, index[placing, 0], template].astype(int).tolist()
            offers = list(zip(tasks, index[placing, 2].tolist(), strict=True))
            assert offers == [(key[1], p) for key, p in pairs]
            seen = engine.observation["candidate_x"][0, placing, finish].astype(int).tolist()
            assert seen == [plain.finish_on(key, p) - plain.now for key, p in pairs]
            choice = int(rng.integers(allowed.size))
            engine.step(allowed[choice : choice + 1])
            if choice < len(pairs):
                plain.place(*pairs[choice])
            else:
                plain.defer()
        assert plain.ended
        rows = engine.schedule(0)
        columns = (rows.job.tolist(), rows.task.tolist(), rows.resource.tolist(), rows.start.tolist())
        assert set(zip(*columns, strict=True)) == {
            (t.job, t.template - plain.members(t.job)[0], t.pe, t.start)
            for t in plain.tasks.values()
            if t.start is not None
        }
        if instance.objective == "latency":
            assert engine.objective(0) == plain.latency()
        assert engine.objective(0) == validate(instance, rows)


SINGLE = {
    "wifi_tx": {"fifo_eft": 71, "min_min": 71},
    "wifi_rx": {"fifo_eft": 301, "min_min": 301},
    "range_detection": {"fifo_eft": 176, "min_min": 176, "met": 176},
    "sc_tx": {"fifo_eft": 56, "min_min": 56, "met": 56},
    "sc_rx": {"fifo_eft": 153, "min_min": 153, "met": 153},
    "temporal_mitigation": {"fifo_eft": 79, "min_min": 79, "met": 79},
}


@pytest.mark.parametrize("profile", SINGLE)
def test_single_jobs(profile: str) -> None:
    """Latency of one job of each DS3 application: as public DS3 (EFT, ETF) has it, without its ticks of 1-2 us."""
    instance = load_instance(f"single-{profile}")
    for rule, latency in SINGLE[profile].items():
        assert play(instance, rule).objective(0) == latency, rule


# mean latency of the jobs completed in [10, 50] ms, as a clean event-driven DS3 gives it
STREAMING = {
    2000: {"fifo_eft": 153.14, "min_min": 153.14, "met": 156.0},
    200: {"fifo_eft": 122.75, "min_min": 122.09, "met": 144.07},
    100: {"fifo_eft": 145.86, "min_min": 145.65},
}


@pytest.mark.parametrize("scale", STREAMING)
def test_streaming_regression(scale: int) -> None:
    """DS3's WiFi case study within 0.5 %: its arrival list, its SoC, its rules.

    MET at scale 100 is left out: it hangs on how ties among like PEs, and the order of things at one instant, are resolved
    (from about 188 to 443 us among the choices tried; the reference has 253.59, this simulator 230.17).
    """
    instance = load_instance(f"ds3-wifi-{scale}")
    for rule, latency in STREAMING[scale].items():
        metrics = measure(instance, play(instance, rule).schedule(0))
        assert metrics.mean_latency(instance, since=10_000) == pytest.approx(latency, rel=0.005), rule


def test_topcuoglu_event_by_event() -> None:
    """On the graph of the HEFT paper, rules that see a task once its predecessors have ended give 80, as DS3 does."""
    instance = load_instance("topcuoglu")
    for rule in ("fifo_eft", "met", "min_min", "stf", "heft_ready"):
        assert play(instance, rule).objective(0) == 80, rule


def test_jobs_wait_outside_and_are_not_lost() -> None:
    """With two slots all 20 jobs finish, never more than two at a time, and the time outside counts in the latency."""
    instance = make_generator("soc16-mix", scale=10.0, num_jobs=20).sample(np.random.default_rng(1))
    engine = engine_for(instance, max_live_jobs=2, defer=False)
    policy = rule_policy("soc", "fifo_eft", engine.schema)
    while not engine.outcome.terminated[0]:
        assert engine.observation["job_mask"][0].sum() <= 2
        engine.step(policy.act(engine.observation))
    metrics = engine.metrics(0)
    assert metrics.finished == 20
    assert metrics.most_jobs > 2
    assert metrics.waited > 0
    assert metrics.mean_admission_latency < metrics.mean_latency == engine.objective(0)
    rows = engine.schedule(0)
    start = np.array([rows.start[rows.job == j].min() for j in range(20)])
    end = np.array([rows.end[rows.job == j].max() for j in range(20)])
    assert all(((start <= t) & (end > t)).sum() <= 2 for t in start)


def test_more_ready_tasks_than_candidates() -> None:
    """Ready tasks beyond the slots move up in FIFO order: a rule that looks at the first only needs one slot."""
    instance = make_generator("soc16-mix", scale=5.0, num_jobs=6).sample(np.random.default_rng(2))
    narrow, wide = (play(instance, "fifo_eft", max_ready=n) for n in (1, 64))
    assert narrow.num_decisions(0) == wide.num_decisions(0) == instance.total_rows
    assert narrow.schedule(0) == wide.schedule(0)


def test_growing() -> None:
    """An engine made for short runs takes a longer one, noise included, and the other slot does not notice."""
    rng = np.random.default_rng(0)
    short, long = (
        make_generator("top-stream", num_jobs=n, noise=0.2, scale=40.0).sample(rng) for n in (5, 30)
    )
    engine = SocEngine(2, SocSize.of(short), max_live_jobs=5)
    engine.load(0, short)
    engine.load(1, short)
    engine.step(engine.observation["action_mask"].argmax(axis=1))
    schedule, observation = engine.schedule(0), {k: v[0].copy() for k, v in engine.observation.items()}
    engine.load(1, long)
    assert engine.schedule(0) == schedule
    assert all(np.array_equal(v[0], observation[k]) for k, v in engine.observation.items())
    while not engine.outcome.terminated.all():
        actions = engine.observation["action_mask"].argmax(axis=1)
        engine.step(np.where(engine.outcome.terminated, -1, actions))
    assert engine.metrics(1).finished == 30
    for slot, instance in enumerate((short, long)):
        assert validate(instance, engine.schedule(slot)) == engine.objective(slot)


def test_energy_by_hand() -> None:
    """A chain of two tasks on one of two PEs: energy is base, busy and idle draw over the run, in pJ."""
    from makespan.envs.soc.power import PowerModel

    power = PowerModel(
        np.array([[1000]], np.int32), np.array([[[5, 40, 70]]], np.int64), np.zeros(1, np.int32), base=3
    )
    instance = SocInstance(
        task_first=[0, 2],
        execution=[[10], [20]],
        edge_source=[0],
        edge_target=[1],
        edge_volume=[8],
        pe_type=[0, 0],
        pe_cluster=[0, 0],
        bandwidth=[[0, 2], [2, 0]],
        job_profile=[0],
        arrival=[7],
        objective="energy",
        power=power,
    )  # type: ignore[arg-type]  # lists are converted
    engine = engine_for(instance, defer=False)
    engine.step(np.array([0]))
    engine.step(np.array([1]))  # to the other PE: 8 // 2 = 4 us on the way
    # idle 0-7, busy 7-17, transfer 17-21, busy 21-41
    assert engine.outcome.terminated[0]
    assert engine.objective(0) == 3 * 41 + 5 * 7 + 40 * 10 + 5 * 4 + 40 * 20
    assert engine.metrics(0).makespan == 41
