"""Gymnasium faces of the transfer robots' cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from gymnasium.vector import AutoresetMode

from makespan.envs.core.env import IllegalAction, SchedulingEnv
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.sources import Sources
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.transfer_robot import rules as rules  # registers the family's rules
from makespan.envs.transfer_robot.benchmark import load_instance
from makespan.envs.transfer_robot.engine import FETCHES, REWARDS, TransferEngine
from makespan.envs.transfer_robot.generator import CellSize, FixedCells, Generator, make_generator
from makespan.envs.transfer_robot.instance import TransferCell

Fetches = Literal["ahead", "ready"]
Reward = Literal["makespan", "flow"]
Source = TransferCell | str

SOURCES: Final = Sources(make_generator, "dual_arm", FixedCells, load_instance)


def _engine(
    size: CellSize, num_slots: int, fetches: str, reward: str, skip_forced: bool, lookahead: str
) -> TransferEngine:
    for what, value, known in (("fetches", fetches, FETCHES), ("reward", reward, REWARDS)):
        if value not in known:
            raise UnknownNameError(what, value, known)
    return TransferEngine(
        num_slots, size, fetches=fetches, reward=reward, skip_forced=skip_forced, lookahead=lookahead
    )


class TransferRobotEnv(SchedulingEnv):
    """Glass flow control: transfer robots take a lot of glasses through process chambers; minimising the penalised makespan.

    ## Description
    Glasses wait in a load port; each visits one chamber of every stage, in order, and leaves through the other port. One or
    two robots with one or two hands carry them: there is no other way from chamber to chamber, and nowhere else to put a
    glass. Going, loading and unloading take time, and a chamber is occupied from the beginning of loading to the end of
    unloading. Processes take at least the time of the recipe, and possibly longer, which is drawn with the instance and seen
    when it happens. A glass whose unloading has not begun by `limit` after its process violates its residency limit, which is
    counted and costs the cell's `penalty`; it goes on all the same.

    ## Action Space
    `Discrete((1 + max_hands) * (max_chambers + 1) + 1)`: the free robot of lowest number is asked for its next move. Action a
    <= C (C = max_chambers) fetches the glass of station a with an empty hand (0 is the load port); then, for each hand, C + 1
    actions deliver its glass to station 1 .. C + 1 (C + 1 is the port out in cells of C chambers); the last one waits for the
    next event, and is allowed while one lies ahead or another robot has yet to be asked. An exchange at a chamber is a fetch
    followed by a delivery. With `fetches="ready"` a robot sets out for glasses that are ready only, else also for others, and
    waits there. What would end in full hands and no empty chamber to go to is forbidden, so an episode cannot end in a deadlock.

    ## Observation Space
    The decision graph (`env.unwrapped.schema`): glass, station, robot and system nodes, where glasses and robots are, the flow
    from stage to stage, candidates, and `action_mask`. Glasses that are out have left the graph. Delays to come are hidden.

    ## Rewards
    -(LB' - LB) / LB0, the rise of a lower bound of the penalised makespan since the last decision, relative to the initial
    bound: a violation costs `penalty` as soon as it is certain. The return is exactly -(makespan + penalty * violations - LB0) /
    LB0. With `reward="flow"` it is exactly -(mean completion time + penalty * violations) / LB0, paid as time goes by.

    ## Starting State
    An empty cell at time 0 with `options["instance"]`, or with a fresh draw of the generator.

    ## Episode End
    Termination: all glasses are out. Truncation: only with `illegal_action="noop"`, after ten no-ops a glass.

    ## Arguments
    * `generator`: a generator object, or a generator's name with its parameters as further keywords
      (`generator="two_robots", num_glasses=10, num_stages=2`); default: `dual_arm`.
    * `instance`: one instance, or its name ("dual_arm-0"), for every episode.
    * `fetches`: "ahead" (default) or "ready".
    * `reward`: "makespan" (default) or "flow".
    * `skip_forced`: take decisions with a single candidate inside the environment (default), handing their reward to the
      decision before; the first decision of an episode is always asked.
    * `lookahead`: rules, "swap_push/earliest", that finish a copy of the cell after each candidate; what they reach, knowing no
      more than anybody else, is shown in further columns of the candidates (the pilot method). Default: none.
    * `illegal_action`: "random" (default), "noop" or "raise"; see `SchedulingEnv`.
    * `copy`: hand out copies of the observation (default), or the live buffers.
    * `render_mode`: "ansi", "rgb_array" or "human".

    ## Version History
    * v0: initial version.
    """

    sources: Sources = SOURCES

    def __init__(
        self,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        fetches: Fetches = "ahead",
        reward: Reward = "makespan",
        skip_forced: bool = True,
        lookahead: str = "",
        illegal_action: IllegalAction = "random",
        copy: bool = True,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters)
        engine = _engine(source.size, 1, fetches, reward, skip_forced, lookahead)
        super().__init__(engine, source, illegal_action=illegal_action, copy=copy, render_mode=render_mode)


class TransferRobotVectorEnv(SchedulingVectorEnv):
    """The native batch of `makespan/TransferRobot-v0`; arguments as there, and those of `SchedulingVectorEnv`."""

    sources: Sources = SOURCES

    def __init__(
        self,
        num_envs: int = 1,
        generator: Generator | str | None = None,
        *,
        instance: Source | None = None,
        instances: Sequence[Source] | None = None,
        fetches: Fetches = "ahead",
        reward: Reward = "makespan",
        skip_forced: bool = True,
        lookahead: str = "",
        illegal_action: IllegalAction = "random",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **parameters: Any,
    ) -> None:
        source = self.sources.choose(generator, instance, parameters, instances)
        super().__init__(
            _engine(source.size, num_envs, fetches, reward, skip_forced, lookahead),
            source,
            num_envs,
            instances=instances,
            illegal_action=illegal_action,
            autoreset_mode=autoreset_mode,
            copy=copy,
        )
