"""`SchedulingVectorEnv`: many simulators stepped by one kernel call, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from makespan.envs.core.env import (
    NOOP_PATIENCE,
    Buffers,
    Engine,
    Generator,
    IllegalAction,
    Info,
    check_illegal_action,
)
from makespan.envs.core.errors import IllegalActionError
from makespan.envs.core.kernels import kernel
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.sources import Sources


@kernel
def _mark_illegal(
    mask: NDArray[np.int8],
    actions: NDArray[np.int64],
    finished: NDArray[np.bool_],
    illegal: NDArray[np.bool_],
) -> int:
    """Mark slots (B,) whose action is not a candidate allowed by its row of the mask (B, A); returns how many."""
    count = 0
    for b in range(actions.size):
        a = actions[b]
        if not finished[b] and (a < 0 or a >= mask.shape[1] or not mask[b, a]):
            illegal[b] = True
            count += 1
    return count


class SchedulingVectorEnv(VectorEnv[Buffers, NDArray[np.int64], NDArray[Any]]):
    """A native batch of scheduling environments; slot i behaves as the scalar environment seeded `seed + i`.

    Args:
        engine: The simulators, one slot for each environment.
        generator: Draws the instances.
        instances: One instance for each slot, used at every reset instead of the generator's draws.
        illegal_action: As in `SchedulingEnv`; "raise" refuses the whole batch before anything has changed.
        autoreset_mode: What happens after an episode's end: "SameStep" hands out the next episode's first
            observation at once (the last one in `infos["final_obs"]`), "NextStep" on the following step, "Disabled" waits
            for `reset(options={"reset_mask": ...})` and leaves finished slots untouched.
        copy: Hand out copies; False hands out the live buffers, which the next step overwrites.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    sources: Sources | None = None

    def __init__(
        self,
        engine: Engine,
        generator: Generator,
        num_envs: int,
        *,
        instances: Sequence[Any] | None = None,
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
    ) -> None:
        check_illegal_action(illegal_action)
        self.engine = engine
        self.generator = generator
        self.illegal_action = illegal_action
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.copy = copy
        self.num_envs = num_envs
        self.schema = engine.schema
        self.single_observation_space = engine.schema.space
        self.single_action_space = spaces.Discrete(engine.schema.candidates.max_count)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.instances: list[Any] = [None] * num_envs
        self._fixed = None if instances is None else self._one_each(instances)
        self._rngs: list[np.random.Generator] = []
        self._illegal_rngs: list[np.random.Generator] = []
        self._noops = np.zeros(num_envs, np.int64)
        self._tasks = next(f"{node.name}_count" for node in self.schema.nodes if node.level == "task")
        self._has_elapsed = hasattr(engine.outcome, "elapsed")
        self._has_truncated = hasattr(engine.outcome, "truncated")
        self._finished = np.zeros(num_envs, np.bool_)
        self._everywhere = np.ones(num_envs, np.bool_)
        self._everywhere.setflags(write=False)  # handed out in every info

    def find_instance(self, instance: Any) -> Any:
        """The instance behind an entry of `options["instances"]`; as in `SchedulingEnv`."""
        return instance if self.sources is None else self.sources.find(instance)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Buffers, Info]:
        """Start an episode in every slot, or in those of `options["reset_mask"]` (B,) bool.

        `options["instances"]` gives one instance a slot (for this reset only).
        """
        options = options or {}
        self._seed(seed)
        given = options.get("instances")
        given = self._fixed if given is None else self._one_each(given)
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"reset_mask: {mask.dtype} {mask.shape}; expected bool ({self.num_envs},)")
        for slot in np.flatnonzero(mask):
            self._start(int(slot), None if given is None else given[slot])
        return self._observe(), self._infos()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Buffers, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Take one candidate in each slot (B,)."""
        if not self._rngs:
            raise gymnasium.error.ResetNeeded("step() before reset()")
        actions = np.array(actions, np.int64)
        if actions.shape != (self.num_envs,):
            raise ValueError(f"actions: shape {actions.shape}; expected ({self.num_envs},)")
        was_finished = self._finished.copy()
        invalid = self._replace_illegal(actions, was_finished)
        actions[was_finished] = -1
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            for slot in np.flatnonzero(was_finished):
                self._start(int(slot), None if self._fixed is None else self._fixed[slot])
        self.engine.step(actions)
        outcome = self.engine.outcome
        rewards, terminated = outcome.reward.copy(), outcome.terminated.copy()
        truncated = self._out_of_patience()
        if self._has_truncated:
            truncated |= outcome.truncated  # type: ignore[attr-defined]
        ended = (terminated | truncated) & ~was_finished
        self._finished = terminated | truncated
        if self.autoreset_mode is AutoresetMode.DISABLED:
            self._finished |= was_finished
        infos: Info = {}
        if self._has_elapsed:
            infos = {"elapsed": outcome.elapsed.copy(), "_elapsed": self._everywhere}  # type: ignore[attr-defined]
        if ended.any():
            infos |= self._episode_infos(ended)
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                self._same_step_reset(ended, infos)
        infos |= {"invalid_action": invalid, "_invalid_action": self._everywhere}
        return self._observe(), rewards, terminated, truncated, infos | self._infos()

    def _out_of_patience(self) -> NDArray[np.bool_]:
        """Slots that no-ops have used up (B,)."""
        if self.illegal_action != "noop":
            return np.zeros(self.num_envs, np.bool_)
        patience: NDArray[np.int32] = NOOP_PATIENCE * self.engine.observation[self._tasks][:, 0]
        return self._noops >= patience

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed candidates (B, A)."""
        return self.engine.observation["action_mask"] > 0

    def schedule(self, slot: int) -> Schedule:
        """What is scheduled so far in a slot."""
        return self.engine.schedule(slot)

    def objective(self, slot: int) -> float:
        """Objective of what is scheduled so far in a slot."""
        return self.engine.objective(slot)

    def _one_each(self, instances: Sequence[Any]) -> list[Any]:
        if len(instances) != self.num_envs:
            raise ValueError(
                f"instances: {len(instances)} given; expected one for each of {self.num_envs} slots"
            )
        return [self.find_instance(instance) for instance in instances]

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None and self._rngs:
            return
        if seed is None:
            seed = int(np.random.SeedSequence().entropy) % 2**31  # type: ignore[arg-type]
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: {len(seeds)} given; expected one for each of {self.num_envs} slots")
        fresh = not self._rngs
        for slot, one in enumerate(seeds):
            if one is None and not fresh:
                continue
            rng, used = gymnasium.utils.seeding.np_random(one)
            if fresh:
                self._rngs.append(rng)
                self._illegal_rngs.append(np.random.default_rng((used, 1)))
            else:
                self._rngs[slot], self._illegal_rngs[slot] = rng, np.random.default_rng((used, 1))

    def _start(self, slot: int, instance: Any) -> None:
        if instance is None:
            instance = self.generator.sample(self._rngs[slot])
        self.engine.load(slot, instance)
        self.instances[slot] = instance
        self._finished[slot] = False
        self._noops[slot] = 0

    def _replace_illegal(self, actions: NDArray[np.int64], finished: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Replace forbidden actions in place where the episode goes on; returns which were (B,)."""
        mask = self.engine.observation["action_mask"]
        invalid = np.zeros(self.num_envs, np.bool_)
        if not _mark_illegal(mask, actions, finished, invalid):
            return invalid
        if self.illegal_action == "raise":
            first = int(np.flatnonzero(invalid)[0])
            allowed = np.flatnonzero(mask[first]).tolist()
            raise IllegalActionError(
                f"action {actions[first]} is not allowed in slot {first} now; expected one of {allowed}"
            )
        for slot in np.flatnonzero(invalid):
            if self.illegal_action == "noop":
                self._noops[slot] += 1
                actions[slot] = -1
            else:
                actions[slot] = self._illegal_rngs[slot].choice(np.flatnonzero(mask[slot]))
        return invalid

    def _same_step_reset(self, ended: NDArray[np.bool_], infos: Info) -> None:
        final = np.full(self.num_envs, None, dtype=object)
        slots = np.flatnonzero(ended)
        last = {key: buffer[slots] for key, buffer in self.engine.observation.items()}
        for row, slot in enumerate(slots):
            final[slot] = {key: array[row] for key, array in last.items()}
        infos["final_info"] = deepcopy(infos)
        infos["final_obs"], infos["_final_obs"] = final, ended
        infos["_final_info"] = ended
        for slot in np.flatnonzero(ended):
            self._start(int(slot), None if self._fixed is None else self._fixed[slot])

    def _episode_infos(self, ended: NDArray[np.bool_]) -> Info:
        objective, decisions = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        for slot in np.flatnonzero(ended):
            objective[slot] = self.engine.objective(int(slot))
            decisions[slot] = self.engine.num_decisions(int(slot))
        return {
            "objective": objective,
            "_objective": ended,
            "num_decisions": decisions,
            "_num_decisions": ended,
        }

    def _infos(self) -> Info:
        mask = self.engine.observation["action_mask"]
        return {"action_mask": mask.copy() if self.copy else mask, "_action_mask": self._everywhere}

    def _observe(self) -> Buffers:
        if self.copy:
            return {key: buffer.copy() for key, buffer in self.engine.observation.items()}
        return self.engine.observation
