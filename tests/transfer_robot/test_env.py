"""The transfer cell's faces: the suite's checker, Gymnasium's and SB3's, the native batch, sources, rules, searches."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from small_cells import small_cell

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError, UnknownNameError
from makespan.envs.core.multi_agent import ResourceAgentsEnv
from makespan.envs.core.policy import rule_policy, rules_of, solvers_of
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env
from makespan.envs.transfer_robot.benchmark import INSTANCE_SETS, find_instances, load_instance
from makespan.envs.transfer_robot.bounds import lower_bound
from makespan.envs.transfer_robot.env import TransferRobotEnv, TransferRobotVectorEnv
from makespan.envs.transfer_robot.family import TRANSFER_ROBOT, chart, chart_page, group
from makespan.envs.transfer_robot.follow import MovesPolicy
from makespan.envs.transfer_robot.generator import (
    TOY_OPTIMUM,
    CellSize,
    RailCell,
    generator_names,
    make_generator,
)
from makespan.envs.transfer_robot.instance import TransferCell
from makespan.envs.transfer_robot.search import (
    BeamSearchSolver,
    RandomisedDispatchSolver,
    beam,
    best_rule,
    dispatch,
)
from makespan.envs.transfer_robot.validator import validate

ID = "makespan/TransferRobot-v0"
SETTINGS: dict[str, dict[str, object]] = {
    "default": {},
    "ready": {"generator": "single_arm", "fetches": "ready", "illegal_action": "noop"},
    "two robots": {"generator": "two_robots", "skip_forced": False, "illegal_action": "raise"},
    "everything": {
        "generator": "residency",
        "num_robots": 2,
        "num_chambers": 8,
        "interarrival_factor": 0.5,
        "limited": 1.0,
    },
    "lookahead": {"generator": "residency", "lookahead": "swap_push/earliest"},
    "shuffled": {"generator": "two_dual_arms", "shuffled": True, "fetches": "ready"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_promises(name: str) -> None:
    """Masks, return identity, bound, validator, seeding, clones, copies, spec and illegal actions, in every setting."""
    check_scheduling_env(gymnasium.make(ID, num_glasses=6, **SETTINGS[name]))


def test_gymnasium_and_sb3_checkers() -> None:
    """Gymnasium's and Stable-Baselines3's own checkers accept the environment."""
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(ID, num_glasses=3)
    check_env(env.unwrapped, skip_render_check=True)
    sb3.check_env(env.unwrapped, warn=False)


@pytest.mark.parametrize("name", ["default", "everything", "lookahead"])
def test_vector_equals_scalar(name: str) -> None:
    """Slot i of the native batch sees, gets and schedules what the scalar environment seeded seed + i does."""
    check_scheduling_vector_env(ID, num_glasses=5, **SETTINGS[name])


def test_sources_are_exclusive_and_names_help() -> None:
    """More than one source is an error, and misspelt names are told what there is."""
    for build in (
        lambda: TransferRobotEnv("dual_arm", instance="toy"),
        lambda: TransferRobotEnv(RailCell(), num_glasses=3),
        lambda: TransferRobotVectorEnv(2, "dual_arm", instances=["toy", "toy"]),
    ):
        with pytest.raises(ValueError, match="given together"):
            build()
    with pytest.raises(UnknownNameError, match="ready"):
        TransferRobotEnv(fetches="redy")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="flow"):
        TransferRobotEnv(reward="flw")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="did you mean num_hands"):
        TransferRobotEnv(num_hand=1)
    with pytest.raises(ValueError, match="num_hands: 3"):
        TransferRobotEnv(num_hands=3)
    with pytest.raises(UnknownNameError, match="dual_arm-1"):
        TransferRobotEnv(instance="dual_arm-11")
    env = TransferRobotEnv(num_glasses=3)
    with pytest.raises(InvalidInstanceError, match=r"'dual_arm-0' has .*at most"):
        env.reset(options={"instance": "dual_arm-0"})
    with pytest.raises(InvalidInstanceError, match="expected a TransferCell"):
        env.reset(options={"instance": 3})


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "negative time": ({"process": [[-1]]}, "process: .*times >= 0"),
    "no handling time": ({"load_time": [0, 1, 1]}, "load_time: .*times >= 1"),
    "half a unit": ({"process": [[1.5]]}, "process: .*whole numbers"),
    "unknown recipe": ({"recipe": [0, 1]}, r"recipe: .*0\.\.0"),
    "three hands": ({"hands": [3]}, "hands: .*1 or 2"),
    "three robots": ({"hands": [1, 1, 1]}, "hands: .*1 or 2 robots"),
    "home nowhere": ({"home": [3]}, r"home: .*0\.\.2"),
    "travel of another cell": ({"travel": np.zeros((4, 4))}, r"travel: .*\(3, 3\)"),
    "a short cut": ({"travel": [[0, 2, 9], [2, 0, 3], [9, 3, 0]]}, "9 from 0 to 2, over 1 only 5"),
    "arrivals that fall": ({"release": [3, 2]}, "release: .*never fall"),
    "limits of another cell": ({"limit": [[1, 1]]}, r"limit: .*\(1, 1\)"),
    "a bonus": ({"penalty": -1}, "penalty: -1"),
    "no chamber": ({"chambers": [0]}, "chambers: .*at least 1"),
    "a way from itself": ({"travel": [[1, 2, 4], [2, 0, 3], [4, 3, 0]]}, "from a station to itself"),
    "too long": ({"process": [[2**23]]}, "an episode may last"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_cells_are_refused(name: str) -> None:
    """What contradicts itself is refused with the field, the value and what was expected."""
    change, message = WRONG[name]
    toy = make_generator("toy").sample(np.random.default_rng(0))
    fields = {
        key: getattr(toy, key)
        for key in ("process", "recipe", "chambers", "travel", "load_time", "unload_time", "hands")
    }
    with pytest.raises(InvalidInstanceError, match=message):
        TransferCell(**(fields | change))  # type: ignore[arg-type]


def test_json_keeps_everything(tmp_path: Path) -> None:
    """What is saved comes back equal, and files that are malformed are refused with their name and the field."""
    rng, path = np.random.default_rng(0), tmp_path / "cell.json"
    for _ in range(20):
        cell = small_cell(rng)
        cell.save(path)
        again = TransferCell.load(path)
        assert again == cell
        assert again.name == cell.name
    text = path.read_text()
    for old, new, message in (
        ('"version": 1', '"version": 2', "version 2; expected 1"),
        ('"penalty"', '"fine"', "field 'fine'"),
        ('"hands": [', '"hands": ["x", ', "hands: .*whole numbers"),
        ("{", "[", "line 2: .*expected JSON"),
        ('"kind": "makespan/transfer-cell"', '"kind": "cell"', "expected an object with"),
    ):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InstanceFormatError, match=message) as error:
            TransferCell.load(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", generator_names())
def test_generators(name: str) -> None:
    """Equal seeds give equal cells of the size that the generator tells, and other seeds others."""
    generator = make_generator(name)
    cell = generator.sample(np.random.default_rng(1))
    assert cell == generator.sample(np.random.default_rng(1))
    assert name == "toy" or cell != generator.sample(np.random.default_rng(2))
    assert CellSize.of(cell) == generator.size
    assert lower_bound(cell) > 0


def test_named_instances() -> None:
    """Every name of every set loads under its name; globs and unknown names do as told."""
    for names in INSTANCE_SETS.values():
        for one in names:
            assert load_instance(one).name == one
    assert [cell.name for cell in find_instances("toy*")] == ["toy", "toy-dual"]
    assert len(find_instances("dual_arm")) == 10
    with pytest.raises(UnknownNameError, match="toy"):
        find_instances("toi")
    known = TRANSFER_ROBOT.best_known(load_instance("toy-dual"))
    assert known is not None
    assert known.proved
    assert known.upper == 34
    assert TRANSFER_ROBOT.best_known(load_instance("dual_arm-0")) is None
    assert group(load_instance("residency-0")) == "1 robot, 2 hands, limits"


def rule_choice(rule: str, name: str, *moves: int) -> tuple[int, set[int]]:
    """What a rule chooses after some moves in a named cell, and what is allowed."""
    env = TransferRobotEnv(instance=name, skip_forced=False, fetches="ready", illegal_action="raise")
    observation, _ = env.reset(seed=0)
    for move in moves:
        observation, _, _, _, _ = env.step(move)
    batch = {key: value[None] for key, value in observation.items()}
    choice = int(rule_policy("transfer_robot", rule, env.schema).act(batch)[0])
    return choice, set(np.flatnonzero(env.action_masks()).tolist())


def test_rules_by_hand() -> None:
    """In the toy with two hands, one glass in the chamber and one held, the swap rule exchanges; pull and push differ."""
    # stations 0, 1, 2; candidates: fetch 0, fetch 1, deliver (hand 0) 1, 2, deliver (hand 1) 1, 2, wait
    choice, allowed = rule_choice("swap", "toy-dual", 0, 2)
    assert (choice, allowed) == (0, {0, 6})  # the glass in the chamber is not ready
    choice, allowed = rule_choice("swap", "toy-dual", 0, 2, 0)
    assert (choice, allowed) == (1, {1})  # it is: take it out with the empty hand
    choice, allowed = rule_choice("backward", "toy-dual", 0, 2, 0, 1)
    assert (choice, allowed) == (5, {2, 5})  # pull: glass 0, in the second hand, to the port out
    choice, _ = rule_choice("forward", "toy-dual", 0, 2, 0, 1)
    assert choice == 2  # push: glass 1 into the chamber
    choice, _ = rule_choice("nearest", "toy-dual", 0, 2, 0, 1)
    assert choice == 2
    choice, _ = rule_choice("fifo", "toy-dual", 0, 2, 0, 1)
    assert choice == 5


@pytest.mark.parametrize("rule", [*rules_of("transfer_robot"), "random"])
def test_rules_finish(rule: str) -> None:
    """Every rule ends with a valid schedule, in both modes, and each toy at no less than its optimum."""
    for fetches in ("ahead", "ready"):
        for name in ("toy", "toy-dual", "residency-0"):
            env = TransferRobotEnv(instance=name, fetches=fetches, illegal_action="raise")  # type: ignore[arg-type]
            observation, _ = env.reset(seed=0)
            policy, terminated = rule_policy("transfer_robot", rule, env.schema), False
            while not terminated:
                action = policy.act({key: value[None] for key, value in observation.items()})[0]
                observation, _, terminated, _, _ = env.step(action)
            assert validate(env.instance, env.schedule()) == env.objective
            assert name == "residency-0" or env.objective >= TOY_OPTIMUM[env.instance.max_hands]


def test_searches_and_following() -> None:
    """Beam search beats the rules it starts from here, its schedule can be followed, and nothing beats the bound."""
    cell = make_generator("residency", num_glasses=8).sample(np.random.default_rng(0))
    schedule, by_rules = best_rule(cell)
    assert validate(cell, schedule) == by_rules
    found = beam(cell, 20, 0.0)
    assert found is not None
    solution = BeamSearchSolver(width=20, max_width=20).solve(cell, 60.0)
    assert solution.bound is not None
    assert solution.bound <= solution.objective <= min(found[1], by_rules)
    assert solution.objective < by_rules
    env = TransferRobotEnv(instance=cell, illegal_action="raise")
    observation, _ = env.reset(seed=0)
    policy, terminated = MovesPolicy(env.schema, [cell], [solution.schedule]), False
    while not terminated:
        action = policy.act({key: value[None] for key, value in observation.items()})[0]
        observation, _, terminated, _, _ = env.step(action)
    assert env.objective == solution.objective
    random = RandomisedDispatchSolver().solve(cell, 0.05, seed=1)
    assert validate(cell, random.schedule) == random.objective
    assert random.objective <= dispatch(cell, "earliest")[1]


@pytest.mark.parametrize("solver", solvers_of("transfer_robot"))
def test_solvers_on_the_toys(solver: str) -> None:
    """Every registered solver finds the optima worked out by hand."""
    for name, hands in (("toy", 1), ("toy-dual", 2)):
        solution = solvers_of("transfer_robot")[solver].load().solve(load_instance(name), 5.0)
        assert solution.objective == TOY_OPTIMUM[hands]


def test_robots_as_agents() -> None:
    """Each robot can be an agent of a PettingZoo environment: it sees its own moves only, and the schedule is valid."""
    world = TransferRobotEnv("two_robots", num_glasses=4, illegal_action="raise")
    env, rng, asked = ResourceAgentsEnv(world, "robot", resource="robot"), np.random.default_rng(0), set()
    env.reset(seed=0)
    while not any(env.terminations.values()):
        seen = env.observe(env.agent_selection)
        own = seen["observation"]["action_mask"] > 0
        number = int(env.agent_selection.removeprefix("robot_"))
        assert (seen["observation"]["candidate_index"][own, 2] == number).all()
        asked.add(number)
        env.step(int(rng.choice(np.flatnonzero(seen["action_mask"]))))
    assert asked == {0, 1}
    assert validate(env.instance, env.schedule()) == world.objective


def test_pictures() -> None:
    """The chart has a named row for each chamber and each robot."""
    cell = load_instance("toy-dual")
    schedule, _ = best_rule(cell)
    labels = [text.get_text() for text in chart(cell, schedule).axes[0].get_yticklabels()]
    assert labels == ["stage 1", "robot 0"]
    assert "robot 0" in chart_page(cell, schedule)
    assert TRANSFER_ROBOT.pictures is not None
