"""JSON files are read, written, and refused by key; named instances are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import InstanceFormatError, UnknownNameError
from makespan.envs.soc import formats
from makespan.envs.soc.benchmark import INSTANCE_SETS, best_known, find_instances, load_instance
from makespan.envs.soc.generator import generator_names, make_generator
from makespan.envs.soc.instance import SocInstance
from makespan.envs.soc.static_schedulers import HEFT, Lookahead

PLAIN: dict[str, Any] = {
    "name": "fork",
    "exec_time": [[4, 5], [None, 2], [3, 3]],
    "edges": [[0, 1, 8], [0, 2, 0]],
    "comm": "edge cost if on different processors, else 0",
    "golden": {"optimal": 8},
}


def read(**changes: Any) -> list[SocInstance]:
    """The instances of PLAIN with some keys replaced (None: dropped)."""
    entry = {key: value for key, value in {**PLAIN, **changes}.items() if value is not None}
    return formats.loads(json.dumps(entry), source="f.json", name="f")


def test_a_plain_graph() -> None:
    """Guards the meaning of the form: null cannot run, volumes are delays between PEs, one job at 0, makespan."""
    (instance,) = read()
    assert instance.durations.tolist() == [[4, 5], [-1, 2], [3, 3]]
    assert instance.bandwidth.tolist() == [[0, 1], [1, 0]]
    assert instance.edge_volume.tolist() == [8, 0]
    assert (instance.objective, instance.name, instance.arrival.tolist()) == ("makespan", "fork", [0])
    assert HEFT().solve(instance).objective == 14  # greedy: task 0 on PE 0 [0, 4), data on PE 1 at 12
    assert Lookahead().solve(instance).objective == 8  # task 0 on PE 1 [0, 5), task 2 on PE 0 [5, 8)


def test_the_sample_graph_of_the_heft_paper_is_recognised(tmp_path: Path) -> None:
    """Guards that the proved optimum is found for the graph from a file under any name, and not for another graph."""
    named = load_instance("topcuoglu")
    path = tmp_path / "any.json"
    text = {
        "name": "sample graph",
        "exec_time": named.durations.tolist(),
        "edges": np.stack([named.edge_source, named.edge_target, named.edge_volume], axis=1).tolist(),
    }
    path.write_text(json.dumps(text))
    (instance,) = find_instances(str(path))
    known = best_known(instance)
    assert known is not None
    assert (known.lower, known.upper) == (73, 73)
    text["exec_time"][0][0] = 15
    path.write_text(json.dumps(text))
    assert best_known(find_instances(str(path))[0]) is None


def test_a_batch_of_graphs() -> None:
    """Guards lists: several instances, numbered where they have no names."""
    entry = {key: value for key, value in PLAIN.items() if key != "name"}
    instances = formats.loads(json.dumps([PLAIN, entry]), name="batch")
    assert [instance.name for instance in instances] == ["fork", "batch-1"]


def test_several_profiles_and_jobs() -> None:
    """Guards streams from files: two graphs in one table, jobs with arrivals, sorted."""
    (instance,) = read(profiles=[2, 1], edges=[[0, 1, 8]], jobs=[[1, 9], [0, 4], [1, 0]], objective="latency")
    assert instance.task_first.tolist() == [0, 2, 3]
    assert instance.job_profile.tolist() == [1, 0, 1]
    assert instance.arrival.tolist() == [0, 4, 9]


@pytest.mark.parametrize("name", [name for name in generator_names() if name != "workflow"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    """Guards the round trip of every kind of instance, with noise, power, caps and names."""
    noise = {} if name in ("toy", "known-optimum") else {"noise": 0.2}
    instance = make_generator(name, **noise).sample(np.random.default_rng(0))
    instance.save(tmp_path / "one.json")
    again = SocInstance.load(tmp_path / "one.json")
    assert again == instance
    assert (again.pe_names, again.task_names, again.profile_names) == (
        instance.pe_names,
        instance.task_names,
        instance.profile_names,
    )
    formats.save([instance, again], tmp_path / "two.json")
    assert formats.load(tmp_path / "two.json") == [instance, instance]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": None}, 'key "edges" is missing'),
        ({"edgs": []}, 'unknown key "edgs"; did you mean "edges"'),
        ({"exec_time": [[4, 5], [1], [3, 3]]}, r'"exec_time\[1\]": \[1\]; expected 2 times'),
        ({"exec_time": [[4, 5], [1, 2.5], [3, 3]]}, r'"exec_time\[1\]\[1\]": 2.5; expected a whole number'),
        ({"exec_time": [[4, 5], [1, -2], [3, 3]]}, r'"exec_time\[1\]\[1\]": -2'),
        ({"exec_time": []}, '"exec_time": .*expected a list of tasks'),
        ({"exec_time": "fast"}, "\"exec_time\": 'fast'; expected a list"),
        ({"edges": [[0, 1]]}, r'"edges\[0\]": \[0, 1\]; expected \[source task, target task, volume\]'),
        ({"edges": [[0, 3, 1]]}, r'"edges\[0\]": \[0, 3, 1\]; expected tasks 0..2'),
        ({"edges": [[0, 1, 1], [1, 0, 1]]}, "a cycle"),
        ({"exec_time": [[4, 5], [None, None], [3, 3]]}, "no PE can run template task 1"),
        ({"profiles": [2, 2]}, '"profiles": .*add up to the 3 tasks'),
        ({"jobs": [[0, 1], [1, 2]]}, "job_profile"),
        ({"jobs": [[0]]}, r'"jobs\[0\]": \[0\]; expected \[profile, arrival\]'),
        ({"bandwidth": [[0, 1]]}, '"bandwidth": .*expected 2, one for each PE'),
        ({"cluster": [0]}, '"cluster": .*2 numbers'),
        ({"objective": "profit"}, "\"objective\": 'profit'; expected one of latency, makespan, energy"),
        ({"objective": "energy"}, "power: None"),
        ({"pes": ["a"]}, '"pes": .*expected 2 texts'),
        ({"name": 3}, '"name": 3; expected a text'),
        ({"horizon": -1}, '"horizon": -1'),
        ({"realised": [[1, 2]]}, "realised: shape"),
        ({"deviation": "much"}, "\"deviation\": 'much'"),
        ({"power": {"base": 1}}, '"power": .*frequency, table, level and base'),
    ],
)
def test_malformed_files(changes: dict[str, Any], message: str) -> None:
    """Guards that a malformed file is refused with its name, the key and what was expected."""
    with pytest.raises(InstanceFormatError, match=f"f.json: .*{message}|f.json: {message}"):
        read(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: .*expected JSON"),
        ("[]", "an empty list"),
        ("[3]", r"\[0\]: 3; expected an object"),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_no_instance_at_all(text: str, message: str) -> None:
    """Guards texts that are no JSON, or not the right kind of it."""
    with pytest.raises(InstanceFormatError, match=message):
        formats.loads(text)


def test_not_even_text(tmp_path: Path) -> None:
    """Guards binary files."""
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InstanceFormatError, match="expected UTF-8"):
        formats.load(path)


def test_names_and_sets() -> None:
    """Guards what one argument of `--instances` may be: a set, a name in any spelling, a glob; and the error otherwise."""
    assert [i.name for i in find_instances("single")] == list(INSTANCE_SETS["single"])
    assert [i.name for i in find_instances("Single_WIFI-tx")] == ["single-wifi_tx"]
    assert [i.name for i in find_instances("ds3-*")] == ["ds3-wifi-2000", "ds3-wifi-200", "ds3-wifi-100"]
    with pytest.raises(UnknownNameError, match="topcuoglu"):
        find_instances("topcuoglou")
    known = best_known("toy")
    assert known is not None
    assert known.upper == 5.0
    assert best_known(load_instance("ds3-wifi-200")) is None


def test_the_case_study_streams() -> None:
    """Guards the regression streams: jobs before 50 ms, counted from 10 ms, on the default SoC."""
    stream = load_instance("ds3-wifi-100")
    assert (stream.num_jobs, stream.num_pes, stream.horizon, stream.warm_up) == (485, 16, 50_000, 10_000)
    assert int(stream.counted.sum()) == int((stream.arrival >= 10_000).sum())
