"""The mapping game in priority order: against the solvers' orders, brute force, and features from scratch."""

from __future__ import annotations

import itertools

import mapping_cases as cases
import numpy as np
import pytest

from makespan.agents.contenders import make_contender, parse_policy
from makespan.envs.core.policy import get_rule, policies_of, rule_policy, rules_of
from makespan.envs.memory.mapping_benchmark import load_instance
from makespan.envs.memory.mapping_decoder import ORDERS, PriorityDecoder
from makespan.envs.memory.mapping_env import MemoryMappingVectorEnv
from makespan.envs.memory.mapping_family import MEMORY_MAPPING
from makespan.envs.memory.mapping_game import MappingRules, MappingSlots
from makespan.envs.memory.mapping_generator import toy_mapping
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_policies import MappingPolicy
from makespan.envs.memory.mapping_priority import roots_of
from makespan.envs.memory.mapping_solver import (
    BigFirstSolver,
    DensitySolver,
    SmallFirstSolver,
    TimeOrderSolver,
    XLASolver,
)
from makespan.envs.memory.mapping_validator import validate

FAMILY = "memory_mapping"
NAMES = [
    "layered-1@2",
    "long_skips-1@8",
    "decoder_training_b1@8",
    "graph_network_inference_b1@8",
    "vae_training_b8@8",
]
BEST = {"order": "priority", "offset_policy": "best"}
SOLVERS = {
    "density_priority": DensitySolver(),
    "big_priority": BigFirstSolver(),
    "small_priority": SmallFirstSolver(),
    "time_priority": TimeOrderSolver(),
}


def play(instance: MappingInstance, policy_name: str, **options: object) -> tuple[float, float]:
    """Latency and return of a rule or registered policy."""
    envs = MemoryMappingVectorEnv(1, instances=[instance], autoreset_mode="Disabled", **options)  # type: ignore[arg-type]
    if policy_name in rules_of(FAMILY):
        policy = rule_policy(FAMILY, policy_name, envs.schema)
    else:
        policy = policies_of(FAMILY)[policy_name].load(envs.schema)  # type: ignore[assignment]
        policy.begin([instance], np.array([0]))  # type: ignore[union-attr]
    observation, _ = envs.reset(seed=0)
    ended, total = np.zeros(1, bool), 0.0
    while not ended[0]:
        observation, reward, ended, _, _ = envs.step(policy.act(observation))
        total += float(reward[0])
    assert validate(instance, envs.schedule(0)) == envs.objective(0)
    return envs.objective(0), total


@pytest.mark.parametrize("name", NAMES)
def test_orders_are_rules(name: str) -> None:
    """Each order as a rule of the game has exactly the latency of the solver of that order; the return tells it."""
    instance = load_instance(name)
    for rule, solver in SOLVERS.items():
        latency, total = play(instance, rule, **BEST)
        assert latency == solver.solve(instance).objective, rule
        assert total == pytest.approx(1 - latency / instance.hbm_latency, abs=1e-12)
    xla = play(instance, "xla_priority", **BEST, prefetch="preferred", stay_limit=10.0)[0]
    assert xla == XLASolver().solve(instance).objective


def test_every_order_of_the_portfolio_is_a_rule() -> None:
    """No order of the decoder is without its rank among the raw candidate features."""
    engine = cases.engine_for(toy_mapping(), MappingRules(order="priority"))
    for order, function in ORDERS.items():
        column = engine.schema.action_feature(f"{order}_rank")
        rank = np.argsort(function(toy_mapping()))
        shown = engine.observation["candidate_x"][0, :, column]
        legal = cases.legal(engine)
        assert shown[legal].tolist() == rank[legal].tolist()


def test_the_toys_orders_by_hand() -> None:
    """W before a and b gives 294 ps, a and b before w 312 ps; what then has no room is not offered any more."""
    toy = toy_mapping()
    number = {name: t for t, name in enumerate(toy.program.tensor_name)}
    engine = cases.engine_for(toy, MappingRules(order="priority"))
    assert {toy.program.tensor_name[t] for t in cases.legal(engine)} == {"x", "w", "a", "b", "y"}
    cases.act(engine, number["w"])
    cases.act(engine, number["a"])
    assert engine.objective(0) == 294
    assert {toy.program.tensor_name[t] for t in cases.legal(engine)} == {
        "b",
        "y",
    }  # room is left at the last operation
    engine.load(0, toy)
    cases.act(engine, number["a"])
    cases.act(engine, number["b"])
    assert engine.objective(0) == 312


def test_the_best_play_is_the_best_permutation() -> None:
    """Depth-first search over the game finds what the decoder finds over all permutations of seven tensors."""
    tensors = {
        "x": ("i", 40),
        "p": ("p", 50),
        "q": ("p", 30),
        "a": ("a", 40),
        "b": ("a", 30),
        "c": ("a", 40),
        "y": ("o", 20),
    }
    ops = [
        (90, ["x"], ["a"]),
        (20, ["a", "p"], ["b"]),
        (60, ["b", "q"], ["c"]),
        (10, ["c", "a"], ["y"]),
    ]
    instance = cases.problem(90, tensors, ops)
    decoder = PriorityDecoder(instance)
    permutations = itertools.permutations(range(instance.num_tensors))
    expected = min(decoder.decode(np.array(order)) for order in permutations)
    engine = cases.engine_for(instance, MappingRules(order="priority", offset_policy="best"))
    assert cases.best_by_enumeration(engine) == expected < instance.hbm_latency


def plain_candidate(engine: MappingSlots, instance: MappingInstance, v: int) -> dict[str, float]:
    """What an undecided tensor should show, from the schedule so far."""
    schedule, root = engine.schedule(0), roots_of(instance)
    fast = np.ones(instance.num_accesses, bool)
    for t, _, start, _ in cases.rows_of(schedule, "hbm"):
        fast[(instance.access_tensor == t) & (instance.access_op == start)] = False
    hbm, quick, load = (np.zeros(instance.num_ops) for _ in range(3))
    np.add.at(hbm, instance.access_op[~fast], instance.access_hbm[~fast])
    np.add.at(quick, instance.access_op[fast], instance.access_fast[fast])
    heirs = {int(h) for h in instance.tensor_heir if h >= 0}
    spans = [(o, o + int(instance.tensor_units[t]), s, e) for t, o, s, e in cases.rows_of(schedule, "fast")]
    for t, _, start, end in cases.rows_of(schedule, "fast"):
        load[start + (t in heirs) : end] += instance.tensor_units[t]
    own = np.flatnonzero(root[instance.access_tensor] == v)
    gain, opened = 0.0, 0
    for a in own.tolist():
        i = instance.access_op[a]
        if load[i] + instance.tensor_units[v] > instance.capacity:
            continue
        opened += 1
        now = max(instance.op_compute[i], hbm[i] + quick[i])
        then = hbm[i] + quick[i] - instance.access_hbm[a] + instance.access_fast[a]
        gain += now - max(instance.op_compute[i], then)
    birth, death = int(instance.access_op[own].min()), int(instance.access_op[own].max())
    met = sorted((low, high) for low, high, s, e in spans if s <= death and e > birth)
    gaps, top = [], 0
    for low, high in met:
        gaps.append(low - top)
        top = max(top, high)
    gaps.append(instance.capacity - top)
    mean = instance.hbm_latency / instance.num_ops
    return {
        "gain": min(100.0, gain / mean),
        "open": opened / own.size,
        "room": 1 - load[birth : death + 1].max() / instance.capacity,
        "fits": float(max(gaps) >= instance.tensor_units[v]),
    }


@pytest.mark.parametrize("offsets", ["lowest", "best"])
@pytest.mark.parametrize("name", ["layered-1@2", "vae_training_b8@8", "graph_network_inference_b1@8"])
def test_candidates_equal_a_recomputation(name: str, offsets: str) -> None:
    """After every decision each candidate shows what the mapping so far says; those are offered that have room for an access."""
    instance = load_instance(name)
    rules = MappingRules(order="priority", offset_policy=offsets)  # type: ignore[arg-type]
    engine, rng = cases.engine_for(instance, rules), np.random.default_rng(3)
    undecided = {int(v) for v in roots_of(instance)}
    while not engine.outcome.terminated[0]:
        legal = cases.legal(engine)
        for v in undecided:
            expected = plain_candidate(engine, instance, v)
            assert (v in legal) == (expected["open"] > 0), v
            for feature, value in expected.items() if v in legal else ():
                shown = engine.observation["candidate_x"][0, v, engine.schema.action_feature(feature)]
                assert shown == pytest.approx(value, abs=1e-4), (v, feature)
        undecided = set(legal)
        action = int(rng.choice(legal))
        undecided.discard(action)
        cases.act(engine, action)


def test_nothing_has_room() -> None:
    """Where no tensor is as small as the fast memory one decision is left all the same, and changes nothing."""
    instance = cases.problem(10, {"x": ("i", 40), "y": ("o", 20)}, [(10, ["x"], ["y"])])
    engine = cases.engine_for(instance, MappingRules(order="priority"))
    assert len(cases.legal(engine)) == 1
    assert cases.act(engine, cases.legal(engine)[0]) == 0.0
    assert engine.outcome.terminated[0]
    assert engine.objective(0) == instance.hbm_latency == 60


def test_planned_orders() -> None:
    """The portfolio's order is the best of the five, and climbing from there is better on a program where it can be."""
    instance = load_instance("decoder_inference_b1@8")
    decoder = PriorityDecoder(instance)
    best = min(decoder.decode(order(instance)) for order in ORDERS.values())
    assert play(instance, "portfolio_priority", **BEST)[0] == best
    assert play(instance, "hill_climb_priority", **BEST)[0] < best


def test_rules_know_their_order() -> None:
    """Rules made for priority order get their environment so; `soon` and the portfolio of rules are at home in program order."""
    env_id = MEMORY_MAPPING.env_ids[0]

    def mode(text: str) -> object:
        return make_contender(parse_policy(text, FAMILY), MEMORY_MAPPING, env_id).options["order"]

    assert mode("density_priority") == mode("hill_climb_priority") == mode("random@priority") == "priority"
    assert mode("soon") == mode("density_plan") == "program"
    assert get_rule(FAMILY, "density_priority").mode == "priority"


def test_schedules_do_not_tell_an_order() -> None:
    """Following a schedule in priority order is refused, with what to do instead."""
    toy = toy_mapping()
    engine = cases.engine_for(toy, MappingRules(order="priority"))
    schedule = DensitySolver().solve(toy).schedule
    with pytest.raises(ValueError, match="hill_climb_priority"):
        MappingPolicy(engine.schema, [toy], [schedule])
