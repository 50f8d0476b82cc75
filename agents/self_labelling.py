"""Self-labelling: imitate the best of the agent's own samples; no solver is needed.

Corsini, Porrello, Calderara & Dell'Amico, "Self-Labeling the Job Shop Scheduling Problem", NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from makespan.agents.config import EnvConfig, SelfLabellingConfig
from makespan.agents.imitation import MovingAverage, apply_gradient, cloning_loss, stream
from makespan.agents.labels import Labels, draw
from makespan.agents.network import ActorCritic
from makespan.agents.schedules import learning_rate_factor
from makespan.agents.search import best_of, relative_gain
from makespan.envs.registration import get_family

MAX_GRAD_NORM = 1.0
DECISIONS_PER_STEP = 256


class SelfLabeller:
    """Self-labelling that can stop after any iteration and go on as if it never had.

    Every iteration draws instances and samples from streams of its own, so that its number is all the randomness a
    resumed run needs.

    Args:
        network: Trained in place.
        config: Shapes, sample counts, rates.
        env: Where it acts.
        seed: Of instances and samples.
    """

    def __init__(self, network: ActorCritic, config: SelfLabellingConfig, env: EnvConfig, seed: int) -> None:
        self.network = network
        self.config = config
        self.env = env
        self.seed = seed
        self.family = get_family(env.id)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.average = MovingAverage(network, config.ema)
        self.done = 0

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and JSON from which `restore` goes on."""
        tensors = {
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
        }
        return tensors, {"done": self.done, "updates": self.average.updates}

    def restore(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(tensors["network"])
        self.average.weights = {name: tensor.clone() for name, tensor in tensors["average"].items()}
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.average.updates, self.done = int(meta["updates"]), int(meta["done"])

    def iterate(self) -> dict[str, float]:
        """Label a few instances and learn from them; returns the loss and what the best sample gains on the greedy one."""
        rng = np.random.default_rng((self.seed, 2, self.done))
        shapes = self.config.shapes
        weights = np.array([shape.count for shape in shapes], float)
        shape = shapes[int(rng.choice(len(shapes), p=weights / weights.sum()))]
        # labels count from 0; what is drawn here must be new
        first = 1_000_000 + self.done * self.config.batch
        instances = draw(self.family, shape, self.seed, first, self.config.batch)
        found = best_of(
            self.network,
            self.env.id,
            self.env.options,
            instances,
            self.config.samples,
            self.config.temperature,
            int(rng.integers(2**31)),
        )
        loss = self._learn(Labels(instances, [], found.actions, found.actions), rng)
        self.done += 1
        gain = relative_gain(self.family, found)
        return {"loss": loss, "best_of_gain_pct": 100.0 * gain}

    def _learn(self, labels: Labels, rng: np.random.Generator) -> float:
        rate = self.config.learning_rate * learning_rate_factor(
            self.config.schedule, self.done / self.config.iterations
        )
        self.network.train()
        losses = []
        for batch in stream(
            self.env.id,
            self.env.options,
            [labels],
            batch_size=DECISIONS_PER_STEP,
            instances_per_batch=len(labels),
            encode=self.network.config.encode,
            rng=rng,
        ):
            loss, _ = cloning_loss(self.network, batch)
            apply_gradient(self.network, self.optimizer, loss, rate, MAX_GRAD_NORM)
            self.average.update(self.network)
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def finish(self) -> None:
        """Put the averaged weights into the network."""
        if self.config.ema > 0.0:
            self.network.load_state_dict(self.average.weights)
