"""Instances, their files, and what generators draw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError, UnknownNameError
from makespan.envs.dynamic_shop.benchmark import INSTANCE_SETS, best_known, find_instances, load_instance
from makespan.envs.dynamic_shop.family import DYNAMIC_SHOP, group
from makespan.envs.dynamic_shop.generator import (
    FixedDynamicShops,
    PoissonShop,
    ToyShop,
    generator_names,
    make_generator,
    total_work_due_dates,
)
from makespan.envs.dynamic_shop.instance import DynamicShopInstance
from makespan.envs.dynamic_shop.schedules import completions
from makespan.envs.jobshop.instance import ShopInstance

TOY = ToyShop().sample()


def draw(seed: int = 0, **parameters: object) -> DynamicShopInstance:
    """A draw of the generator."""
    return PoissonShop(**parameters).sample(np.random.default_rng(seed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"due": np.array([1, 2])}, r"due: shape \(2,\)"),
        ({"due": np.array([1.0, 2.0, 3.0])}, "due: dtype float64; expected integers"),
        ({"weight": np.array([1, 0, 1])}, r"weight: shape \(3,\), 0..1; expected .* in 1"),
        ({"realised": np.zeros((2, 1), np.int32)}, r"realised: shape \(2, 1\)"),
        ({"realised": np.full((4, 1), -1)}, "realised: expected time units >= 0"),
        ({"down": np.array([(2, 0, 1)])}, r"down: machines 2..2; expected 0..1"),
        ({"down": np.array([(0, 3, 3)])}, "is empty"),
        ({"down": np.array([(0, 1, 3), (0, 3, 4)])}, "overlap or touch"),
        ({"warm_up": 2, "cool_down": 1}, "leave at least one of 3 jobs"),
        ({"objective": "lateness"}, "objective: 'lateness'; expected one of tardiness"),
        ({"down": np.array([(0, 1, 2**24)])}, "may last"),
        ({"shop": replace(TOY.shop, release=np.array([0, 2, 1]))}, "job 2 arrives before job 1"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    """Each field that contradicts the others is an error that names it."""
    with pytest.raises(InvalidInstanceError, match=message):
        replace(TOY, **changes)  # type: ignore[arg-type]


def test_units_by_hand() -> None:
    """The toy's operations take 4, 3, 3, 5: u = 3.75, rounded 4; weights 1 + 3 + 1."""
    assert TOY.unit == 4
    assert TOY.scale == 4 * 5
    assert replace(TOY, objective="flow_time").scale == 4 * 3
    assert replace(TOY, warm_up=1).scale == 4 * 4
    assert replace(TOY, warm_up=1, cool_down=1).counted.tolist() == [False, True, False]


@pytest.mark.parametrize("generator", ["dynamic", "unreliable", "flexible", "toy", "known_optimum"])
def test_files_keep_everything(generator: str, tmp_path: Path) -> None:
    """What is written is read back equal, name included."""
    instance = make_generator(generator).sample(np.random.default_rng(4))
    instance.save(tmp_path / "shop.json")
    again = DynamicShopInstance.load(tmp_path / "shop.json")
    assert again == instance
    assert again.name == instance.name
    assert find_instances(str(tmp_path / "shop.json")) == [instance]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version 2; expected 1"),
        ("kind", "makespan/shop", 'expected an object with "kind"'),
        ("due", [1, 2], r"due: shape \(2,\)"),
        ("due", [1, 2, "x"], r"due\[2\]: 'x'; expected a whole number"),
        ("down", [[0, 1]], "down: expected a list of"),
        ("realised", [[1], [1], [1]], "realised: expected for each of 4 operations"),
        ("warm_up", 2.5, "warm_up: 2.5; expected a whole number"),
        ("shop", {}, "shop"),
        ("objective", "cost", "objective: 'cost'"),
        ("extra", 1, "unknown field 'extra'"),
        ("weight", None, "missing field 'weight'"),
    ],
)
def test_malformed_files_are_refused(key: str, value: object, message: str, tmp_path: Path) -> None:
    """The message names the file and the place."""
    path = tmp_path / "shop.json"
    TOY.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content[key] = value
    if value is None:
        del content[key]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InstanceFormatError, match=message) as error:
        DynamicShopInstance.load(path)
    assert str(path) in str(error.value)


def test_no_json(tmp_path: Path) -> None:
    """A file that is no JSON is an error that names the line."""
    (tmp_path / "shop.json").write_text("{\n 1", encoding="utf-8")
    with pytest.raises(InstanceFormatError, match="line 2"):
        DynamicShopInstance.load(tmp_path / "shop.json")


def test_due_dates_by_hand() -> None:
    """TWK: arrival plus the factor times the work, mean over eligible machines: 3 + 2 * (4 + 5)."""
    shop = ShopInstance.from_alternatives([[[(0, 3), (1, 5)], [(1, 5)]]], release=[3])
    assert total_work_due_dates(shop, 2.0).tolist() == [21]


def test_completions_are_those_of_counting() -> None:
    """The vectorised end of interrupted work is that of counting up time unit by unit, windows of all kinds in the way."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        instance = draw(seed, num_jobs=20, num_machines=2, warm_up=1, cool_down=0, mtbf=8.0, mttr=4.0, high=9)
        down = {(int(m), t) for m, s, e in instance.down.tolist() for t in range(s, e)}
        machine = rng.integers(0, 2, 30)
        start = rng.integers(0, 300, 30)
        start = np.array([t + 1 if (m, t) in down else t for m, t in zip(machine, start, strict=True)])
        keep = [(int(m), int(t)) not in down for m, t in zip(machine, start, strict=True)]
        machine, start = machine[keep], start[keep]
        work = rng.integers(0, 20, machine.size)
        ends = completions(instance, machine, start, work)
        for m, begin, amount, end in zip(
            machine.tolist(), start.tolist(), work.tolist(), ends.tolist(), strict=True
        ):
            time, left = begin, amount
            while left > 0:
                left -= (m, time) not in down
                time += 1
            assert end == time


def test_streams_are_separate() -> None:
    """Utilisation, tightness, noise and breakdowns change what they are about and leave the jobs as they are."""
    base = draw(1)
    busier = draw(1, utilisation=0.45)
    assert np.array_equal(base.shop.durations, busier.shop.durations)
    assert np.array_equal(base.weight, busier.weight)
    assert np.abs(busier.shop.release - 2 * base.shop.release.astype(np.int64)).max() <= 1
    other = draw(1, tightness=5.0, noise=0.3, mtbf=500.0)
    assert np.array_equal(base.shop.machines, other.shop.machines)
    assert not np.array_equal(other.realised, other.shop.durations)
    longer = draw(1, mtbf=500.0, mttr=200.0)
    ups = [np.diff(i.down[i.down[:, 0] == 0][:, 1:].ravel())[1::2] for i in (other, longer)]
    count = min(len(up) for up in ups)
    assert np.array_equal(ups[0][:count], ups[1][:count])  # the same up times, whatever repairs take


def test_draws_have_the_stated_moments() -> None:
    """Load is the utilisation, noise has mean 1, availability is mtbf / (mtbf + mttr), weights are 20:60:20."""
    instance = draw(
        0, num_jobs=20_000, num_machines=4, utilisation=0.8, noise=0.3, mtbf=900.0, mttr=100.0, high=59
    )
    horizon = int(instance.shop.release[-1])
    load = instance.shop.durations.sum() / (4 * horizon)
    assert load == pytest.approx(0.8 * 0.9, rel=0.03)
    noise = instance.realised[:, 0].sum() / instance.shop.durations[:, 0].sum()
    assert noise == pytest.approx(1.0, abs=0.01)
    windows = instance.down[instance.down[:, 2] <= horizon]
    assert (windows[:, 2] - windows[:, 1]).sum() / (4 * horizon) == pytest.approx(0.1, rel=0.1)
    shares = np.bincount(instance.weight, minlength=5)[[1, 2, 4]] / 20_000
    assert shares == pytest.approx([0.2, 0.6, 0.2], abs=0.02)
    gaps = np.diff(instance.shop.release)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)  # exponential


def test_flexible_draws() -> None:
    """Eligible machines are different ones, one to three of them, the further ones within the spread of the first."""
    instance = draw(0, num_jobs=2000, flexibility=3, spread=0.3)
    machines, durations = instance.shop.machines, instance.shop.durations.astype(float)
    counts = np.bincount((machines >= 0).sum(axis=1), minlength=4)[1:] / len(machines)
    assert counts == pytest.approx([1 / 3] * 3, abs=0.03)
    used = machines[:, 1] >= 0
    ratio = durations[used, 1] / durations[used, 0]
    long = durations[used, 0] >= 20
    assert ratio[long].min() >= 0.66
    assert ratio[long].max() <= 1.34


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"utilisation": 0.0}, ValueError, "utilisation: 0.0; expected"),
        ({"max_operations": 6}, ValueError, "max_operations: 6"),
        ({"min_operations": 6}, ValueError, "min_operations: 6"),
        ({"warm_up": 130}, ValueError, "warm_up"),
        ({"weights": (1, 2)}, ValueError, "weights"),
        ({"weight_shares": (0.5, 0.1, 0.1)}, ValueError, "shares that add to 1"),
        ({"law": "normal"}, UnknownNameError, "uniform"),
        ({"flexibility": 9}, ValueError, "flexibility"),
        ({"num_job": 9}, TypeError, "did you mean num_jobs"),
    ],
)
def test_senseless_parameters_are_refused(
    parameters: dict[str, object], error: type[Exception], message: str
) -> None:
    """Each names the parameter and what was expected."""
    with pytest.raises(error, match=message):
        make_generator("dynamic", **parameters)


def test_generators_fit_their_sizes() -> None:
    """Every generator's draws lie within its size; equal seeds give equal draws."""
    for name in generator_names():
        generator = make_generator(name)
        one, two = (generator.sample(np.random.default_rng(3)) for _ in range(2))
        assert one == two
        for key in ("num_jobs", "num_machines", "longest_route", "max_alternatives"):
            assert getattr(one, key) <= getattr(generator.size, key)
    with pytest.raises(ValueError, match=r"FixedDynamicShops\.instances: empty"):
        FixedDynamicShops(())


def test_named_instances() -> None:
    """Sets hold 20 draws each, names are kept, groups leave the number out, and only the toy has a known value."""
    assert len(INSTANCE_SETS["unreliable-u95"]) == 20
    instance = load_instance("dynamic-u80-3")
    assert instance.name == "dynamic-u80-3"
    assert group(instance) == group(replace(instance, name="dynamic-u80#7")) == "dynamic-u80"
    assert instance == find_instances("dynamic-u8*-3")[0]
    assert best_known(instance) is None
    known = DYNAMIC_SHOP.best_known(load_instance("toy"))
    assert known is not None
    assert known.upper == 2
    with pytest.raises(UnknownNameError, match="dynamic-u80"):
        find_instances("dynamic-u81")
