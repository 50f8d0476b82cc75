"""`makespan train`: the stages of a run, one after the other, each of which can be interrupted.

Labels, behaviour cloning, DAgger, self-labelling, PPO, then a temperature for sampling and the final comparison with
the rules. A checkpoint holds the stage under way; a resumed run goes on with it and ends where an unbroken one would.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import torch
from torch import Tensor

from makespan.agents.config import TrainConfig, to_dict
from makespan.agents.dagger import dagger_labels, round_seed
from makespan.agents.imitation import Cloner, MovingAverage, mirrored
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
    imitation = config.imitation
    labels = _teachers_labels(config, run)
    students = [dict(weights) for _, weights in sorted(state.tensors.get("students", {}).items())]
    resumed, before = int(state.meta.get("round", 0)), 0
    average: MovingAverage | None = None
    for number in range(imitation.dagger_rounds + 1):
        if number > len(students):
            assert average is not None
            students.append({name: tensor.clone() for name, tensor in average.weights.items()})
        if number > 0:
            labels = labels + _corrections(config, run, network, students[number - 1], number)
        stage = imitation if number == 0 else replace(imitation, epochs=imitation.dagger_epochs)
        cloner = Cloner(network, stage, config.env, labels, round_seed(config.seed, number), average)
        if number == resumed and state.tensors:
            cloner.restore(state.tensors, state.meta)
        if number >= resumed:
            _clone(config, run, cloner, number, students[:number], before)
        average = cloner.average
        before += cloner.num_sections
    cloner.finish()
    return _State("self_labelling", {}, {})


def _teachers_labels(config: TrainConfig, run: RunFolder) -> list[Labels]:
    imitation = config.imitation
    labels = label(
        config.env.id,
        imitation.shapes,
        config.seed,
        workers=imitation.workers,
        cache_dir=imitation.cache_dir or run.path / "labels",
    )
    if imitation.mirror:
        images = [mirrored(get_family(config.env.id), group) for group in labels]
        labels = [
            Labels(group.instances + image.instances, group.schedules + image.schedules)
            for group, image in zip(labels, images, strict=True)
        ]
    return labels


def _corrections(
    config: TrainConfig, run: RunFolder, network: ActorCritic, weights: Mapping[str, Tensor], number: int
) -> list[Labels]:
    """The labels of a round of DAgger, made or read; the network itself is left as it is."""
    student = deepcopy(network)
    student.load_state_dict(weights)
    return dagger_labels(
        student,
        config.env,
        get_family(config.env.id),
        config.imitation.dagger_shapes or config.imitation.shapes,
        config.seed,
        number,
        workers=config.imitation.workers,
        cache_dir=config.imitation.cache_dir or run.path / "labels",
    )


def _clone(
    config: TrainConfig,
    run: RunFolder,
    cloner: Cloner,
    number: int,
    students: Sequence[Mapping[str, Tensor]],
    before: int,
) -> None:
    """Carry a round of cloning to its end.

    Args:
        config: Of the run.
        run: Where it is logged and saved.
        cloner: Possibly restored.
        number: Of the round; 0 before any student has acted.
        students: The weights that acted in the rounds so far: with them, a resumed run makes the same labels.
        before: Sections of the rounds before.
    """
    title = f"DAgger round {number}" if number else "imitation"
    acted = {f"{i:03d}": weights for i, weights in enumerate(students)}
    with Progress(title, cloner.num_sections, unit="section", done=cloner.done) as progress:
        while cloner.done < cloner.num_sections:
            metrics = cloner.section()
            run.log("imitation", before + cloner.done, metrics)
            tensors, meta = cloner.state()
            tensors |= {"students": acted}
            run.save(tensors, describe(config, stage="imitation", round=number, **meta))
            progress.update(**metrics)


def tune_malloc() -> None:
    pass
