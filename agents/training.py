"""`makespan train`: the stages of a run, one after the other, each of which can be interrupted.

Labels, behaviour cloning, DAgger, self-labelling, PPO, then a temperature for sampling and the final comparison with
the rules. A checkpoint holds the stage under way; a resumed run goes on with it and ends where an unbroken one would.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from makespan.agents.config import TrainConfig, to_dict
from makespan.agents.evaluation import evaluate
from makespan.agents.imitator import Imitator
from makespan.agents.labels import draw
from makespan.agents.network import ActorCritic
from makespan.agents.policy import load_policy
from makespan.agents.ppo import train_ppo
from makespan.agents.progress import Progress
from makespan.agents.report import verdicts, write_report
from makespan.agents.run_folder import RunFolder
from makespan.agents.runtime import tune_malloc
from makespan.agents.search import tune_temperature
from makespan.agents.self_labelling import SelfLabeller
from makespan.agents.shapes import check_config, schema_of, without_mode
from makespan.agents.typed_config import ConfigError
from makespan.envs.registration import get_family

logger = logging.getLogger(__name__)

VALIDATION_SEED = 2_000_003
NUM_VALIDATION = 20  # instances of each evaluation shape on which the temperature is chosen


@dataclass
class _State:
    """Where a run stands: the stage under way, and what it needs to go on."""

    stage: str
    tensors: Mapping[str, Any]
    meta: Mapping[str, Any]


def make_network(config: TrainConfig) -> ActorCritic:
    """The network that a run begins with: fresh, seeded by the config, or with the weights it is to start from.

    Raises:
        ConfigError: The weights are those of a network unlike the config's.
    """
    schema = schema_of(config.env)
    torch.manual_seed(config.seed)
    network = ActorCritic(schema, config.network)
    if config.start_from:
        given = load_policy(config.start_from, config.env.id)
        if given.config != config.network:
            raise ConfigError(
                f"start_from: {config.start_from} has the network {given.config}; expected {config.network}"
            )
        network.load_state_dict({name: tensor.float() for name, tensor in given.weights.items()})
    return network


def describe(config: TrainConfig, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of the network in it."""
    data = to_dict(config)
    return {"env": data["env"], "network": data["network"], "name": config.name, "seed": config.seed, **more}


def train(config: TrainConfig, run: RunFolder) -> ActorCritic:
    """Carry a run to its end, from its last checkpoint if it has one."""
    tune_malloc()
    torch.set_num_threads(1)
    check_config(config, get_family(config.env.id))
    network = make_network(config)
    state = _resume(run, network)
    if state.stage == "imitation":
        state = _imitate(config, run, network, state)
    if state.stage == "self_labelling":
        state = _self_label(config, run, network, state)
    if state.stage == "ppo":
        state = _reinforce(config, run, network, state)
    if state.stage != "finished" or "temperature" not in state.meta:
        temperature = _tune(config, network)
        run.save(
            {"network": network.state_dict()}, describe(config, stage="finished", temperature=temperature)
        )
    compare(config, run)
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
    cache_dir = config.imitation.cache_dir or run.path / "labels"
    learner = Imitator(network, config.imitation, config.env, config.seed, cache_dir)
    if state.tensors:
        learner.restore(state.tensors, state.meta)
    with Progress("imitation", learner.num_sections, unit="section", done=learner.done) as progress:
        while learner.done < learner.num_sections:
            metrics = learner.section()
            run.log("imitation", learner.done, metrics)
            tensors, meta = learner.state()
            run.save(tensors, describe(config, stage="imitation", **meta))
            progress.update(1, **metrics)
    learner.finish()
    return _State("self_labelling", {}, {})


def _self_label(config: TrainConfig, run: RunFolder, network: ActorCritic, state: _State) -> _State:
    if not config.self_labelling.enabled:
        return _State("ppo", {}, {})
    learner = SelfLabeller(network, config.self_labelling, config.env, config.seed)
    if "optimizer" in state.tensors:
        learner.restore(state.tensors, state.meta)
    total, every = config.self_labelling.iterations, config.self_labelling.checkpoint_every
    with Progress("self-labelling", total, unit="iteration", done=learner.done) as progress:
        while learner.done < total:
            metrics = learner.iterate()
            progress.update(1, **metrics)
            if learner.done % every == 0 or learner.done == total:
                run.log("self_labelling", learner.done, metrics)
                tensors, meta = learner.state()
                run.save(tensors, describe(config, stage="self_labelling", **meta))
    learner.finish()
    return _State("ppo", {}, {})


def _reinforce(config: TrainConfig, run: RunFolder, network: ActorCritic, state: _State) -> _State:
    if config.ppo.enabled:
        train_ppo(
            network,
            config.ppo,
            config.env,
            config.seed,
            run=run,
            pretrained=config.imitation.enabled or config.self_labelling.enabled or bool(config.start_from),
            state=(state.tensors, state.meta) if state.tensors else None,
            meta=describe(config),
        )
    return _State("tuning", {}, {})


def _tune(config: TrainConfig, network: ActorCritic) -> float:
    """The sampling temperature that is best on instances drawn for nothing else."""
    family = get_family(config.env.id)
    shapes = config.evaluation.shapes or config.imitation.shapes or config.ppo.shapes
    instances = [one for shape in shapes for one in draw(family, shape, VALIDATION_SEED, 0, NUM_VALIDATION)]
    grid, samples = config.evaluation.temperatures, min(config.evaluation.samples, default=16)
    best, gains = tune_temperature(network, config.env.id, config.env.options, instances, grid, samples)
    logger.info(
        "gain of best of %d by temperature: %s", samples, {t: round(gain, 4) for t, gain in gains.items()}
    )
    return best


def compare(config: TrainConfig, run: RunFolder) -> None:
    """Compare the finished run with rules and solvers, on unseen random and on published instances, and report."""
    family = get_family(config.env.id)
    wanted = config.evaluation
    path = str(run.path)
    policies = [path, *(f"{path}*{n}" for n in wanted.samples), *wanted.rules, *wanted.solvers]
    drawn = [
        replace(one, name=f"{shape.name}#{i}")
        for shape in wanted.shapes
        for i, one in enumerate(draw(family, shape, wanted.seed, 0, wanted.episodes))
    ]
    named = [one for spec in wanted.instances for one in family.find_instances(spec)]
    for title, instances in (("random", drawn), ("benchmark", named)):
        if not instances:
            continue
        result = evaluate(
            family,
            config.env.id,
            policies,
            instances=instances,
            seed=wanted.seed,
            options=without_mode(family, dict(config.env.options)),
            time_limit_s=wanted.time_limit_s,
            load_policy=load_policy,
        )
        page = write_report(run.report_path / title, result, title=f"{config.name}: {title} instances")
        logger.info("%s instances:\n%s", title, "\n".join(verdicts(result)))
        logger.info("report: %s", page)
