"""The allocation simulator and its decision graph against the plain one, decision by decision."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from plain_allocation import PlainMemory, best_order_peak, optimum, small_problem

import makespan  # noqa: F401
from makespan.envs.core.env import SchedulingEnv
from makespan.envs.memory.allocation_generator import FixedProblems
from makespan.envs.memory.allocation_instance import AllocationProblem
from makespan.envs.memory.allocation_validator import offsets_of, validate

MODES = {"lowest": {}, "best": {"fit": "best"}, "canonical": {"canonical": True}}
KINDS = (
    {},
    {"aligned": True},
    {"gaps": "empty"},
    {"gaps": "windows", "aligned": True},
    {"fixed": True},
    {"fixed": True, "gaps": "windows"},
)


def make(problems: list[AllocationProblem], mode: str) -> SchedulingEnv:
    """An environment whose spaces hold all the problems."""
    env = gymnasium.make(
        "makespan/MemoryAllocation-v0",
        generator=FixedProblems(problems),
        disable_env_checker=True,
        **MODES[mode],
    ).unwrapped
    assert isinstance(env, SchedulingEnv)
    return env


def check_graph(observation: dict, plain: PlainMemory, env: SchedulingEnv) -> None:
    """Every dynamic and shared column, and the mask, by definition."""
    problem, scale, schema = plain.problem, 1 / plain.initial, env.schema
    N, S = problem.num_buffers, len(plain.sections)
    allowed = plain.allowed()
    if allowed:
        assert np.flatnonzero(observation["action_mask"]).tolist() == allowed
    assert observation["buffer_count"].tolist() == [N]
    assert observation["section_count"].tolist() == [S]
    waiting = plain.waiting()
    for i in range(N):
        offset = plain.offsets.get(i, -1)
        floor = offset if offset >= 0 else plain.floor(i)
        rivals = 0 if offset >= 0 else plain.conflicts(i, waiting) / N
        row = [
            float(offset >= 0),
            floor * scale,
            (floor + int(problem.size[i])) * scale,
            rivals,
            *plain.shared(i),
        ]
        np.testing.assert_allclose(observation["buffer_x"][i, :11], row, rtol=2e-6, err_msg=f"buffer {i}")
        x, index = observation["candidate_x"][i], observation["candidate_index"][i]
        if i not in allowed:
            assert not x.any()
            assert (index == -1).all()
            continue
        spot, size = plain.spot(i), int(problem.size[i])
        rise = max(0, spot + size - plain.bound) * scale
        row = [spot * scale, (spot + size) * scale, rise, rivals, *plain.shared(i), *plain.skyline(i)]
        np.testing.assert_allclose(x[: len(row)], row, rtol=2e-6, atol=1e-7, err_msg=f"candidate {i}")
        assert x[schema.action_feature("placement")] == spot // problem.unit
        assert x[schema.action_feature("rivals_count")] == plain.conflicts(i, waiting)
        assert index[0] == i
        section = plain.sections[index[1]]
        assert np.isclose(plain.load(range(N), section[0]) * scale, plain.shared(i)[5])
    for s, section in enumerate(plain.sections):
        unplaced, top, floor = plain.unplaced(section), plain.top(section), plain.section_floor(section)
        load = plain.load(range(N), section[0])
        members = [i for i in plain.members(section) if i not in plain.offsets]
        row = [
            unplaced * scale, len(members) / N, top * scale, floor * scale,
            (plain.bound - floor - unplaced) * scale, (top - load + unplaced) * scale, load * scale,
        ]  # fmt: skip
        np.testing.assert_allclose(
            observation["section_x"][s, :7], row, rtol=2e-6, atol=1e-6, err_msg=f"section {s}"
        )
    edges = observation["incidence_index"].T
    expected = {(i, s) for s, section in enumerate(plain.sections) for i in plain.members(section)}
    assert {tuple(edge) for edge in edges[edges[:, 0] >= 0].tolist()} == expected
    assert not observation["buffer_x"][N:].any()
    assert not observation["section_x"][S:].any()


@pytest.mark.parametrize("mode", MODES)
def test_episodes_follow_the_definition(mode: str) -> None:
    """Offsets, rewards, masks and every column agree with the plain memory, for problems of all kinds in one env."""
    rng = np.random.default_rng(1)
    problems = [
        small_problem(rng, num_buffers=int(rng.integers(3, 8)), **kind) for kind in KINDS for _ in range(5)
    ]
    env = make(problems, mode)
    for problem in problems:
        plain = PlainMemory(problem, mode)
        observation, info = env.reset(seed=0, options={"instance": problem})
        assert info["lower_bound"] == plain.initial
        check_graph(observation, plain, env)
        total, terminated = 0.0, False
        while not terminated:
            action = int(rng.choice(plain.allowed()))
            expected = plain.place(action)
            observation, reward, terminated, _, info = env.step(action)
            assert reward == expected
            total += float(reward)
            if not terminated:
                check_graph(observation, plain, env)
        offsets = offsets_of(problem, env.schedule())
        assert offsets.tolist() == [plain.offsets[i] for i in range(problem.num_buffers)]
        peak = validate(problem, env.schedule())
        assert peak == info["objective"] == info["lower_bound"]
        assert np.isclose(total, -(peak - plain.initial) / plain.initial, atol=1e-12)


def test_outlook_is_the_next_bound() -> None:
    """Without gaps and prescribed offsets, a candidate's outlook is what its placement raises the bound by."""
    rng = np.random.default_rng(5)
    env = make([small_problem(rng, num_buffers=7) for _ in range(10)], "canonical")
    outlook, raised = env.schema.action_feature("outlook"), 0
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        start, terminated = info["lower_bound"], False
        while not terminated:
            action = int(rng.choice(np.flatnonzero(observation["action_mask"])))
            expected = observation["candidate_x"][action, outlook] * start
            before = info["lower_bound"]
            observation, _, terminated, _, info = env.step(action)
            if (
                env.engine.num_decisions(0) > 1
            ):  # the first reward pays for what the empty memory showed already
                assert info["lower_bound"] - before == pytest.approx(expected, abs=1e-4)
                raised += expected > 0
    assert raised > 5


def reachable(env: SchedulingEnv, problem: AllocationProblem) -> int:
    """Lowest peak over all episodes."""
    env.reset(seed=0, options={"instance": problem})

    def search(mask: np.ndarray) -> float:
        best = np.inf
        for action in np.flatnonzero(mask):
            token = env.clone()
            observation, _, terminated, _, info = env.step(int(action))
            best = min(best, info["objective"] if terminated else search(observation["action_mask"]))
            env.restore(token)
        return best

    return int(search(env.action_masks()))


@pytest.mark.parametrize("kind", [{}, {"aligned": True}, {"gaps": "empty"}, {"fixed": True}])
def test_canonical_orders_keep_the_optimum(kind: dict) -> None:
    """Some canonical order has the lowest peak of all allocations, found by trying every offset; and never a lower one."""
    rng = np.random.default_rng(3)
    problems = [small_problem(rng, num_buffers=5, **kind) for _ in range(12)]
    canonical, free = make(problems, "canonical"), make(problems, "lowest")
    for problem in problems:
        best = optimum(problem)
        assert reachable(canonical, problem) == best
        assert reachable(free, problem) == best_order_peak(problem) == best


def test_canonical_orders_are_fewer() -> None:
    """Dominance and the order of offsets leave fewer decisions than N! orders, else the mask would be idle."""
    problem = AllocationProblem.from_buffers([(0, 2, 1)] * 4 + [(1, 3, 2)] * 2)
    env = make([problem], "canonical")
    observation, _ = env.reset(seed=0)
    assert observation["action_mask"].sum() == 6  # everything is at offset 0
    observation, *_ = env.step(2)  # all others overlap with it and now lie at 1
    assert np.flatnonzero(observation["action_mask"]).tolist() == [0, 1, 3, 4, 5]
    env.reset(seed=0)
    observation, *_ = env.step(4)  # [0, 2) of the first four is blocked: floors 2; twin 5 too
    assert np.flatnonzero(observation["action_mask"]).tolist() == [0, 1, 2, 3, 5]
    observation, *_ = env.step(5)  # at 2; the others are at 4 now
    assert np.flatnonzero(observation["action_mask"]).tolist() == [0, 1, 2, 3]


def test_dominated_buffers_wait() -> None:
    """A buffer that could only be placed above room in which another one fits whole is not allowed."""
    problem = AllocationProblem.from_buffers([(0, 2, 5), (1, 3, 2), (3, 4, 3)])
    env = make([problem], "canonical")
    env.reset(seed=0)
    observation, *_ = env.step(
        0
    )  # 1 would lie at 5; 2 fits into [0, 3) beside nothing, though it must not tie upwards
    assert np.flatnonzero(observation["action_mask"]).tolist() == [2]
