"""The graph network as a Stable-Baselines3 policy.

    MaskablePPO(GraphPolicy, env)              sb3-contrib
    PPO(SelfMaskingGraphPolicy, env)           Stable-Baselines3; A2C likewise

Fields of `NetworkConfig` may be given as `policy_kwargs`. Both read the mask in the observation, so that `predict`
never returns a forbidden action, whether or not masks are passed to it. The weights depend on no size: move them
with `export_network` and `import_network`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias

import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.common.maskable.distributions import MaskableDistribution
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from makespan.agents.config import NetworkConfig
from makespan.agents.inference import distinct, fingerprints, static_parts, to_device
from makespan.agents.network import ActorCritic
from makespan.envs.core.graph import GraphSchema, GraphSpace

Mask: TypeAlias = NDArray[Any] | Tensor | None

_DEFAULT: Final = NetworkConfig()
FORBIDDEN: Final = -1e8  # logit of a forbidden candidate; its probability is exactly 0


class _GraphNetworkMixin:
    """What both policies share: the network in Stable-Baselines3's place of features, heads and optimizer."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    optimizer_class: type[torch.optim.Optimizer]
    optimizer_kwargs: dict[str, Any]
    action_dist: Any
    schema: GraphSchema
    network_config: NetworkConfig
    network: ActorCritic

    def _build(self, lr_schedule: Schedule) -> None:
        """Called at the end of the parent's constructor, instead of its MLPs and their orthogonal initialisation."""
        self.network = ActorCritic(self.schema, self.network_config)
        parameters = self.network.parameters()
        self.optimizer = self.optimizer_class(parameters, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,  # type: ignore[attr-defined]  # not needed to load a policy
            "schema": self.schema,
            **asdict(self.network_config),
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
        }

    def _decide(self, observation: PyTorchObs, masks: Mask = None) -> tuple[Any, Tensor]:
        """The distribution over candidates, and values (B, 1)."""
        logits, values = self._score(observation)
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        if masks is not None:
            distribution.apply_masking(masks)
        return distribution, values

    def _score(self, observation: PyTorchObs) -> tuple[Tensor, Tensor]:
        """Logits (B, A), `FORBIDDEN` where masked, and values (B, 1)."""
        assert isinstance(observation, dict)
        assert isinstance(self.observation_space, spaces.Dict)
        dtypes = {key: box.dtype for key, box in self.observation_space.spaces.items()}
        arrays = {
            key: part.cpu().numpy().astype(dtypes[key], copy=False) for key, part in observation.items()
        }
        network = self.network
        if network.config.encode == "step":
            instances, decisions = network.reader.both(arrays)
        else:  # a minibatch may hold many decisions of an instance
            rows, graph = distinct(fingerprints(static_parts(network.schema, arrays)))
            instances = network.reader.instances({key: array[rows] for key, array in arrays.items()})
            decisions = network.reader.decisions(arrays, instances, torch.from_numpy(graph))
        device = next(network.parameters()).device
        decisions = to_device(decisions, device)
        memory = network.encode(to_device(instances, device), decisions.wanted)
        logits, values = network.decide(memory, decisions)
        table = torch.full(arrays["action_mask"].shape, FORBIDDEN, dtype=logits.dtype, device=device)
        table = table.index_put((decisions.candidate_graph, decisions.candidate_slot), logits)
        return table, values.unsqueeze(1)


def _schema_of(observation_space: spaces.Space[Any], schema: GraphSchema | None) -> GraphSchema:
    if schema is not None:
        return schema
    if isinstance(observation_space, GraphSpace):
        return observation_space.schema
    raise ValueError(
        "the observation space does not know its schema, as a wrapper has rebuilt it; "
        'pass policy_kwargs={"schema": env.unwrapped.schema}'
    )


class GraphPolicy(_GraphNetworkMixin, MaskableMultiInputActorCriticPolicy):  # type: ignore[misc]
    """The graph network for sb3-contrib's `MaskablePPO`.

    Args:
        observation_space: Of the environment.
        action_space: Of the environment.
        lr_schedule: Learning rate by remaining progress.
        schema: The decision graph, where a wrapper has replaced the environment's observation space.
        width: As in `NetworkConfig`, like the other five.
        depth: See there.
        rounds: See there.
        encode: See there.
        head_width: See there.
        dropout: See there.
        temporal: See there.
        optimizer_class: Of the weights.
        optimizer_kwargs: Its arguments, but for the learning rate.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        schema: GraphSchema | None = None,
        width: int = _DEFAULT.width,
        depth: int = _DEFAULT.depth,
        rounds: int = _DEFAULT.rounds,
        encode: Literal["instance", "step"] = _DEFAULT.encode,
        head_width: int = _DEFAULT.head_width,
        dropout: float = _DEFAULT.dropout,
        temporal: int = _DEFAULT.temporal,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.schema = _schema_of(observation_space, schema)
        self.network_config = NetworkConfig(width, depth, rounds, encode, head_width, dropout, temporal)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            normalize_images=False,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False, action_masks: Mask = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B,), values (B, 1) and log-probabilities (B,)."""
        distribution, values = self._decide(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor, action_masks: Mask = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values (B, 1), log-probabilities (B,) of `actions`, and entropies (B,)."""
        distribution, values = self._decide(obs, action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs, action_masks: Mask = None) -> MaskableDistribution:
        """The distribution over candidates."""
        distribution: MaskableDistribution = self._decide(obs, action_masks)[0]
        return distribution

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values (B, 1)."""
        return self._score(obs)[1]


class SelfMaskingGraphPolicy(_GraphNetworkMixin, MultiInputActorCriticPolicy):
    """The graph network for Stable-Baselines3's `PPO` and `A2C`, which know no masks: it reads the observation's own.

    Args:
        observation_space: Of the environment.
        action_space: Of the environment.
        lr_schedule: Learning rate by remaining progress.
        use_sde: State-dependent exploration; not for discrete actions, hence False.
        schema: As in `GraphPolicy`, like all that follow.
        width: See there.
        depth: See there.
        rounds: See there.
        encode: See there.
        head_width: See there.
        dropout: See there.
        temporal: See there.
        optimizer_class: See there.
        optimizer_kwargs: See there.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        use_sde: bool = False,
        *,
        schema: GraphSchema | None = None,
        width: int = _DEFAULT.width,
        depth: int = _DEFAULT.depth,
        rounds: int = _DEFAULT.rounds,
        encode: Literal["instance", "step"] = _DEFAULT.encode,
        head_width: int = _DEFAULT.head_width,
        dropout: float = _DEFAULT.dropout,
        temporal: int = _DEFAULT.temporal,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.schema = _schema_of(observation_space, schema)
        self.network_config = NetworkConfig(width, depth, rounds, encode, head_width, dropout, temporal)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            use_sde=use_sde,
            normalize_images=False,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B,), values (B, 1) and log-probabilities (B,)."""
        distribution, values = self._decide(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values (B, 1), log-probabilities (B,) of `actions`, and entropies (B,)."""
        distribution, values = self._decide(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """The distribution over candidates."""
        distribution: Distribution = self._decide(obs)[0]
        return distribution

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values (B, 1)."""
        return self._score(obs)[1]


def export_network(model: BaseAlgorithm, schema: GraphSchema | None = None) -> ActorCritic:
    """A copy of a trained model's network, on the CPU.

    Args:
        model: With one of this module's policies.
        schema: Of the decision graphs it is to read, of any size; by default the model's own.
    """
    policy = _policy_of(model)
    network = ActorCritic(schema or policy.schema, policy.network_config)
    network.load_state_dict({name: tensor.cpu() for name, tensor in policy.network.state_dict().items()})
    return network.eval()


def import_network(model: BaseAlgorithm, network: ActorCritic) -> None:
    """Put a network's weights, of whatever size it was trained on, into a model of the same `NetworkConfig`."""
    policy = _policy_of(model)
    if policy.network_config != network.config:
        raise ValueError(f"network: {network.config}; expected {policy.network_config}")
    policy.network.load_state_dict(network.state_dict())


def _policy_of(model: BaseAlgorithm) -> GraphPolicy | SelfMaskingGraphPolicy:
    if not isinstance(model.policy, GraphPolicy | SelfMaskingGraphPolicy):
        raise TypeError(f"policy: {type(model.policy).__name__}; expected one of this module's")
    return model.policy
