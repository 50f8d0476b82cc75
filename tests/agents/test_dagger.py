"""DAgger: the student's states are what it reaches, the teacher leaves them as they are, and a run can stop anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shop_labels import FLEXIBLE_ID, JOBSHOP_ID, shops, tiny_network

from makespan.agents import imitation
from makespan.agents import labels as labels_module
from makespan.agents.config import EnvConfig, ImitationConfig, ShapeConfig
from makespan.agents.dagger import Cut, dagger_labels, digest, roll_out, round_seed
from makespan.agents.demonstrations import make_batch, replay
from makespan.agents.imitator import Imitator
from makespan.agents.labels import Finish, Labels
from makespan.envs.core.errors import MakespanError
from makespan.envs.core.schedule import Schedule
from makespan.envs.jobshop.completion import complete
from makespan.envs.jobshop.family import JOBSHOP
from makespan.envs.jobshop.validator import validate

SHAPES = (
    ShapeConfig("uniform", {"num_jobs": 4, "num_machines": 3}, count=4, teacher="cp_sat"),
    ShapeConfig("uniform", {"num_jobs": 3, "num_machines": 3}, count=2, teacher="cp_sat"),
)
ENV = EnvConfig(options={"sgs": "active"})


def rows_of(schedule: Schedule) -> set[tuple[int, ...]]:
    """Its rows, whatever their order."""
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    return set(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("encode", ["instance", "step"])
def test_the_student_acts_greedily(encode: str) -> None:
    """A batched episode is what the whole network, asked at every decision, would have done alone."""
    network = tiny_network(encode=encode)
    instances = shops(4, 4, 3)
    cuts = roll_out(network, ENV, instances, np.random.default_rng(0))
    for shop, cut in zip(instances, cuts, strict=True):
        env = make_batch(JOBSHOP_ID, {"sgs": "active"}, [shop])
        observation, _ = env.reset(seed=0)
        pasts, taken, over = [], [], False
        while not over:
            pasts.append(rows_of(env.schedule(0)))
            with torch.no_grad():
                logits, _, decided = network.eval()(observation)
            taken.append(int(decided.candidate_slot[logits.argmax()]))
            observation, _, terminated, _, _ = env.step(np.array(taken[-1:]))
            over = bool(terminated[0])
        assert rows_of(cut.schedule) == rows_of(env.schedule(0))
        assert cut.played.tolist() == taken[: len(cut.played)]
        assert rows_of(cut.past) == pasts[len(cut.played)]


def test_every_decision_is_as_likely_to_be_cut() -> None:
    """Equal episodes are cut at all of their decisions about equally often, the first and the last included."""
    instances = shops(1, 4, 3) * 600
    cuts = roll_out(tiny_network(), ENV, instances, np.random.default_rng(0))
    env = make_batch(JOBSHOP_ID, {"sgs": "active"}, instances[:1])
    decisions, _ = replay(JOBSHOP_ID, {"sgs": "active"}, instances[:1], [cuts[0].schedule])
    env.close()
    counts = np.bincount([len(cut.played) for cut in cuts], minlength=len(decisions))
    assert len(counts) == len(decisions) > 3
    expected = len(cuts) / len(decisions)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("sgs", ["active", "non_delay", "non_delay_wait"])
@pytest.mark.parametrize("env_id", [JOBSHOP_ID, FLEXIBLE_ID])
def test_labels_go_on_from_the_students_states(env_id: str, sgs: str) -> None:
    """Whatever the scheme, and with a choice of machines: the replay comes through the past, and only then counts."""
    instances = shops(8, 3, 3, "flexible_sd1" if env_id == FLEXIBLE_ID else "uniform")
    env = EnvConfig(env_id, {"sgs": sgs})
    network = tiny_network(env_id, sgs=sgs)
    cuts = roll_out(network, env, instances, np.random.default_rng(1))
    schedules = [complete(shop, cut.past, 10.0, 0) for shop, cut in zip(instances, cuts, strict=True)]
    labels = Labels(instances, schedules, [cut.played for cut in cuts])
    decisions, objective = replay(env_id, {"sgs": sgs}, instances, schedules, labels.played)
    assert np.bincount(decisions.instance, minlength=len(instances)).min() >= 1
    for i, (shop, cut, schedule) in enumerate(zip(instances, cuts, schedules, strict=True)):
        assert rows_of(cut.past) <= rows_of(schedule)
        assert validate(shop, schedule) <= cut.schedule.makespan
        state = make_batch(env_id, {"sgs": sgs}, [shop])
        state.reset(seed=0)
        for action in cut.played:
            state.step(np.array([action]))
        assert rows_of(state.schedule(0)) == rows_of(cut.past)
        first = int(np.flatnonzero(decisions.instance == i)[0])
        for key, array in decisions.decisions.items():
            np.testing.assert_array_equal(array[first], state.engine.observation[key][0])
        if sgs == "active" and env_id == JOBSHOP_ID:
            assert objective[i] == schedule.makespan


def test_labels_are_made_once_for_each_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks on disk serve the same weights and round only, and hold all that the labels are."""
    network = tiny_network()

    def make(network: torch.nn.Module = network, number: int = 1) -> list[Labels]:
        return dagger_labels(network, ENV, JOBSHOP, SHAPES, 5, number, workers=1, cache_dir=tmp_path)  # type: ignore[arg-type]

    first = make()
    assert [len(group) for group in first] == [4, 2]
    assert any(group.first != [0] * len(group) for group in first)
    for group in first:
        own = roll_out(network, ENV, group.instances, np.random.default_rng(0))
        for shop, schedule, cut in zip(group.instances, group.schedules, own, strict=True):
            assert validate(shop, schedule) <= cut.schedule.makespan
        _, objective = replay(JOBSHOP_ID, {"sgs": "active"}, group.instances, group.schedules, group.played)
        assert objective.tolist() == [schedule.makespan for schedule in group.schedules]
    monkeypatch.setattr(labels_module, "ProcessPoolExecutor", None)
    again = make()
    for group, other in zip(first, again, strict=True):
        assert group.instances == other.instances
        assert [rows_of(s) for s in group.schedules] == [rows_of(s) for s in other.schedules]
        assert [p.tolist() for p in group.played] == [p.tolist() for p in other.played]
    with pytest.raises(TypeError):
        make(number=2)
    with pytest.raises(TypeError):
        make(tiny_network(seed=1))


def test_a_digest_notices_any_weight() -> None:
    """One bit in one weight is another student."""
    network = tiny_network()
    before = digest(network.state_dict())
    assert digest(tiny_network().state_dict()) == before
    with torch.no_grad():
        next(iter(network.parameters())).view(-1)[0] += 1e-7
    assert digest(network.state_dict()) != before


def test_rounds_have_seeds_of_their_own() -> None:
    """No round draws another's instances; the cloning keeps the run's own seed."""
    assert round_seed(3, 0) == 3
    assert len({round_seed(seed, number) for seed in range(4) for number in range(4)}) == 16


def _lazy(instance: Any, past: Schedule, time_limit_s: float, seed: int) -> Schedule:
    """A teacher that puts the rest behind everything else."""
    worse = complete(instance, past, time_limit_s, seed)
    late = np.where([row in rows_of(past) for row in zip(*_columns(worse), strict=True)], 0, 10_000)
    return Schedule(worse.job, worse.task, worse.resource, worse.start + late, worse.end + late)


def _columns(schedule: Schedule) -> list[list[int]]:
    return [
        c.tolist() for c in (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    ]


def test_a_teacher_out_of_time_is_not_believed() -> None:
    """Where the student's own completion is better than the teacher's, it is the label."""
    shop = shops(1, 4, 3)[0]
    cut: Cut = roll_out(tiny_network(), ENV, [shop], np.random.default_rng(0))[0]
    arguments = (shop, cut.past, cut.schedule, 10.0, 0)
    assert Finish(_lazy, validate)(*arguments) == cut.schedule
    assert Finish(complete, validate)(*arguments).makespan <= cut.schedule.makespan


def test_a_family_without_a_teacher_is_named() -> None:
    """Without completions there is no DAgger, and the message says what to switch off."""
    family = replace(JOBSHOP, complete=None)
    with pytest.raises(MakespanError, match="dagger_rounds"):
        dagger_labels(tiny_network(), ENV, family, SHAPES, 0, 1)


CONFIG = ImitationConfig(
    shapes=SHAPES,
    epochs=1,
    batch_size=16,
    instances_per_batch=4,
    ema=0.9,
    dagger_rounds=2,
    dagger_epochs=2,
    workers=1,
)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Imitator, list[tuple[Any, Any]]]:
    """Labels, an imitation that ran from end to end in sections of four labels, and its state after each of them."""
    cache = tmp_path_factory.mktemp("labels")
    states = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imitation, "SECTION", 4)
        imitator = Imitator(tiny_network(dropout=0.1), CONFIG, ENV, 3, cache)
        assert imitator.num_sections == 3 + 2 * 4 + 2 * 6
        while imitator.done < imitator.num_sections:
            imitator.section()
            states.append(_copied(imitator.state()))
    return cache, imitator, states


def _copied(state: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    return deepcopy((dict(state[0]), dict(state[1])))


def _resumed(cache: Path, state: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Imitator:
    monkeypatch.setattr(imitation, "SECTION", 4)
    torch.manual_seed(77)
    imitator = Imitator(tiny_network(seed=9, dropout=0.1), CONFIG, ENV, 3, cache)
    imitator.restore(*_copied(state))
    while imitator.done < imitator.num_sections:
        imitator.section()
    return imitator


@pytest.mark.parametrize("stop", [1, 3, 6, 11, 12, 22, 23])
def test_an_interrupted_run_ends_with_the_same_weights(
    unbroken: tuple[Path, Imitator, list[tuple[Any, Any]]], monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Stopped inside the cloning, between rounds (3, 11), inside rounds or at the end: the same weights, bit for bit."""
    cache, _, states = unbroken
    assert states[stop - 1][1]["round"] == (0 if stop <= 3 else 1 if stop <= 11 else 2)
    resumed = _resumed(cache, states[stop - 1], monkeypatch)
    (tensors, meta), (expected, expected_meta) = resumed.state(), states[-1]
    assert meta == expected_meta
    for part in ("network", "average"):
        for name, tensor in expected[part].items():
            assert torch.equal(tensors[part][name], tensor), (part, name)


def test_a_resumed_run_makes_lost_labels_again(
    unbroken: tuple[Path, Imitator, list[tuple[Any, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The checkpoint holds the weights that acted, so a cache lost on the way costs time and nothing else."""
    cache, _, states = unbroken
    copy = tmp_path / "labels"
    shutil.copytree(cache, copy)
    files = sorted(copy.glob("*.npz"))
    assert len(files) == 2 * 3  # two shapes, the teacher's and two rounds'
    for path in files[::2]:
        path.unlink()
    resumed = _resumed(copy, states[12], monkeypatch)
    assert sorted(path.name for path in copy.glob("*.npz")) == [path.name for path in files]
    for name, tensor in states[-1][0]["average"].items():
        assert torch.equal(resumed.state()[0]["average"][name], tensor), name


def test_the_average_goes_on_through_the_rounds(
    unbroken: tuple[Path, Imitator, list[tuple[Any, Any]]],
) -> None:
    """A round continues the average of the one before, whose weights are the student that acted."""
    _, _, states = unbroken
    before, after = states[2], states[3]
    assert after[1]["updates_before"] == before[1]["updates"] > 0
    for name, tensor in before[0]["average"].items():
        assert torch.equal(after[0]["students"]["1"][name], tensor), name
