"""The schema of `configs/*.yaml`: one training run, from instances to evaluation.

A stage that is switched off (`imitation.epochs: 0`, `self_labelling.iterations: 0`, `ppo.total_decisions: 0`)
is skipped, so that one schema serves pure imitation, pure reinforcement learning and their combinations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from makespan.agents.typed_config import (
    Checked,
    ConfigError,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveInt,
    build,
    plain,
)
from makespan.agents.yaml_text import read_yaml
from makespan.envs.core.errors import UnknownNameError

Scalar = bool | int | float | str
Options = Mapping[str, Scalar]  # keywords of an environment
Parameters = Mapping[str, Scalar | tuple[Scalar, ...]]  # of a generator
LearningRateSchedule = Literal["constant", "linear", "cosine", "rex", "uba", "refined"]


@dataclass(frozen=True)
class EnvConfig(Checked):
    """Where the agent acts.

    Attributes:
        id: Gymnasium id; its family decides which rules, solvers and instances are meant.
        options: Keywords of the environment, e.g. `{sgs: active}`.
    """

    id: str = "makespan/JobShop-v0"
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class ShapeConfig(Checked):
    """A distribution of instances of one shape.

    Attributes:
        generator: Name of the family's generator.
        parameters: Of the generator, e.g. `{num_jobs: 6, num_machines: 6}`.
        count: Instances to draw; in self-labelling and PPO, which draw without end, the share of this shape.
        teacher: Who is imitated: a solver, rule or registered policy of the family, as on the command line, or `generator`
            where it draws problems together with solutions.
        time_limit_s: Seconds a solver has for one instance.
    """

    generator: str
    parameters: Parameters = field(default_factory=dict)
    count: PositiveInt = 1
    teacher: str = ""
    time_limit_s: Positive = 10.0

    @property
    def name(self) -> str:
        """The distribution in short: `uniform-6x6`, or with names where sizes alone do not say it."""
        values = self.parameters.values()
        if all(type(value) is int for value in values):
            text = "x".join(map(str, values))
        else:
            text = ",".join(f"{key}={_short(value)}" for key, value in self.parameters.items())
        return f"{self.generator}-{text}" if text else self.generator


def _short(value: object) -> str:
    return "..".join(map(str, value)) if isinstance(value, tuple) else str(value)


Shapes = tuple[ShapeConfig, ...]


@dataclass(frozen=True)
class NetworkConfig(Checked):
    """The hierarchical graph network, shared by actor and critic.

    Attributes:
        width: Size of every embedding.
        depth: Deep message-passing blocks over the instance.
        rounds: Light rounds between jobs and resources.
        encode: Whether the deep part runs once an instance or at every decision.
        head_width: Hidden units of the scoring and value heads.
        dropout: Share of activations dropped in training.
        temporal: Size of the transformer's embedding of time series, where the schema has any; 0 reads their columns as they are.
    """

    width: PositiveInt = 64
    depth: Count = 3
    rounds: Count = 2
    encode: Literal["instance", "step"] = "instance"
    head_width: PositiveInt = 64
    dropout: Fraction = 0.0
    temporal: Count = 16


@dataclass(frozen=True)
class ImitationConfig(Checked):
    """Behaviour cloning of a teacher, then DAgger: the teacher corrects the states the student itself reaches.

    Attributes:
        shapes: Instances with their teachers: solvers give schedules, rules and registered policies what they would do
            in every state. None switches imitation off.
        epochs: Passes over the labels.
        batch_size: Decisions in a minibatch.
        instances_per_batch: Instances they come from; decisions of one instance share its encoding.
        learning_rate: Initial rate of Adam.
        schedule: How the rate falls over the epochs.
        ema: Decay of the moving average of the weights that evaluation uses; 0 switches it off.
        mirror: Add each label's time-reversed shop, whose optimum is the reversed schedule.
        label_smoothing: Probability spread over the other candidates.
        dagger_rounds: Rounds of relabelling the student's own states.
        dagger_shapes: Instances of each round; none means `shapes`.
        dagger_beta: In round r, a rule or policy takes each decision itself with this probability to the power r.
        dagger_epochs: Passes over the enlarged labels after each round.
        workers: Processes that solve; 0 means one for each core.
        cache_dir: Folder that keeps labels between runs; empty means no cache.
    """

    shapes: Shapes = ()
    epochs: Count = 20
    batch_size: PositiveInt = 256
    instances_per_batch: PositiveInt = 16
    learning_rate: Positive = 1e-3
    schedule: LearningRateSchedule = "cosine"
    ema: Fraction = 0.999
    mirror: bool = True
    label_smoothing: Fraction = 0.0
    dagger_rounds: Count = 0
    dagger_shapes: Shapes = ()
    dagger_beta: Fraction = 0.5
    dagger_epochs: PositiveInt = 5
    workers: Count = 0
    cache_dir: str = ""

    @property
    def enabled(self) -> bool:
        """Whether there is anything to imitate."""
        return bool(self.shapes) and self.epochs > 0


@dataclass(frozen=True)
class SelfLabellingConfig(Checked):
    """Imitation of the best of the agent's own samples (SLIM, NeurIPS 2024); needs no solver.

    Attributes:
        iterations: Updates; 0 switches it off.
        shapes: Instances to sample, in proportion to their `count`.
        samples: Schedules sampled for each instance.
        batch: Instances in an update.
        temperature: Of the samples.
        learning_rate: Initial rate of Adam.
        schedule: How the rate falls over the iterations.
        ema: Decay of the moving average of the weights; 0 switches it off.
        checkpoint_every: Updates between checkpoints.
    """

    iterations: Count = 0
    shapes: Shapes = ()
    samples: PositiveInt = 32
    batch: PositiveInt = 8
    temperature: Positive = 1.0
    learning_rate: Positive = 2e-4
    schedule: LearningRateSchedule = "linear"
    ema: Fraction = 0.999
    checkpoint_every: PositiveInt = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations and not self.shapes:
            raise ConfigError("shapes: empty; expected at least one shape where iterations > 0")

    @property
    def enabled(self) -> bool:
        """Whether any update is asked for."""
        return self.iterations > 0


@dataclass(frozen=True)
class PPOConfig(Checked):
    """Proximal policy optimisation with action masks.

    Attributes:
        total_decisions: Decisions to learn from; 0 switches it off.
        shapes: Instances to train on, in proportion to their `count`.
        num_envs: An update plays whole episodes of about `num_envs * num_steps` decisions.
        num_steps: See there.
        minibatch_size: Decisions in a gradient step.
        epochs: Passes over each rollout.
        learning_rate: Initial rate of Adam.
        schedule: How the rate falls over the decisions.
        gamma: Discount for each decision, or for each unit of elapsed time.
        discount: Which of the two; the environment says what a unit is, and steps of no length are not discounted.
        episodes_per_instance: Episodes on each instance, all in the same world.
        baseline: What a return is compared with: the critic's estimate (GAE), or the mean return of the other episodes on
            the same instance at the same time, which needs several of them.
        scale_by_instance: Divide advantages by their root mean square on each instance, so that those on which returns differ
            most do not decide alone; as in group-relative policy optimisation (Shao et al., 2024).
        reward_scale: Rewards are divided by it; 0 divides by the running standard deviation of discounted returns.
        gae_lambda: Decay of generalised advantage estimation.
        clip: Clip range of the probability ratio.
        entropy: Initial entropy bonus, of the entropy divided by log(number of allowed candidates).
        entropy_final: Entropy bonus at the end; linear in between.
        value_coef: Weight of the value loss.
        max_grad_norm: Gradients are scaled down to this norm.
        target_kl: An update stops early beyond this divergence.
        critic_warmup_updates: First updates that fit the critic alone; they count for pretrained actors only.
        kl_to_imitation: Weight of the divergence from the imitated policy.
        checkpoint_every: Updates between checkpoints.
    """

    total_decisions: Count = 0
    shapes: Shapes = ()
    num_envs: PositiveInt = 64
    num_steps: PositiveInt = 64
    minibatch_size: PositiveInt = 512
    epochs: PositiveInt = 3
    learning_rate: Positive = 2e-4
    schedule: LearningRateSchedule = "linear"
    gamma: Fraction = 1.0
    discount: Literal["decision", "time"] = "decision"
    episodes_per_instance: PositiveInt = 1
    baseline: Literal["critic", "instance"] = "critic"
    scale_by_instance: bool = False
    reward_scale: NonNegative = 1.0
    gae_lambda: Fraction = 0.95
    clip: Positive = 0.2
    entropy: NonNegative = 0.01
    entropy_final: NonNegative = 0.0
    value_coef: NonNegative = 0.5
    max_grad_norm: Positive = 0.5
    target_kl: Positive = 0.03
    critic_warmup_updates: Count = 10
    kl_to_imitation: NonNegative = 0.0
    checkpoint_every: PositiveInt = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total_decisions and not self.shapes:
            raise ConfigError("shapes: empty; expected at least one shape where total_decisions > 0")
        if self.baseline == "instance" and self.episodes_per_instance < 2:
            raise ConfigError("episodes_per_instance: 1; expected at least 2 where baseline is instance")
        if self.minibatch_size > self.num_envs * self.num_steps:
            most = self.num_envs * self.num_steps
            raise ConfigError(
                f"minibatch_size: {self.minibatch_size}; expected at most num_envs * num_steps = {most}"
            )

    @property
    def enabled(self) -> bool:
        """Whether any decision is asked for."""
        return self.total_decisions > 0


@dataclass(frozen=True)
class EvaluationConfig(Checked):
    """What the trained agent is compared with, on the same instances.

    Attributes:
        shapes: Generated instances; each shape's `count` is ignored for `episodes`.
        episodes: Generated instances of each shape.
        seed: Of the generated instances; unlike any training seed.
        instances: Names, sets, globs or paths of benchmark instances.
        rules: Dispatching rules and other policies that were not trained.
        solvers: Solvers.
        samples: Best-of-N sample sizes.
        temperatures: Tried on validation instances; the best is used for sampling.
        time_limit_s: Seconds a solver has for one instance.
    """

    shapes: Shapes = ()
    episodes: Count = 100
    seed: Count = 1_000_003
    instances: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("random",)
    solvers: tuple[str, ...] = ()
    samples: tuple[PositiveInt, ...] = (32,)
    temperatures: tuple[Positive, ...] = (0.1, 0.25, 0.5, 1.0)
    time_limit_s: Positive = 10.0


@dataclass(frozen=True)
class TrainConfig(Checked):
    """One training run.

    Attributes:
        name: Names the run folder.
        seed: Seeds everything random in the run.
        env: Where the agent acts.
        network: What it is made of.
        start_from: Weights to begin with in place of random ones: a run folder, a checkpoint, or "pretrained[/NAME]"; "" for
            none.
        imitation: First stage: imitate a solver.
        self_labelling: Second stage: imitate the best of its own samples.
        ppo: Third stage: reinforcement learning.
        evaluation: What the result is compared with.
    """

    name: str = "run"
    seed: Count = 0
    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    start_from: str = ""
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    self_labelling: SelfLabellingConfig = field(default_factory=SelfLabellingConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[\w.+-]+", self.name) or not self.name.strip("."):
            raise ConfigError(
                f"name: {self.name!r}; expected letters, digits, '_', '-', '+' and '.', as it names a folder"
            )


def preset_names() -> list[str]:
    """Names of the shipped presets, without `.yaml`."""
    files = resources.files("makespan.configs").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in files if entry.name.endswith(".yaml"))


def load_preset(name_or_path: str | Path) -> TrainConfig:
    """The config in a YAML file: a path, or a shipped preset's name with or without `.yaml`.

    Raises:
        UnknownNameError: Neither a file nor a preset.
        ConfigError: The file is no valid config.
    """
    path = Path(name_or_path)
    if path.is_file():
        return from_yaml(path.read_text(encoding="utf-8"), source=str(path))
    name = str(name_or_path).removesuffix(".yaml").removeprefix("configs/")
    if name not in preset_names():
        raise UnknownNameError("preset or config file", str(name_or_path), preset_names())
    return from_yaml(preset_text(name), source=f"{name}.yaml")


def preset_text(name: str) -> str:
    """The YAML of a shipped preset."""
    return (resources.files("makespan.configs") / f"{name}.yaml").read_text(encoding="utf-8")


def from_yaml(text: str, source: str = "config") -> TrainConfig:
    """The config in a YAML text; `source` names it in messages."""
    try:
        return from_dict(read_yaml(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def from_dict(data: object) -> TrainConfig:
    """The config in nested mappings; what is left out has its default."""
    return build(TrainConfig, data, TrainConfig())


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The config as nested mappings, lists and scalars."""
    return cast(dict[str, Any], plain(config))


def to_yaml(config: TrainConfig) -> str:
    """The config, every key resolved, in the order of the schema."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def apply_overrides(config: TrainConfig, arguments: Sequence[str], program: str = "train") -> TrainConfig:
    """The config with dotted command-line options such as `--ppo.learning-rate 3e-4` applied.

    Entries of mappings are set in the same way, be they there already or not: `--env.options.sgs active`,
    `--ppo.shapes.0.parameters.num-jobs 10`; their values are read as YAML, several words as a list. Unknown or ill-typed
    options print the nearest ones and exit with status 2, `--help` prints all of them.
    """
    import tyro

    from makespan.agents.overrides import set_entries

    config, rest = set_entries(config, arguments)
    config = from_dict(to_dict(config))  # which checks the values that were set
    return tyro.cli(TrainConfig, prog=program, default=config, args=rest)
