"""What every environment of this suite promises, as checks that other families can run.

`check_scheduling_env` is for one environment, `check_scheduling_vector_env` for its native batch. Gymnasium's own `check_env`
knows nothing of masks, schedules or clones; run both.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence

from makespan.envs.core.env import NOOP_PATIENCE, Buffers, SchedulingEnv
from makespan.envs.core.errors import IllegalActionError, InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.vector import SchedulingVectorEnv

Validate = Callable[[Any, Schedule], float]
ReturnOf = Callable[[float, float], float]

_TOLERANCE = 1e-9


def makespan_return(objective: float, initial_bound: float) -> float:
    """The return that belongs to an objective where rewards are differences of a lower bound."""
    return -(objective - initial_bound) / max(1.0, initial_bound)


def check_scheduling_env(
    env: gymnasium.Env[Any, Any],
    *,
    validate: Validate | None = None,
    return_of: ReturnOf = makespan_return,
    episodes: int = 3,
    seed: int = 0,
    max_steps: int = 100_000,
) -> None:
    """Play random legal episodes and raise `AssertionError`, saying what failed, where a promise is broken.

    Checked are: observations lie in the space and are the caller's own; the three views of the mask agree and
    none is all zero; an allowed action is never invalid; the bound never falls (or rises, where the objective is
    maximised); steps take no negative time; the return is the metric;
    the independent validator accepts the final schedule and finds the same objective; equal seeds give equal
    trajectories; `clone`/`restore`, copies and pickles have the same future; the spec survives JSON; a forbidden
    action does what `illegal_action` says.

    Args:
        env: A `SchedulingEnv`, bare or wrapped by `gymnasium.make`; it is reset, not closed.
        validate: Recomputes the objective from instance and schedule; default: the registered family's validator.
        return_of: The return that (objective, initial lower bound) must give.
        episodes: Episodes to play for the first group of checks.
        seed: Seed of the first episode and of the random actions.
        max_steps: An episode must end before.
    """
    bare = env.unwrapped
    assert isinstance(bare, SchedulingEnv), f"{type(bare).__name__} is no SchedulingEnv"
    if validate is None:
        validate = _family_validator(env)
    rng = np.random.default_rng(seed)
    for episode in range(episodes):
        _check_episode(env, validate, return_of, rng, seed + episode, max_steps)
    _check_seeding(env, seed, max_steps)
    _check_clones(env, seed)
    _check_copies(env, seed)
    _check_spec(env)
    _check_illegal_action(env, seed)


def check_scheduling_vector_env(
    env_id: str,
    *,
    num_envs: int = 3,
    episodes: int = 2,
    seed: int = 0,
    max_steps: int = 100_000,
    **settings: Any,
) -> None:
    """Play the native batch beside scalar environments, and raise `AssertionError` where they differ.

    Slot i must show, pay and schedule what the scalar environment seeded `seed + i` does, to the last bit, over several
    episodes with Gymnasium's next-step autoreset.

    Args:
        env_id: Id of an environment with a native batch.
        num_envs: Slots.
        episodes: Episodes that each slot plays at least.
        seed: Seed of slot 0, and of the random actions.
        max_steps: They must have ended before.
        **settings: Keywords of the environment.
    """
    batch = gymnasium.make_vec(env_id, num_envs, "vector_entry_point", **settings)
    bare = batch.unwrapped
    assert isinstance(bare, SchedulingVectorEnv), f"{type(bare).__name__} is no SchedulingVectorEnv"
    scalars = [gymnasium.make(env_id, disable_env_checker=True, **settings) for _ in range(num_envs)]
    seen, _ = batch.reset(seed=seed)
    alone = [env.reset(seed=seed + slot)[0] for slot, env in enumerate(scalars)]
    rng, over, played = np.random.default_rng(seed), [False] * num_envs, [0] * num_envs
    for step in range(max_steps):
        for slot, observation in enumerate(alone):
            for key, array in observation.items():
                assert np.array_equal(seen[key][slot], array), f"step {step}, slot {slot}: {key} differs"
        actions = [int(rng.choice(np.flatnonzero(one["action_mask"]))) for one in alone]
        seen, rewards, terminated, truncated, infos = batch.step(np.array(actions))
        for slot, env in enumerate(scalars):
            where = f"step {step}, slot {slot}"
            if over[slot]:
                alone[slot], _ = env.reset()
                over[slot] = False
                assert rewards[slot] == 0.0, f"{where}: reward {rewards[slot]} of a reset"
                continue
            alone[slot], *outcome, info = env.step(actions[slot])
            batched = [rewards[slot], terminated[slot], truncated[slot]]
            assert outcome == batched, f"{where}: {batched} in the batch, {outcome} alone"
            if "elapsed" in info:
                assert info["elapsed"] == infos["elapsed"][slot], f"{where}: elapsed time differs"
            over[slot] = bool(outcome[1] or outcome[2])
            if over[slot]:
                played[slot] += 1
                assert bare.schedule(slot) == _bare(env).schedule(), f"{where}: schedules differ"
                assert infos["objective"][slot] == info["objective"], f"{where}: objectives differ"
        if min(played) >= episodes:
            return
    raise AssertionError(f"{episodes} episodes a slot have not ended after {max_steps} steps")


def _sign(env: gymnasium.Env[Any, Any]) -> float:
    """-1 where the objective is maximised, so that bounds are from above."""
    from makespan.envs.registration import env_ids, get_family

    known = env.spec is not None and env.spec.id in env_ids()
    return -1.0 if known and get_family(env.spec.id).sense == "max" else 1.0  # type: ignore[union-attr]


def _family_validator(env: gymnasium.Env[Any, Any]) -> Validate:
    from makespan.envs.registration import env_ids, get_family

    assert env.spec is not None, "the environment has no spec; pass `validate`"
    assert env.spec.id in env_ids(), f"{env.spec.id} belongs to no family of the suite; pass `validate`"
    return get_family(env.spec.id).validate


def _bare(env: gymnasium.Env[Any, Any]) -> SchedulingEnv:
    bare = env.unwrapped
    assert isinstance(bare, SchedulingEnv)
    return bare


def _random_action(env: gymnasium.Env[Any, Any], rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(_bare(env).action_masks())))


def _check_episode(
    env: gymnasium.Env[Any, Any],
    validate: Validate,
    return_of: ReturnOf,
    rng: np.random.Generator,
    seed: int,
    max_steps: int,
) -> None:
    bare, sign = _bare(env), _sign(env)
    observation, info = env.reset(seed=seed)
    initial_bound = bound = float(info["lower_bound"])
    may_be_cut = hasattr(bare.engine.outcome, "truncated")  # by the world itself
    total, step, terminated, truncated = 0.0, 0, False, False
    while not (terminated or truncated):
        where = f"seed {seed}, step {step}"
        _check_observation(env, observation, info, where)
        kept = copy.deepcopy(observation)
        previous, (observation, reward, terminated, truncated, info) = (
            observation,
            env.step(_random_action(env, rng)),
        )
        _assert_same(previous, kept, f"{where}: step() wrote into an observation handed out before")
        assert not info["invalid_action"], f"{where}: an allowed action was called invalid"
        assert may_be_cut or not truncated, f"{where}: truncated although every action was allowed"
        assert math.isfinite(float(reward)), f"{where}: reward {reward}"
        assert sign * info["lower_bound"] >= sign * bound - _TOLERANCE, (
            f"{where}: the bound went from {bound} to {info['lower_bound']}"
        )
        elapsed = info.get("elapsed", 0.0)
        assert 0.0 <= elapsed < math.inf, f"{where}: elapsed {elapsed}; expected a time"
        bound = float(info["lower_bound"])
        total, step = total + float(reward), step + 1
        assert step < max_steps, f"seed {seed}: no end after {max_steps} steps"
    where = f"seed {seed}, end"
    _check_observation(env, observation, info, where)
    objective = float(info["objective"])
    assert objective == bare.objective, f"{where}: info says {objective}, env.objective {bare.objective}"
    assert info["num_decisions"] == step, f"{where}: num_decisions {info['num_decisions']} after {step} steps"
    expected = return_of(objective, initial_bound)
    assert abs(total - expected) <= _TOLERANCE * max(1.0, step), (
        f"{where}: return {total}; expected {expected} for objective {objective}"
    )
    _check_schedule(bare, validate, objective, where)


def _check_schedule(env: SchedulingEnv, validate: Validate, objective: float, where: str) -> None:
    try:
        recomputed = float(validate(env.instance, env.schedule()))
    except InvalidScheduleError as error:
        raise AssertionError(f"{where}: the validator rejects the schedule: {error}") from error
    assert recomputed == objective, f"{where}: objective {objective}, the validator finds {recomputed}"


def _check_observation(
    env: gymnasium.Env[Any, Any], observation: Buffers, info: dict[str, Any], where: str
) -> None:
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Dict), f"observation space {space}; expected a Dict"
    assert list(observation) == list(space.spaces), (
        f"{where}: keys {list(observation)}; expected {list(space)}"
    )
    for key, box in space.spaces.items():
        assert box.contains(observation[key]), f"{where}: {key} outside its space {box}:\n{observation[key]}"
    seen, told, asked = observation["action_mask"], info["action_mask"], _bare(env).action_masks()
    assert seen.dtype == told.dtype == np.int8, (
        f"{where}: masks are {seen.dtype}, {told.dtype}; expected int8"
    )
    assert asked.dtype == np.bool_, f"{where}: action_masks() is {asked.dtype}; expected bool"
    assert np.array_equal(seen, told), f"{where}: the masks in observation and info differ"
    assert np.array_equal(seen > 0, asked), f"{where}: the masks in observation and action_masks() differ"
    assert asked.any(), f"{where}: the mask forbids every action"


def _trajectory(env: gymnasium.Env[Any, Any], seed: int, max_steps: int) -> list[tuple[int, Buffers, float]]:
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    steps: list[tuple[int, Buffers, float]] = []
    terminated = truncated = False
    while not (terminated or truncated) and len(steps) < max_steps:
        action = _random_action(env, rng)
        observation, reward, terminated, truncated, _ = env.step(action)
        steps.append((action, observation, float(reward)))
    return steps


def _check_seeding(env: gymnasium.Env[Any, Any], seed: int, max_steps: int) -> None:
    first, again = _trajectory(env, seed, max_steps), _trajectory(env, seed, max_steps)
    assert len(first) == len(again), f"seed {seed} gives {len(first)} steps, then {len(again)}"
    for step, (one, other) in enumerate(zip(first, again, strict=True)):
        _assert_same(one, other, f"seed {seed} gives two trajectories, step {step}")


def _play(env: gymnasium.Env[Any, Any], rng: np.random.Generator, steps: int) -> tuple[list[Any], bool]:
    """Up to `steps` random steps: what was seen, and whether the episode has ended."""
    seen: list[Any] = []
    terminated = truncated = False
    while len(seen) < steps and not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(_random_action(env, rng))
        seen.append((observation, float(reward), terminated, info))
    return seen, terminated


def _middle(env: gymnasium.Env[Any, Any], seed: int) -> None:
    """Bring the environment to about the middle of an episode."""
    length = len(_trajectory(env, seed, 100_000))
    env.reset(seed=seed)
    _play(env, np.random.default_rng(seed), length // 2)


def _check_clones(env: gymnasium.Env[Any, Any], seed: int) -> None:
    _middle(env, seed)
    bare = _bare(env)
    token, observation, schedule = bare.clone(), bare.restore(bare.clone()), bare.schedule()
    first, _ = _play(env, np.random.default_rng(1), 100_000)
    final = bare.schedule()
    _assert_same(bare.restore(token), observation, "restore() gives another observation than the cloned one")
    assert bare.schedule() == schedule, "restore() gives another schedule than the cloned one"
    again, _ = _play(env, np.random.default_rng(1), len(first))
    _assert_same(again, first, "after restore() the same actions have another future")
    assert bare.schedule() == final, "after restore() the same actions give another schedule"


def _check_copies(env: gymnasium.Env[Any, Any], seed: int) -> None:
    copies: dict[str, Callable[[], gymnasium.Env[Any, Any]]] = {
        "pickle": lambda: pickle.loads(pickle.dumps(env)),
        "deepcopy": lambda: copy.deepcopy(env),
    }
    for name, duplicate in copies.items():
        _middle(env, seed)
        other = duplicate()
        original, _ = _play(env, np.random.default_rng(1), 100_000)
        copied, _ = _play(other, np.random.default_rng(1), len(original))
        _assert_same(copied, original, f"{name} gives an environment with another future")
        assert _bare(other).schedule() == _bare(env).schedule(), f"{name} gives another schedule"


def _check_spec(env: gymnasium.Env[Any, Any]) -> None:
    if env.spec is None:
        return
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec, "pickling changes the spec"
    try:
        text = env.spec.to_json()
    except ValueError:
        return  # built with an object (a generator, an instance) instead of plain keywords
    again = EnvSpec.from_json(text)
    assert json.loads(again.to_json()) == json.loads(text), "the spec does not survive JSON"


def _check_illegal_action(env: gymnasium.Env[Any, Any], seed: int) -> None:
    bare = _bare(env)
    _middle(env, seed)
    mask = bare.action_masks()
    before, schedule = bare.restore(bare.clone()), bare.schedule()
    forbidden = np.flatnonzero(~mask)
    illegal = int(forbidden[0]) if forbidden.size else mask.size
    mode = bare.illegal_action
    if mode == "raise":
        try:
            env.step(illegal)
        except IllegalActionError:
            _assert_same(bare.restore(bare.clone()), before, "a refused action changed the state")
            return
        raise AssertionError(f"illegal action {illegal} was accepted in mode 'raise'")
    observation, reward, terminated, truncated, info = env.step(illegal)
    assert info["invalid_action"], f"illegal action {illegal} is not reported in info['invalid_action']"
    if mode == "random":
        _check_observation(env, observation, info, "after an illegal action")
        return
    _assert_same(observation, before, "a no-op changed the observation")
    assert bare.schedule() == schedule, "a no-op changed the schedule"
    assert reward == 0.0 and not terminated, f"a no-op gave reward {reward}, terminated {terminated}"  # noqa: PT018
    task = next(node for node in bare.schema.nodes if node.level == "task")
    patience = NOOP_PATIENCE * int(before[f"{task.name}_count"][0])
    for _ in range(patience - 1):
        assert not truncated, "no-ops cut the episode too early"
        _, _, _, truncated, _ = env.step(illegal)
    assert truncated, f"{patience} no-ops did not cut the episode"


def _assert_same(one: object, other: object, message: str) -> None:
    """Equal structures of equal arrays."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            _assert_same(one[key], other[key], f"{message}: {key}")
        return
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            _assert_same(left, right, f"{message}: {index}")
        return
    assert data_equivalence(one, other), f"{message}:\n{one}\n{other}"
