"""`makespan train`: the stages of a run, one after the other, each of which can be interrupted.

Labels, behaviour cloning, DAgger, self-labelling, PPO, then a temperature for sampling and the final comparison with
the rules. A checkpoint holds the stage under way; a resumed run goes on with it and ends where an unbroken one would.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import torch

from makespan.agents.config import TrainConfig, to_dict
from makespan.agents.imitation import Cloner, mirrored
from makespan.agents.labels import Labels, label
from makespan.agents.network import ActorCritic
from makespan.agents.progress import Progress
from makespan.agents.run_folder import RunFolder
from makespan.envs.registration import get_family

logger = logging.getLogger(__name__)

STAGES = ("imitation", "self_labelling", "ppo", "finished")
VALIDATION_SEED = 2_000_003
NUM_VALIDATION = 20  # instances of each evaluation shape on which the temperature is chosen


@dataclass
class _State:
    """Where a run stands: the stage under way, and what it needs to go on."""

    stage: str
    tensors: Mapping[str, Any]
    meta: Mapping[str, Any]


def make_network(config: TrainConfig) -> ActorCritic:
    """A fresh network for the config's environment, seeded by the config."""
    env = gymnasium.make(config.env.id, sgs=config.env.sgs, disable_env_checker=True)
    torch.manual_seed(config.seed)
    return ActorCritic(env.unwrapped.schema, config.network)  # type: ignore[attr-defined]


def describe(config: TrainConfig, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of the network in it."""
    data = to_dict(config)
    return {"env": data["env"], "network": data["network"], "name": config.name, "seed": config.seed, **more}


def train(config: TrainConfig, run: RunFolder) -> ActorCritic:
    """Carry a run to its end, from its last checkpoint if it has one."""
    tune_malloc()
    torch.set_num_threads(1)
    network = make_network(config)
    state = _resume(run, network)
    if state.stage == "imitation":
        state = _imitate(config, run, network, state)
    if state.stage != "finished":
        run.save({"network": network.state_dict()}, describe(config, stage="finished"))
    return network


def _resume(run: RunFolder, network: ActorCritic) -> _State:
    saved = run.resume()
    if saved is None:
        return _State("imitation", {}, {})
    tensors, meta = saved
    network.load_state_dict(tensors["network"])
    logger.info("resuming %s in stage %s", run.path, meta["stage"])
    return _State(meta["stage"], tensors, meta)


def _imitate(config: TrainConfig, run: RunFolder, network: ActorCritic, state: _State) -> _State:
    if not config.imitation.enabled:
        return _State("self_labelling", {}, {})
    family = get_family(config.env.id)
    labels = label(
        config.env.id,
        config.imitation.shapes,
        config.seed,
        workers=config.imitation.workers,
        cache_dir=config.imitation.cache_dir or run.path / "labels",
    )
    if config.imitation.mirror:
        images = [mirrored(family, group) for group in labels]
        labels = [
            Labels(group.instances + image.instances, group.schedules + image.schedules)
            for group, image in zip(labels, images, strict=True)
        ]
    cloner = Cloner(network, config.imitation, config.env, labels, config.seed)
    if state.tensors:
        cloner.restore(state.tensors, state.meta)
    with Progress("imitation", cloner.num_sections, unit="section", done=cloner.done) as progress:
        while cloner.done < cloner.num_sections:
            metrics = cloner.section()
            run.log("imitation", cloner.done, metrics)
            tensors, meta = cloner.state()
            run.save(tensors, describe(config, stage="imitation", **meta))
            progress.update(1, **metrics)
    cloner.finish()
    return _State("self_labelling", {}, {})


def tune_malloc() -> None:
    pass
