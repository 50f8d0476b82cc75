"""Tree search guided by a trained policy, over the exact simulator: no model of the environment is learned.

At a decision of the trunk a few actions are considered, drawn without replacement by the Gumbel-top-k trick, and compared by
sequential halving, as at the root of Gumbel AlphaZero (Danihelka et al., "Policy improvement by planning with
Gumbel", ICLR 2022). What a leaf is worth is not estimated: the policy plays it to the end, greedily first and by samples then
(as in the rollouts of Choo et al., "Simulation-guided Beam Search", NeurIPS 2022), so that each simulation is a complete
schedule with an exact objective, and a network that was only taught by imitation will do. The trunk follows the
best schedule found so far, which at first is the greedy one: the search is never worse than the network alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from makespan.agents.config import Options
from makespan.agents.demonstrations import decision_keys, make_batch
from makespan.agents.inference import evaluating, rank
from makespan.agents.network import ActorCritic
from makespan.agents.search import Best, SearchResult, encode_start
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.registration import get_family


def tree(
    network: ActorCritic,
    env_id: str,
    options: Options,
    instances: Sequence[Any],
    simulations: int = 16,
    *,
    decisions: int = 32,
    temperature: float = 1.0,
    time_limit_s: float = float("inf"),
    seed: int = 0,
) -> SearchResult:
    """Tree search, instance by instance.

    Args:
        network: Guides the search.
        env_id: Where it acts.
        options: Keywords of the environment.
        instances: Of any shapes.
        simulations: Schedules that are completed at a searched decision.
        decisions: Decisions that are searched: those of which the network is least sure on the greedy trajectory, and
            any on the way that it is as unsure of, up to this number. Elsewhere the trunk goes on as it is.
        temperature: Of the softmax that considered actions and rollouts are drawn from.
        time_limit_s: Seconds for an instance, after which the best schedule so far counts.
        seed: Of considered actions and rollouts.
    """
    if simulations < 2 or decisions < 1 or not temperature > 0.0 or not time_limit_s > 0.0:
        raise ValueError(
            f"simulations: {simulations}, decisions: {decisions}, temperature: {temperature}, time limit: {time_limit_s}; "
            "expected at least 2, at least 1, more than 0, more than 0"
        )
    search = Best(get_family(env_id), len(instances), 2)
    generator = torch.Generator().manual_seed(seed)
    with evaluating(network):
        for i, instance in enumerate(instances):
            began = time.perf_counter()
            env = make_batch(env_id, options, [instance] * (simulations + 1))
            one = _Tree(network, env, search, i, temperature, generator)
            one.run(decisions, began + time_limit_s)
            search.seconds[i] = time.perf_counter() - began
    return search.result()


class _Tree:
    """The search on one instance: the last slot of a batch is the trunk, the others complete its children."""

    def __init__(
        self,
        network: ActorCritic,
        env: SchedulingVectorEnv,
        search: Best,
        i: int,
        temperature: float,
        generator: torch.Generator,
    ) -> None:
        self.network = network
        self.env = env
        self.search = search
        self.i = i
        self.temperature = temperature
        self.generator = generator
        self.trunk = env.num_envs - 1
        observation, _ = env.reset(seed=0)
        self.memory = encode_start(network, {key: array[:1] for key, array in observation.items()})
        counts = [key for key in observation if key.endswith("_count")]
        by_step = network.config.encode == "step"
        self.keys = list(observation) if by_step else [*decision_keys(env.schema), *counts]

    def run(self, decisions: int, deadline: float) -> None:
        """Search to the end of the episode; enter the best schedule."""
        prefix: list[int] = []
        self._copy_trunk(1)
        sure = self._complete(np.zeros(0, np.int64), prefix, np.zeros(1, np.float32), begun=False)
        self.search.samples[self.i, 0] = self.env.objective(0)
        threshold = np.sort(sure)[min(decisions, len(sure)) - 1]
        while len(prefix) < len(self.search.actions[self.i]):
            if decisions == 0 or time.perf_counter() > deadline:
                break
            table = self._logits(np.array([self.trunk]))[0]
            if float(torch.softmax(table, 0).max()) <= threshold:
                decisions -= 1
                self._halve(table, prefix, deadline)
            prefix.append(int(self.search.actions[self.i][len(prefix)]))
            self._step(np.array([self.trunk]), np.array(prefix[-1:]))
        self.search.samples[self.i, 1] = self.search.objectives[self.i]

    def _halve(self, table: torch.Tensor, prefix: list[int], deadline: float) -> None:
        """Sequential halving over the trunk's actions, with logits (A,); enters all that it completes."""
        left = self.trunk
        allowed = np.flatnonzero(torch.isfinite(table).numpy())
        noise = -torch.empty(len(allowed)).exponential_(generator=self.generator).clamp_(min=1e-30).log()
        score = (table[allowed] + self.temperature * noise).numpy()
        considered = allowed[np.argsort(-score)][: max(2, left // 2)]
        best: dict[int, float] = {}
        heat = 0.0
        while left > 0 and len(considered) and time.perf_counter() < deadline:
            repeats = max(1, left // (len(considered) * max(1, int(np.ceil(np.log2(len(considered)))))))
            actions = np.repeat(considered, repeats if heat else 1)[:left]
            self._copy_trunk(len(actions))
            self._complete(actions, prefix, np.full(len(actions), heat, np.float32))
            for slot, action in enumerate(actions.tolist()):
                value = self.search.sign * self.env.objective(slot)
                best[action] = min(best.get(action, np.inf), value)
            left -= len(actions)
            order = np.argsort([best.get(action, np.inf) for action in considered.tolist()], kind="stable")
            considered = considered[order][: -(-len(considered) // 2)]
            heat = self.temperature

    def _complete(
        self, actions: NDArray[np.int64], prefix: list[int], heat: NDArray[np.float32], *, begun: bool = True
    ) -> NDArray[np.float64]:
        """Play the first slots to the end, beginning with `actions`, and enter what they become.

        Returns:
            The probability of the likeliest action at each decision of slot 0 that was not given.
        """
        count = len(heat)
        taken = np.full((0, count), -1)
        running = np.arange(count)
        if begun:
            taken = actions[None]
            running = running[~self._step(running, actions)]
        sure = []
        while running.size:
            table = self._logits(running)
            if running[0] == 0:
                sure.append(float(torch.softmax(table[0], 0).max()))
            row = np.full(count, -1)
            row[running] = self._draw(table, heat[running])
            taken = np.concatenate([taken, row[None]])
            running = running[~self._step(running, row[running])]
        for slot in range(count):
            own = taken[:, slot]
            whole = np.concatenate([np.array(prefix, np.int64), own[own >= 0]])
            self.search.enter(self.i, self.env, slot, len(whole), whole)
        return np.array(sure)

    def _draw(self, table: torch.Tensor, heat: NDArray[np.float32]) -> NDArray[np.int64]:
        noise = -torch.empty_like(table).exponential_(generator=self.generator).clamp_(min=1e-30).log()
        drawn: NDArray[np.int64] = (table + torch.from_numpy(heat)[:, None] * noise).argmax(dim=1).numpy()
        return drawn

    def _copy_trunk(self, count: int) -> None:
        self.env.engine.copy_slots(np.full(count, self.trunk), np.arange(count))

    def _step(self, slots: NDArray[np.int64], actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Step some slots; returns which of them have ended."""
        padded = np.full(self.env.num_envs, -1)
        padded[slots] = actions
        self.env.engine.step(padded)
        outcome = self.env.engine.outcome
        ended: NDArray[np.bool_] = (outcome.terminated | getattr(outcome, "truncated", False))[slots]
        return ended

    def _logits(self, slots: NDArray[np.int64]) -> torch.Tensor:
        """Logits (n, A) of some slots, -inf where an action is not allowed."""
        seen = {key: self.env.engine.observation[key][slots] for key in self.keys}
        graph = torch.zeros(len(slots), dtype=torch.int64)
        logits, batch = rank(self.network, seen, self.memory, graph)
        table = torch.full((len(slots), self.env.schema.candidates.max_count), -torch.inf)
        table[batch.candidate_graph, batch.candidate_slot] = logits
        return table
