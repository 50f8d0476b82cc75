"""Presets and overrides are typed: what the schema does not know never passes silently."""

from __future__ import annotations

import gymnasium
import pytest

from makespan.agents.config import (
    PPOConfig,
    ShapeConfig,
    TrainConfig,
    apply_overrides,
    from_yaml,
    load_preset,
    preset_names,
    to_dict,
    to_yaml,
)
from makespan.agents.contenders import parse_policy
from makespan.agents.typed_config import ConfigError
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.registration import env_ids, get_family


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_trains_something(name: str) -> None:
    """Guards shipped presets against schema drift and against a preset whose stages are all off."""
    config = load_preset(f"{name}.yaml")
    assert config.name == name
    assert config.env.id in env_ids()
    assert config.imitation.enabled or config.self_labelling.enabled or config.ppo.enabled


@pytest.mark.parametrize("name", preset_names())
def test_presets_name_what_exists(name: str) -> None:
    """Guards presets from failing hours into a run: their rules, solvers, instances and generators exist."""
    config = load_preset(name)
    family = get_family(config.env.id)
    kinds = {parse_policy(text, family.name).kind for text in config.evaluation.rules}
    assert kinds <= {"rule", "random", "portfolio"}
    assert {parse_policy(text, family.name).kind for text in config.evaluation.solvers} <= {"solver"}
    for instance in config.evaluation.instances:
        assert family.find_instances(instance)
    stages = (config.imitation, config.self_labelling, config.ppo, config.evaluation)
    for shape in {shape for stage in stages for shape in (*stage.shapes, *config.imitation.dagger_shapes)}:
        sizes = {"num_jobs": shape.num_jobs, "num_machines": shape.num_machines}
        gymnasium.make(config.env.id, generator=shape.generator, **sizes).close()


@pytest.mark.parametrize("name", preset_names())
def test_yaml_round_trip_is_exact(name: str) -> None:
    """Guards the resolved config of a run folder: what is written is what is read."""
    config = load_preset(name)
    assert from_yaml(to_yaml(config)) == config


def test_round_trip_keeps_small_floats() -> None:
    """Guards against YAML 1.1 reading 1e-05, as Python writes it, as a string."""
    config = TrainConfig(ppo=PPOConfig(learning_rate=1e-5, shapes=(ShapeConfig(),)))
    assert from_yaml(to_yaml(config)).ppo.learning_rate == 1e-5


def test_missing_keys_keep_their_defaults() -> None:
    """Guards partial presets, a heading whose keys are commented out among them."""
    assert from_yaml("ppo:\nseed: 3") == TrainConfig(seed=3)
    assert from_yaml("") == TrainConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ppo: {learning_rte: 1.0}", ["ppo.learning_rte", "did you mean ppo.learning_rate"]),
        ("learning_rate: 1.0", ["did you mean", "ppo.learning_rate"]),
        (
            "imitation: {shapes: [{num_job: 6}]}",
            ["did you mean imitation.shapes.0.num_jobs"],
        ),
        ("ppo: {epochs: 2.5}", ["ppo.epochs", "2.5", "an integer"]),
        ("ppo: {learning_rate: fast}", ["ppo.learning_rate", "'fast'", "a number"]),
        ("seed: true", ["seed", "True", "an integer"]),
        ("imitation: {mirror: 1}", ["imitation.mirror", "true or false"]),
        ("env: {sgs: actve}", ["env.sgs", "'actve'", "did you mean active"]),
        ("ppo: 3", ["ppo", "expected a mapping"]),
        ("evaluation: {rules: spt}", ["evaluation.rules", "expected a list"]),
        ("name: a/b", ["name", "'a/b'"]),
        ("seed: 1\nseed: 2", ["seed", "twice"]),
        ("seed: [", ["not YAML"]),
    ],
)
def test_mistakes_are_named(text: str, words: list[str]) -> None:
    """Guards the messages: dotted key, value, what was expected, nearest name, and the file."""
    with pytest.raises(ConfigError) as caught:
        from_yaml(text, source="mine.yaml")
    for word in ["mine.yaml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ppo: {gamma: 1.5}", "ppo.gamma"),
        ("ppo: {learning_rate: 0}", "ppo.learning_rate"),
        ("ppo: {clip: .inf}", "ppo.clip"),
        ("ppo: {clip: .nan}", "ppo.clip"),
        ("imitation: {shapes: [{num_jobs: 0}]}", "imitation.shapes.0.num_jobs"),
        ("evaluation: {samples: [1, 0]}", "evaluation.samples.1"),
        ("ppo: {minibatch_size: 5000}", "ppo.minibatch_size"),
        ("ppo: {total_decisions: 100}", "ppo.shapes"),
        ("self_labelling: {iterations: 1}", "self_labelling.shapes"),
        ("seed: -1", "seed"),
    ],
)
def test_numbers_out_of_range_are_refused(text: str, key: str) -> None:
    """Guards the bounds, whichever way a config is made from text."""
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        from_yaml(text)


def test_bounds_hold_without_yaml() -> None:
    """Guards configs built in Python: the message still names the field."""
    with pytest.raises(ConfigError, match="gae_lambda: 2"):
        PPOConfig(gae_lambda=2.0)


def test_overrides_are_dotted_and_typed() -> None:
    """Guards the command line of training: floats, booleans, tuples and entries of shapes."""
    words = ["--ppo.learning-rate", "3e-4", "--seed", "7", "--imitation.no-mirror"]
    words += ["--evaluation.samples", "1", "2", "--imitation.shapes.0.num-jobs", "9"]
    preset = load_preset("jobshop_quickstart")
    config = apply_overrides(preset, words)
    assert config.ppo.learning_rate == 3e-4
    assert config.seed == 7
    assert config.imitation.mirror is False
    assert config.evaluation.samples == (1, 2)
    assert config.imitation.shapes[0].num_jobs == 9
    assert config.imitation.shapes[1:] == preset.imitation.shapes[1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ppo.learning-rte", "1"], "--ppo.learning-rate"),
        (["--ppo.gamma", "1.5"], "gamma: 1.5"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_bad_overrides_exit_with_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the command line: a mistake is an error that names the option, never ignored."""
    with pytest.raises(SystemExit) as caught:
        apply_overrides(TrainConfig(), words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_unknown_preset_names_the_nearest() -> None:
    """Guards the message for a misspelt preset."""
    with pytest.raises(UnknownNameError, match="jobshop_quickstart"):
        load_preset("jobshop_quikstart.yaml")


def test_presets_can_be_any_file(tmp_path) -> None:
    """Guards user presets by path, and their name in messages."""
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nppo: {gama: 1.0}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml.*ppo\.gama.*ppo\.gamma"):
        load_preset(path)
    path.write_text("name: own\n")
    assert to_dict(load_preset(path))["name"] == "own"
