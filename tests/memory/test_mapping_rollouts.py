"""Environment, validator and a plain latency agree on random play, and no play beats the bounds."""

from __future__ import annotations

import mapping_cases as cases
import numpy as np
import pytest

from makespan.envs.core.schedule import Schedule
from makespan.envs.memory.mapping_benchmark import load_instance, program_names
from makespan.envs.memory.mapping_bounds import linear_bound
from makespan.envs.memory.mapping_game import MappingRules
from makespan.envs.memory.mapping_instance import MappingInstance
from makespan.envs.memory.mapping_validator import validate

RULES = {
    "safe": MappingRules(),
    "drop_backup": MappingRules(dead_ends="drop_backup"),
    "best, earliest": MappingRules(offset_policy="best", prefetch="earliest"),
    "highest, preferred": MappingRules(offset_policy="highest", prefetch="preferred"),
    "backup, best, preferred": MappingRules(
        dead_ends="drop_backup", offset_policy="best", prefetch="preferred"
    ),
    "tensor": MappingRules(granularity="tensor"),
    "tensor, best, preferred": MappingRules(granularity="tensor", offset_policy="best", prefetch="preferred"),
    "priority": MappingRules(order="priority"),
    "priority, best, preferred": MappingRules(
        order="priority", offset_policy="best", prefetch="preferred", stay_limit=2.0
    ),
    "priority, highest, every move": MappingRules(
        order="priority", offset_policy="highest", prefetch="earliest", skip_forced=False
    ),
    "every move": MappingRules(skip_forced=False),
}
FAST = [
    "layered-0@2",
    "series_parallel-1@8",
    "long_skips-1@8",
    "decode_step_inference_b1@8",
    "mlp_training_b256@8",
]


def plain_latency(instance: MappingInstance, schedule: Schedule) -> int:
    """The latency from bytes, flops and rates, access by access."""
    program, hardware = instance.program, instance.hardware
    from_hbm = {
        (t, start) for t, _, start, _ in cases.rows_of(schedule, "hbm")
    }  # a tensor has one access an operation
    compute = [
        max(_time(flops, hardware.matrix_flops_per_s), _time(vector, hardware.vector_flops_per_s))
        for flops, vector in zip(program.op_flops, program.op_vector_flops, strict=True)
    ]
    memory = [0] * program.num_ops
    for op, t, size in zip(program.access_op, program.access_tensor, program.access_bytes, strict=True):
        rate = hardware.hbm_bytes_per_s if (int(t), int(op)) in from_hbm else hardware.fast_bytes_per_s
        memory[op] += _time(size, rate)
    return sum(max(pair) for pair in zip(compute, memory, strict=True))


def _time(amount: int, rate: int) -> int:
    """Picoseconds, rounded up."""
    whole, rest = divmod(int(amount) * 10**12, rate)
    return whole + (rest > 0)


def check_rollouts(instance: MappingInstance, rules: MappingRules, count: int, seed: int) -> None:
    """Play so many episodes side by side."""
    engine, rng = cases.engine_for(instance, rules, count), np.random.default_rng(seed)
    total, alive = np.zeros(count), np.ones(count, bool)
    while alive.any():
        mask = engine.observation["action_mask"]
        drawn = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=1)
        engine.step(np.where(alive, drawn, -1))
        total += engine.outcome.reward
        alive = ~engine.outcome.terminated
    for slot in range(count):
        latency = int(engine.objective(slot))
        schedule = engine.schedule(slot)
        assert validate(instance, schedule) == plain_latency(instance, schedule) == latency
        assert latency >= instance.lower_bound
        assert total[slot] == pytest.approx(1 - latency / instance.hbm_latency, abs=1e-12)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("name", FAST)
def test_rollouts_agree(name: str, rules: MappingRules) -> None:
    """Whatever the rules: the validator accepts every random mapping and finds its latency, which the bound does not exceed."""
    check_rollouts(load_instance(name), rules, count=8, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", program_names())
def test_thousand_rollouts_of_each_program_agree(name: str) -> None:
    """A thousand random rollouts a program, at capacities from 1 to 128 MiB and under all rules."""
    for k, rules in enumerate(RULES.values()):
        for j, capacity in enumerate((1, 8, 32, 128, 4)):
            check_rollouts(
                load_instance(f"{name}@{capacity}"),
                rules,
                count=-(-1000 // (5 * len(RULES))),
                seed=10 * k + j,
            )


def test_no_mapping_beats_the_linear_bound() -> None:
    """The capacity-aware bound is at least the quick one and below everything that is ever played."""
    for name in FAST[:3]:
        instance = load_instance(name)
        bound = linear_bound(instance)
        assert bound >= instance.lower_bound
        engine, rng = cases.engine_for(instance), np.random.default_rng(2)
        for _ in range(20):
            engine.load(0, instance)
            cases.play_randomly(engine, rng)
            assert engine.objective(0) >= bound
