"""Schedules become labelled decisions: the replay follows them, and minibatches lose none of the decisions."""

from __future__ import annotations

import numpy as np
import pytest
from shop_labels import FLEXIBLE_ID, JOBSHOP_ID, shops, solved

from makespan.agents.demonstrations import SchedulePolicy, make_batch, minibatches, replay, static_keys
from makespan.envs.jobshop.solver import CPSATSolver
from makespan.envs.jobshop.validator import validate


@pytest.mark.parametrize("size", [3, 4])
def test_replay_reaches_the_optimum_in_active_mode(size: int) -> None:
    """Active schedules contain an optimal one, so an optimal schedule loses nothing on the way to its labels."""
    labels = solved(shops(20, size, size))
    _, objective = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules)
    assert objective.tolist() == [schedule.makespan for schedule in labels.schedules]


def test_replay_follows_flexible_schedules() -> None:
    """With a choice of machines the demonstrated machine is taken, and the optimum is reached too."""
    instances = shops(10, 3, 3, "flexible_sd1")
    schedules = [CPSATSolver(workers=1).solve(shop, 10.0).schedule for shop in instances]
    assert all(schedule is not None for schedule in schedules)
    _, objective = replay(FLEXIBLE_ID, {"sgs": "active"}, instances, schedules)
    assert objective.tolist() == [validate(*pair) for pair in zip(instances, schedules, strict=True)]


def test_replay_starts_where_the_label_counts() -> None:
    """What was played before is followed, whatever the schedule says, but is no training row."""
    labels = solved(shops(6, 4, 4))
    whole, _ = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules)
    played = [whole.action[whole.instance == i][:i] for i in range(len(labels))]
    rest, objective = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules, played)
    assert objective.tolist() == [schedule.makespan for schedule in labels.schedules]
    for i in range(len(labels)):
        mine, all_mine = rest.instance == i, whole.instance == i
        assert rest.action[mine].tolist() == whole.action[all_mine][i:].tolist()
        for key, array in rest.decisions.items():
            np.testing.assert_array_equal(array[mine], whole.decisions[key][all_mine][i:])


def test_played_actions_overrule_the_schedule() -> None:
    """The replay does what the student did even where the schedule would have done something else."""
    labels = solved(shops(1, 4, 4))
    env = make_batch(JOBSHOP_ID, {"sgs": "active"}, labels.instances)
    observation, _ = env.reset(seed=0)
    allowed = np.flatnonzero(observation["action_mask"][0])
    wanted = SchedulePolicy(env.schema, labels.schedules).act(observation)[0]
    other = next(action for action in allowed if action != wanted)
    env.step(np.array([other]))
    decisions, _ = replay(
        JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules, [np.array([other])]
    )
    key = "candidate_index"
    np.testing.assert_array_equal(decisions.decisions[key][0], env.engine.observation[key][0])


def test_decisions_are_allowed_and_hold_no_constant_arrays() -> None:
    """Each label is a candidate of its decision, and what never changes within an episode is stored once."""
    labels = solved(shops(5))
    decisions, _ = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules)
    assert decisions.decisions["action_mask"][np.arange(len(decisions)), decisions.action].all()
    env = make_batch(JOBSHOP_ID, {"sgs": "active"}, labels.instances)
    assert not static_keys(env.schema) & decisions.decisions.keys()
    assert "operation_x" not in decisions.decisions
    whole, _ = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules, encode="step")
    assert whole.graphs is not None
    assert whole.graphs.nodes["operation"].counts.tolist() == [9] * len(decisions)


@pytest.mark.parametrize(("num_instances", "num_decisions"), [(1, 1), (3, 16), (4, 1000), (100, 7)])
def test_minibatches_hold_every_decision_once(num_instances: int, num_decisions: int) -> None:
    """One pass is one pass: no decision is lost or doubled, and each comes with its instance."""
    labels = solved(shops(7, 4, 4))
    decisions, _ = replay(JOBSHOP_ID, {"sgs": "active"}, labels.instances, labels.schedules)
    seen: list[int] = []
    for instances, rows in minibatches(decisions, num_instances, num_decisions, np.random.default_rng(0)):
        assert sorted(set(decisions.instance[rows].tolist())) == instances.tolist()
        assert len(instances) <= num_instances
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(decisions)))
