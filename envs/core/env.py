"""The faces of a simulator: `SchedulingEnv` (Gymnasium) and `SchedulingVectorEnv` (its native batch).

Both drive an `Engine`, a batch of simulators with their decision graphs; the scalar environment is a batch of one.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from makespan.envs.core.errors import IllegalActionError
from makespan.envs.core.graph import GraphSchema
from makespan.envs.core.schedule import Schedule
from makespan.envs.core.sources import Sources

IllegalAction = Literal["raise", "noop", "random"]
ILLEGAL_ACTIONS: tuple[IllegalAction, ...] = ("raise", "noop", "random")
NOOP_PATIENCE = 10  # an episode of no-ops is cut after this many steps a task

_VIEWS = frozenset({"_step_one", "_slot", "_mask", "_allowed", "_reward", "_ended", "_elapsed"})

Buffers = dict[str, NDArray[Any]]
Info = dict[str, Any]


class Outcome(Protocol):
    """What the last step did in each slot.

    Families whose time runs between decisions add `elapsed` (B,) float64, the time that the step took in the instance's own
    scale (mean inter-arrival time, mean task time ...), 0 where no step was taken: learners that discount by time read it,
    and infos show it. Families whose episodes can be cut by the world itself add `truncated` (B,) bool.
    """

    @property
    def reward(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def terminated(self) -> NDArray[np.bool_]: ...  # noqa: D102


class Engine(Protocol):
    """A batch of simulators with their decision graphs.

    One that has `step_one(action: int)`, the step of slot 0 alone, spares the scalar environment an array at every step.
    """

    schema: GraphSchema
    observation: Buffers

    @property
    def outcome(self) -> Outcome:
        """Reward and termination of each slot after the last step."""
        ...

    def load(self, slot: int, instance: Any) -> None:
        """Start an instance in a slot."""
        ...

    def step(self, actions: NDArray[np.int64]) -> None:
        """Take one decision in each slot (B,); a negative action leaves its slot as it is."""
        ...

    def objective(self, slot: int) -> float:
        """Objective of what is scheduled so far."""
        ...

    def lower_bound(self, slot: int) -> float:
        """Bound on the objective given the decisions so far: from below, or from above where it is maximised."""
        ...

    def num_decisions(self, slot: int) -> int:
        """Decisions taken in the episode; forced moves are not counted."""
        ...

    def schedule(self, slot: int) -> Schedule:
        """What is scheduled so far."""
        ...

    def clone(self, slot: int) -> tuple[NDArray[Any], ...]:
        """A token of the slot's state."""
        ...

    def restore(self, slot: int, token: tuple[NDArray[Any], ...]) -> None:
        """Put a slot back into a token's state."""
        ...

    def copy_slots(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        """Put each slot of `target` (n,) into the present state of its partner in `source` (n,)."""
        ...


class Generator(Protocol):
    """Draws instances; size and distribution are its own business."""

    def sample(self, rng: np.random.Generator) -> Any:
        """A fresh instance from `rng`."""
        ...


def check_illegal_action(illegal_action: str) -> None:
    """Raise `ValueError` unless the mode is one of `ILLEGAL_ACTIONS`."""
    if illegal_action not in ILLEGAL_ACTIONS:
        raise ValueError(f"illegal_action: {illegal_action!r}; expected one of {', '.join(ILLEGAL_ACTIONS)}")


class SchedulingEnv(gymnasium.Env[Buffers, np.int64]):
    """A scheduling problem as a Gymnasium environment; families subclass it with their engine and generator.

    Observations are the decision graph of `schema`, the caller's own copies unless asked otherwise. The mask of
    allowed candidates is in the observation and in `info` under `action_mask` (int8), and `action_masks()` gives it as
    booleans.

    Args:
        engine: The simulator, with one slot.
        generator: Draws an instance at every reset that names none.
        illegal_action: What an action does that the mask forbids: "raise" `IllegalActionError` and change nothing; "noop":
            change nothing, reward 0, and cut the episode after ten such steps a task; "random": take an allowed one,
            drawn from a stream of its own. All but "raise" say so in `info["invalid_action"]`.
        copy: Hand out copies of the observation; False hands out the live buffers, which the next step overwrites, at
            less than half the cost of a step.
        render_mode: "ansi", "rgb_array", "human" or None.
    """

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 4}  # noqa: RUF012
    sources: Sources | None = None

    def __init__(
        self,
        engine: Engine,
        generator: Generator,
        *,
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        check_illegal_action(illegal_action)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: {render_mode!r}; expected one of {self.metadata['render_modes']}")
        self.engine = engine
        self.generator = generator
        self.illegal_action = illegal_action
        self.copy = copy
        self.render_mode = render_mode
        self.schema = engine.schema
        self.observation_space = engine.schema.space  # type: ignore[assignment]  # a Dict is a Space of buffers
        self.action_space = spaces.Discrete(engine.schema.candidates.max_count)
        self.instance: Any = None
        self._action = np.zeros(1, np.int64)
        self._noops = 0
        self._cut = False
        self._has_truncated = hasattr(engine.outcome, "truncated")
        self._look()

    def _look(self) -> None:
        """Keep views of what every step reads; of single values memoryviews, from which Python reads them at half the cost."""
        outcome = self.engine.outcome
        self._step_one = getattr(self.engine, "step_one", None)
        self._slot = {key: buffer[0] for key, buffer in self.engine.observation.items()}
        self._mask = self._slot["action_mask"]
        self._allowed = self._mask.data
        self._reward: Any = outcome.reward.data
        self._ended: Any = outcome.terminated.data
        self._elapsed: Any = outcome.elapsed.data if hasattr(outcome, "elapsed") else None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._look()  # views of a copy would be arrays of their own

    def find_instance(self, instance: Any) -> Any:
        """The instance behind `options["instance"]`: by name or path, where the family has any, or itself."""
        return instance if self.sources is None else self.sources.find(instance)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Buffers, Info]:
        """Start an episode on `options["instance"]`, else on a fresh draw of the generator."""
        super().reset(seed=seed)
        chosen = (options or {}).get("instance")
        instance = self.generator.sample(self.np_random) if chosen is None else self.find_instance(chosen)
        self.engine.load(0, instance)
        self.instance = instance
        self._noops = 0
        self._cut = False
        if seed is not None or not hasattr(self, "_illegal_rng"):
            entropy = self.np_random_seed if seed is None else seed
            self._illegal_rng = np.random.default_rng((max(entropy, 0), 1))
        observation = self._observe()
        return observation, {
            "action_mask": observation["action_mask"],
            "lower_bound": self.engine.lower_bound(0),
        }

    def step(self, action: np.int64 | int) -> tuple[Buffers, SupportsFloat, bool, bool, Info]:
        """Take the candidate `action`."""
        if self.instance is None:
            raise gymnasium.error.ResetNeeded("step() before reset()")
        engine, ended = self.engine, self._ended
        if self._cut or ended[0]:
            raise gymnasium.error.ResetNeeded("step() after the end of the episode")
        a = int(action)
        invalid, truncated = not (0 <= a < len(self._allowed) and self._allowed[a]), False
        if invalid:
            a = self._replace(a)
            truncated = a < 0 and self._noops >= NOOP_PATIENCE * self._num_tasks()
        if self._step_one is None or a < 0:
            self._action[0] = a
            engine.step(self._action)
        else:
            self._step_one(a)
        terminated = ended[0]
        if self._has_truncated:
            self._cut = engine.outcome.truncated.item(0)  # type: ignore[attr-defined]
            truncated |= self._cut
        observation = self._observe()
        info = {
            "action_mask": observation["action_mask"],
            "invalid_action": invalid,
            "lower_bound": engine.lower_bound(0),
        }
        if self._elapsed is not None:
            info["elapsed"] = self._elapsed[0]
        if terminated or self._cut:
            info["objective"] = engine.objective(0)
            info["num_decisions"] = engine.num_decisions(0)
        return observation, self._reward[0], terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed candidates (A,), as MaskablePPO looks them up."""
        return self._mask > 0

    def schedule(self) -> Schedule:
        """What is scheduled so far."""
        return self.engine.schedule(0)

    @property
    def objective(self) -> float:
        """Objective of what is scheduled so far."""
        return self.engine.objective(0)

    def clone(self) -> tuple[NDArray[Any], ...]:
        """A token of the present state, for searches."""
        return self.engine.clone(0)

    def restore(self, token: tuple[NDArray[Any], ...]) -> Buffers:
        """Back to the state of a token taken in this episode; returns its observation."""
        self.engine.restore(0, token)
        self._cut = False
        return self._observe()

    def render(self) -> Any:
        """The schedule so far, in the render mode the environment was made with."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode; pass one to gymnasium.make")
            return None
        from makespan.envs.core import gantt

        if self.render_mode == "ansi":
            return gantt.ansi(self.schedule())
        frame = gantt.rgb_array(self.schedule())
        if self.render_mode == "human":
            gantt.show(frame)
            return None
        return frame

    def _observe(self) -> Buffers:
        if not self.copy:
            return self._slot.copy()
        return {key: view.copy() for key, view in self._slot.items()}

    def _num_tasks(self) -> int:
        task = next(node for node in self.schema.nodes if node.level == "task")
        return int(self._slot[f"{task.name}_count"][0])

    def _replace(self, action: int) -> int:
        if self.illegal_action == "raise":
            allowed = np.flatnonzero(self._mask).tolist()
            raise IllegalActionError(f"action {action} is not allowed now; expected one of {allowed}")
        if self.illegal_action == "noop":
            self._noops += 1
            return -1
        return int(self._illegal_rng.choice(np.flatnonzero(self._mask)))
