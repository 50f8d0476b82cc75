"""Presets and overrides are typed: what the schema does not know never passes silently."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import pytest

from makespan.agents.config import (
    EnvConfig,
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
from makespan.agents.shapes import check_config, schema_of
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
    assert kinds <= {"rule", "policy", "random", "portfolio"}
    assert {parse_policy(text, family.name).kind for text in config.evaluation.solvers} <= {"solver"}
    for instance in config.evaluation.instances:
        assert family.find_instances(instance)
    stages = (config.imitation, config.self_labelling, config.ppo, config.evaluation)
    for shape in [shape for stage in stages for shape in (*stage.shapes, *config.imitation.dagger_shapes)]:
        gymnasium.make(config.env.id, generator=shape.generator, **shape.parameters).close()


@pytest.mark.parametrize("name", preset_names())
def test_yaml_round_trip_is_exact(name: str) -> None:
    """Guards the resolved config of a run folder: what is written is what is read."""
    config = load_preset(name)
    assert from_yaml(to_yaml(config)) == config


def test_round_trip_keeps_small_floats() -> None:
    """Guards against YAML 1.1 reading 1e-05, as Python writes it, as a string."""
    config = TrainConfig(ppo=PPOConfig(learning_rate=1e-5, shapes=(ShapeConfig("uniform"),)))
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
            "imitation: {shapes: [{generator: uniform, cout: 6}]}",
            ["did you mean imitation.shapes.0.count"],
        ),
        ("ppo: {epochs: 2.5}", ["ppo.epochs", "2.5", "an integer"]),
        ("ppo: {learning_rate: fast}", ["ppo.learning_rate", "'fast'", "a number"]),
        ("seed: true", ["seed", "True", "an integer"]),
        ("imitation: {mirror: 1}", ["imitation.mirror", "true or false"]),
        ("imitation: {shapes: [{count: 6}]}", ["imitation.shapes.0", "generator"]),
        ("env: {options: {sgs: [active]}}", ["env.options.sgs", "a list", "a string"]),
        ("env: {options: active}", ["env.options", "'active'", "a mapping"]),
        ("ppo: {shapes: [{generator: a, parameters: {mix: [1, {}]}}]}", ["ppo.shapes.0.parameters.mix.1"]),
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
        ("imitation: {shapes: [{generator: uniform, count: 0}]}", "imitation.shapes.0.count"),
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
    words += ["--evaluation.samples", "1", "2", "--imitation.shapes.0.count", "9"]
    preset = load_preset("jobshop_quickstart")
    config = apply_overrides(preset, words)
    assert config.ppo.learning_rate == 3e-4
    assert config.seed == 7
    assert config.imitation.mirror is False
    assert config.evaluation.samples == (1, 2)
    assert config.imitation.shapes[0].count == 9
    assert config.imitation.shapes[1:] == preset.imitation.shapes[1:]


def test_overrides_set_entries_of_mappings() -> None:
    """Entries of options and parameters are set whether or not the preset has them, typed as YAML, lists of several words."""
    words = ["--env.options.sgs", "append", "--env.options.skip-forced=false", "--seed", "7"]
    words += ["--ppo.shapes.1.parameters.num-jobs", "9", "--ppo.shapes.1.parameters.release-factor", "1e-1"]
    words += ["--evaluation.shapes.0.parameters.mix", "1", "2"]
    preset = load_preset("jobshop_quickstart")
    config = apply_overrides(preset, words)
    assert config.env.options == {"sgs": "append", "skip_forced": False}
    assert config.seed == 7
    assert config.ppo.shapes[1].parameters == {"num_jobs": 9, "num_machines": 8, "release_factor": 0.1}
    assert config.evaluation.shapes[0].parameters["mix"] == (1, 2)
    assert config.ppo.shapes[0] == preset.ppo.shapes[0]
    assert preset.env.options == {"sgs": "active"}
    assert from_yaml(to_yaml(config)) == config


def test_overrides_of_mappings_are_checked() -> None:
    """A value that no option can have is refused with its dotted key."""
    with pytest.raises(ConfigError, match=r"env\.options\.sgs"):
        apply_overrides(TrainConfig(), ["--env.options.sgs", "{a: 1}"])


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "jobs"),
        ({"num_jobs": 6, "num_machines": 5}, "jobs-6x5"),
        ({"num_jobs": 6, "mix": ("a", "b"), "load": 0.5}, "jobs-num_jobs=6,mix=a..b,load=0.5"),
    ],
)
def test_shapes_have_short_names(parameters: dict[str, object], name: str) -> None:
    """Sizes alone are written as the literature does; anything else with its name."""
    assert ShapeConfig("jobs", parameters).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generator": "unifrm"}, ["imitation.shapes.0", "did you mean uniform"]),
        ({"parameters": {"num_job": 3}}, ["imitation.shapes.0", "num_job", "did you mean num_jobs"]),
        ({"parameters": {"num_jobs": 0}}, ["imitation.shapes.0", "num_jobs", "0"]),
        ({"teacher": ""}, ["imitation.shapes.0", "teacher is empty"]),
        ({"teacher": "cpsat"}, ["imitation.shapes.0", "did you mean cp_sat"]),
        ({"teacher": "spt*8"}, ["imitation.shapes.0", "'spt*8'", "a solver, rule or registered policy"]),
    ],
)
def test_shapes_are_held_against_the_family(change: dict[str, object], words: list[str]) -> None:
    """What the family does not have is refused before the run, with the dotted key and the nearest name."""
    preset = load_preset("jobshop_quickstart")
    check_config(preset, get_family(preset.env.id))
    shapes = (replace(preset.imitation.shapes[0], **change),)
    config = replace(preset, imitation=replace(preset.imitation, shapes=shapes))
    with pytest.raises(ConfigError) as caught:
        check_config(config, get_family(config.env.id))
    for word in words:
        assert word in str(caught.value)


def test_options_are_held_against_the_environment() -> None:
    """A keyword or value that the environment does not take is an error that names it."""
    assert schema_of(EnvConfig(options={"sgs": "append"})).node("job")
    for options, word in (({"sgss": "append"}, "sgss"), ({"sgs": "apend"}, "did you mean append")):
        with pytest.raises(ConfigError, match=word):
            schema_of(EnvConfig(options=options))


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
