"""Trained networks as policies: `LearnedPolicy` for the suite's own evaluation, and the Stable-Baselines3 policies.

`GraphPolicy` and `SelfMaskingGraphPolicy` are in `makespan.agents.sb3_policy` and can be imported from here; they
load Stable-Baselines3 when they are first asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from makespan.agents.checkpoint import CheckpointError, CheckpointStore, load_checkpoint, pretrained_path
from makespan.agents.config import NetworkConfig, Options
from makespan.agents.inference import EncodingCache, choose, evaluating, rank
from makespan.agents.network import ActorCritic
from makespan.agents.temporal import SeriesTable
from makespan.envs.core.graph import GraphSchema, Observation

if TYPE_CHECKING:
    from makespan.agents.sb3_policy import GraphPolicy, SelfMaskingGraphPolicy

__all__ = ["GraphPolicy", "LearnedPolicy", "SelfMaskingGraphPolicy", "TrainedPolicy", "load_policy"]


class LearnedPolicy:
    """A network at work: greedy, or sampling at a temperature.

    Instances are encoded once, when a slot's static features change; see `EncodingCache`.

    Args:
        network: Decides; its weights must not change while the policy is in use (make another one then).
        temperature: Of the softmax over candidates; 0 is greedy.
        greedy: (B,) bool, slots that are greedy whatever the temperature.
        seed: Of the policy's own random stream.
    """

    def __init__(
        self,
        network: ActorCritic,
        *,
        temperature: float = 0.0,
        greedy: NDArray[np.bool_] | None = None,
        seed: int = 0,
    ) -> None:
        if temperature < 0.0:
            raise ValueError(f"temperature: {temperature}; expected at least 0")
        self.network = network
        self.temperature = temperature
        self.greedy = greedy
        self._generator = torch.Generator().manual_seed(seed)
        self._cache = EncodingCache(network)
        self._known = {name: SeriesTable() for name in network.deep.series}

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """An allowed candidate in each decision graph (B,)."""
        with evaluating(self.network):
            memory, graph = self._cache.look_up(observation)
            logits, batch = rank(self.network, observation, memory, graph, self._known)
            temperature: float | torch.Tensor = self.temperature
            if self.greedy is not None:
                temperature = torch.from_numpy(
                    np.where(self.greedy, np.float32(0), np.float32(self.temperature))
                )
            chosen = choose(logits, batch, temperature, self._generator)
        action: NDArray[np.int64] = chosen.numpy()
        return action


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """A checkpoint ready to be set to work on instances of any size.

    Attributes:
        weights: The network's state dict.
        config: What it is made of.
        options: Keywords of the environment it was trained in.
        temperature: For sampling, as tuned after training.
        trained_in: Id of the environment it was trained in.
    """

    weights: dict[str, torch.Tensor]
    config: NetworkConfig
    options: Options
    temperature: float
    trained_in: str = "another environment"

    def network(self, schema: GraphSchema) -> ActorCritic:
        """The network on decision graphs of `schema`."""
        network = ActorCritic(schema, self.config)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"the policy was trained in {self.trained_in}; its network does not fit this decision graph"
            ) from error
        return network.eval()

    def build(
        self, schema: GraphSchema, *, greedy: bool, seed: int, temperature: float | None = None
    ) -> LearnedPolicy:
        """The policy on decision graphs of `schema`, greedy or sampling, by default at its own temperature."""
        heat = self.temperature if temperature is None else temperature
        return LearnedPolicy(self.network(schema), temperature=0.0 if greedy else heat, seed=seed)


def load_policy(name: str | Path, env_id: str) -> TrainedPolicy:
    """A trained policy.

    Args:
        name: A run folder, a checkpoint file, "pretrained" for the one that ships for `env_id`, or "pretrained/NAME" for
            another that ships.
        env_id: Where it is to act.

    Raises:
        CheckpointError: There is no checkpoint, or it holds no policy.
        UnknownNameError: Nothing ships for `env_id`, or under that name.
    """
    tensors, meta = _read(name, env_id)
    if "network" not in tensors or "network" not in meta:
        raise CheckpointError(f"{name} holds no policy: its network or the network's config is missing")
    return TrainedPolicy(
        weights=tensors.get(
            "average", tensors["network"]
        ),  # what evaluation uses, in the middle of imitation
        config=NetworkConfig(**meta["network"]),
        options=dict(meta.get("env", {}).get("options", {})),
        temperature=float(meta.get("temperature", 1.0)),
        trained_in=str(meta.get("env", {}).get("id", "another environment")),
    )


def _read(name: str | Path, env_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    first, _, own = str(name).partition("/")
    if first == "pretrained":
        return load_checkpoint(pretrained_path(own or env_id))
    path = Path(name)
    if not path.is_dir():
        return load_checkpoint(path)
    state = CheckpointStore(path / "checkpoints" if (path / "checkpoints").is_dir() else path).resume()
    if state is None:
        raise CheckpointError(f"no checkpoint in {path}; train with `makespan train --run {path}`")
    return state


def __getattr__(name: str) -> Any:
    if name in ("GraphPolicy", "SelfMaskingGraphPolicy"):
        from makespan.agents import sb3_policy

        return getattr(sb3_policy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
