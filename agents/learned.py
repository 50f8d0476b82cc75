"""Trained networks as policies: loaded from a run folder, a checkpoint file or the weights that ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from makespan.agents.batch import decision_batch
from makespan.agents.checkpoint import CheckpointError, CheckpointStore, load_checkpoint, pretrained_path
from makespan.agents.config import NetworkConfig
from makespan.agents.demonstrations import static_keys
from makespan.agents.encoder import Memory
from makespan.agents.network import ActorCritic
from makespan.envs.core.graph import GraphSchema, Observation

DEFAULT_TEMPERATURE: Final = 0.25


class LearnedPolicy:
    """A network at work on a batch of decision graphs.

    Whole graphs are encoded again only when what the deep encoder reads has changed, so a network that encodes per
    instance does so once an episode.

    Args:
        network: The actor-critic.
        temperature: Of sampling; 0 takes the highest score.
        seed: Of sampling.
    """

    def __init__(self, network: ActorCritic, *, temperature: float = 0.0, seed: int = 0) -> None:
        self.network = network.eval()
        self.temperature = temperature
        self.generator = torch.Generator().manual_seed(seed)
        self._keys = sorted(static_keys(network.schema))
        self._seen: dict[str, NDArray[Any]] = {}
        self._memory: Memory | None = None

    @torch.no_grad()
    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Candidate indices (B,) for a batch of observations (leading axis B)."""
        memory = self._encode(observation)
        batch = decision_batch(self.network.schema, observation, memory.first)
        logits, _ = self.network.decide(memory, batch)
        if self.temperature > 0.0:
            uniform = torch.rand(logits.shape, generator=self.generator).clamp_(min=1e-12)
            logits = logits / self.temperature - torch.log(-torch.log(uniform))  # the Gumbel-max trick
        table = torch.full(observation["action_mask"].shape, -torch.inf)
        table[batch.candidate_graph, batch.candidate_slot] = logits
        action: NDArray[np.int64] = table.argmax(dim=-1).numpy()
        return action

    def _encode(self, observation: Observation) -> Memory:
        if self.network.config.encode == "step":
            return self.network.encode(self.network.instances(observation))
        same = self._memory is not None and all(
            np.array_equal(self._seen[key], observation[key]) for key in self._keys
        )
        if not same or self._memory is None:
            self._seen = {key: observation[key].copy() for key in self._keys}
            self._memory = self.network.encode(self.network.instances(observation))
        return self._memory


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """A trained network with what is known of its training.

    Attributes:
        network: Built for the schema of the environment it was trained in; its weights fit any size.
        sgs: Schedule generation scheme it was trained in.
        temperature: Tuned for sampling.
        meta: All that the checkpoint says.
    """

    network: ActorCritic
    sgs: str | None
    temperature: float
    meta: dict[str, Any]

    def build(self, schema: GraphSchema, *, greedy: bool, seed: int) -> LearnedPolicy:
        """The policy on decision graphs of `schema`, greedy or sampling at its tuned temperature."""
        network = ActorCritic(schema, self.network.config)
        network.load_state_dict(self.network.state_dict())
        return LearnedPolicy(network, temperature=0.0 if greedy else self.temperature, seed=seed)


def load_policy(name: str, env_id: str) -> TrainedPolicy:
    """A trained policy by name.

    Args:
        name: A run folder, a checkpoint file, or "pretrained" for the weights shipped for `env_id`.
        env_id: Environment in which it is to act.

    Raises:
        CheckpointError: There is no readable checkpoint, or it belongs to another environment's schema.
        UnknownNameError: Nothing is shipped for the environment.
    """
    tensors, meta = _read(name, env_id)
    config = NetworkConfig(**meta["network"])
    network = ActorCritic(schema_of(env_id, meta["env"].get("sgs")), config)
    weights = {key: tensor.float() for key, tensor in tensors["network"].items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{name} was trained in {meta['env']['id']}; its network does not fit the decision graph of {env_id}"
        ) from error
    return TrainedPolicy(network, meta["env"].get("sgs"), float(meta.get("temperature", DEFAULT_TEMPERATURE)), meta)


def schema_of(env_id: str, sgs: str | None) -> GraphSchema:
    """The decision graph of an environment's default instances."""
    import gymnasium

    keywords = {} if sgs is None else {"sgs": sgs}
    env = gymnasium.make(env_id, disable_env_checker=True, **keywords)
    schema: GraphSchema = env.unwrapped.schema  # type: ignore[attr-defined]
    return schema


def _read(name: str, env_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if name == "pretrained":
        return load_checkpoint(pretrained_path(env_id))
    path = Path(name)
    if not path.is_dir():
        return load_checkpoint(path)
    state = CheckpointStore(path / "checkpoints").resume()
    if state is None:
        raise CheckpointError(f"{name} holds no checkpoint; train it with `makespan train --run {name}`")
    return state
