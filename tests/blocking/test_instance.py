"""Blocking instances refuse what contradicts itself, files keep everything, and downtime follows its law."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_play import play

from makespan.envs.blocking.benchmark import INSTANCE_SETS, best_known, find_instances, load_instance
from makespan.envs.blocking.engine import BlockingShopEngine
from makespan.envs.blocking.generator import (
    BenchmarkBlockingShop,
    RotatingShop,
    UniformBlockingShop,
    make_generator,
)
from makespan.envs.blocking.instance import BlockingShopInstance
from makespan.envs.blocking.validator import validate
from makespan.envs.core.errors import InstanceFormatError, InvalidInstanceError, UnknownNameError
from makespan.envs.jobshop.benchmark import load_instance as classic
from makespan.envs.jobshop.instance import ShopInstance

SHOP = ShopInstance.from_jobs([[(0, 5), (1, 2)], [(1, 4)]], name="three")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"down": [(2, 0, 1)]}, r"machines 2..2; expected 0..1"),
        ({"down": [(0, 3, 3)]}, "starts before 0 or is empty"),
        ({"down": [(0, 1, 3), (0, 3, 4)]}, "overlap or touch"),
        ({"down": [(0, 1, 2**24)]}, "rules could not read"),
        ({"stop_length": [1, 0]}, r"stop_length: shape \(2,\)"),
        ({"stop_length": [1, 0, 0], "down": [(0, 1, 2)]}, "expected one of them"),
        ({"stop_length": [1, 0, 0], "stop_after": [5, 0, 0]}, "expected less than its duration"),
        ({"shop": ShopInstance.from_alternatives([[[(0, 1), (1, 1)]]])}, "alternative machines"),
        ({"shop": ShopInstance.from_jobs([[(64, 1)]]), "swap": False}, "at most 63 without swaps"),
    ],
)
def test_refuses_contradictions(fields: dict[str, Any], message: str) -> None:
    """Each contradiction raises an error that names the field and what was expected."""
    given = {key: np.array(value) if isinstance(value, list) else value for key, value in fields.items()}
    with pytest.raises(InvalidInstanceError, match=message):
        BlockingShopInstance(**{"shop": SHOP, **given})


def test_windows_are_sorted_with_earlier_downtime() -> None:
    """`windows` holds each machine's windows in order of time and the downtime before them."""
    instance = BlockingShopInstance(SHOP, down=np.array([(1, 9, 10), (0, 4, 6), (1, 2, 5)]))
    far = 2**30
    assert instance.windows.tolist() == [
        [[4, 6, 0], [far, far, 2], [far, far, 2]],
        [[2, 5, 0], [9, 10, 3], [far, far, 4]],
    ]


@pytest.mark.parametrize("law", ["per_step", "per_op"])
def test_json_keeps_everything(law: str, tmp_path: Path) -> None:
    """What is saved is read again: shop, swap, interruption, windows, stops and name."""
    generator = UniformBlockingShop(
        swap=False, repeat=True, shutdown=law, probability=0.2, repair_high=9, release_factor=0.5
    )
    instance = replace(generator.sample(np.random.default_rng(0)), name="saved")
    instance.save(tmp_path / "shop.json")
    again = BlockingShopInstance.load(tmp_path / "shop.json")
    assert again == instance
    assert (again.name, again.swap, again.repeat) == ("saved", False, True)
    assert instance.is_interrupted


def test_reads_job_shop_files(tmp_path: Path) -> None:
    """A file in a format of the job shop is a blocking shop with swaps and without downtime."""
    classic("ft06").save(tmp_path / "x.txt")
    assert BlockingShopInstance.load(tmp_path / "x.txt") == load_instance("ft06")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=9), "version 9; expected 1"),
        (lambda c: c.pop("swap"), "missing field 'swap'"),
        (lambda c: c.update(swaps=True), "unknown field 'swaps'"),
        (lambda c: c.update(swap=1), "swap: 1; expected bool"),
        (lambda c: c.update(down=[[0, 1]]), r"down\[0\]: \[0, 1\]; expected"),
        (lambda c: c.update(down=[[7, 1, 2]]), r"machines 7..7"),
        (lambda c: c.update(stops=[[9, 0, 1]]), "stops: operation 9; expected 0..2"),
        (lambda c: c["shop"].update(jobs=[]), "shop: jobs: found"),
    ],
)
def test_malformed_files(change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path) -> None:
    """A malformed file raises `InstanceFormatError` that names the file and the place."""
    path = tmp_path / "bad.json"
    BlockingShopInstance(SHOP).save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InstanceFormatError, match=rf"bad\.json.*{message}"):
        BlockingShopInstance.load(path)


def test_instance_sets() -> None:
    """29 shops are proved with swaps, two without; the optima are the published ones, and a copy of the name is not enough."""
    assert len(INSTANCE_SETS["proved"]) == 29
    assert [best_known(name).upper for name in ("ft06", "la01", "la05", "orb07")] == [63, 793, 664, 483]  # type: ignore[union-attr]
    assert [best_known(name).upper for name in INSTANCE_SETS["proved-noswap"]] == [69, 881]  # type: ignore[union-attr]
    assert best_known("la11") is None
    assert load_instance("LA1-noswap").shop == classic("la01")
    assert not load_instance("la01-noswap").swap
    assert best_known(BlockingShopInstance(SHOP, name="la01")) is None
    assert best_known(replace(load_instance("la01"), down=np.array([(0, 1, 2)]))) is None
    assert [i.name for i in find_instances("la0?")] == [f"la0{n}" for n in range(1, 10)]
    assert len(find_instances("ft-noswap")) == 3
    for wrong in ("mk01", "nothing", "edata-la01"):
        with pytest.raises(UnknownNameError):
            find_instances(wrong)


def mean_down(**law: Any) -> tuple[float, float, float]:
    """Mean up time, mean repair and share of downtime over many windows of one law."""
    generator = UniformBlockingShop(num_jobs=40, num_machines=8, **law)
    down = [generator.sample(np.random.default_rng(seed)).down for seed in range(8)]
    ups, repairs, last = [], [], 0
    for windows in down:
        for m in range(8):
            mine = windows[windows[:, 0] == m]
            repairs += (mine[:, 2] - mine[:, 1]).tolist()
            ups += (mine[1:, 1] - mine[:-1, 2]).tolist()
            last += 1
    return (
        float(np.mean(ups)),
        float(np.mean(repairs)),
        float(np.sum(repairs) / (np.sum(repairs) + np.sum(ups))),
    )


def test_laws_have_their_means() -> None:
    """Geometric failures of probability 0.02 come every 50 units, uniform repairs of 1..9 last 5; exponential 90 and 10.

    Rounding up to whole units makes the exponential means longer by half a unit. Intervals are five standard errors wide.
    """
    up, repair, _ = mean_down(shutdown="per_step", probability=0.02, repair_high=9)
    assert abs(up - 50) < 5 * 50 / np.sqrt(15_000)
    assert abs(repair - 5) < 5 * 2.6 / np.sqrt(15_000)
    up, repair, share = mean_down(shutdown="exponential", mtbf=90.0, mttr=10.0)
    assert abs(up - 90.5) < 5 * 90 / np.sqrt(8_000)
    assert abs(repair - 10.5) < 5 * 10 / np.sqrt(8_000)
    assert 0.08 < share < 0.12
    up, repair, _ = mean_down(shutdown="per_step", probability=0.02, repair="geometric", mttr=8.0)
    assert abs(repair - 8) < 5 * 7.5 / np.sqrt(10_000)


def test_per_op_hits_its_share() -> None:
    """A fifth of the operations is hit with probability 0.2, at a uniform place within them."""
    generator = UniformBlockingShop(num_jobs=50, num_machines=20, shutdown="per_op", probability=0.2)
    shops = [generator.sample(np.random.default_rng(seed)) for seed in range(10)]
    hit = np.concatenate([shop.stop_length > 0 for shop in shops])
    place = np.concatenate([shop.stop_after / shop.shop.durations[:, 0] for shop in shops])[hit]
    assert abs(hit.mean() - 0.2) < 5 * 0.4 / 100
    assert 0.42 < place.mean() < 0.52  # rounded down, of durations around 50


def test_streams_are_their_own() -> None:
    """The law changes neither the shops nor the n-th failure's numbers: more failures are the same ones, sooner."""
    draws = {
        p: UniformBlockingShop(shutdown="per_step", probability=p).sample(np.random.default_rng(3))
        for p in (0.0, 0.001, 0.01)
    }
    assert draws[0.0].shop == draws[0.001].shop == draws[0.01].shop
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    UniformBlockingShop(shutdown="exponential").sample(rng)
    UniformBlockingShop().sample(other)
    assert rng.random() == other.random()
    rare, often = draws[0.001].windows[0], draws[0.01].windows[0]
    assert (rare[0, 1] - rare[0, 0]) == (often[0, 1] - often[0, 0])
    assert often[0, 0] < rare[0, 0]


def traced(path: Path, text: str, **more: Any) -> BlockingShopInstance:
    """A shop under the windows of a file."""
    path.write_text(text)
    generator = UniformBlockingShop(shutdown="trace", trace=str(path), **more)
    return generator.sample(np.random.default_rng(0))


def test_trace(tmp_path: Path) -> None:
    """Windows given in a file become the shop's, whatever their order, and the simulator keeps them."""
    shop = traced(tmp_path / "down.csv", "machine,start,end\n5,1,2\n0,30,90\n0,3,9\n")
    assert shop.down.tolist() == [[0, 3, 9], [0, 30, 90], [5, 1, 2]]
    engine = BlockingShopEngine(
        1, num_jobs=6, num_operations=36, num_machines=6, admission="wait", skip_forced=True
    )
    engine.load(0, shop)
    play(engine, np.random.default_rng(0))
    schedule = engine.schedule(0)
    assert validate(shop, schedule) == engine.objective(0)
    down = [row for row, kind in enumerate(schedule.kinds) if kind == "down"]
    assert [(schedule.resource[r], schedule.start[r], schedule.end[r]) for r in down] == [
        (0, 3, 9),
        (0, 30, 90),
        (5, 1, 2),
    ]
    empty = traced(tmp_path / "none.csv", "machine,start,end\n")
    assert empty == UniformBlockingShop().sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("machine,start,end\n0,3\n", InstanceFormatError, "line 2: '0,3'; expected three whole numbers"),
        ("machine,start,end\n0,3,9\n0,x,11\n", InstanceFormatError, "line 3: '0,x,11'; expected three"),
        ("machine,start,end\n0,3,99999999999\n", InstanceFormatError, "line 2: '0,3,99999999999'"),
        (
            "machine,begin,end\n",
            InstanceFormatError,
            "line 1: 'machine,begin,end'; expected machine,start,end",
        ),
        ("", InstanceFormatError, "line 1: ''; expected machine,start,end"),
        ("machine,start,end\n6,3,9\n", InvalidInstanceError, r"machines 6..6; expected 0..5"),
        ("machine,start,end\n0,9,3\n", InvalidInstanceError, "starts before 0 or is empty"),
        ("machine,start,end\n0,3,9\n0,5,12\n", InvalidInstanceError, "overlap or touch"),
    ],
)
def test_malformed_traces(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    """A malformed file names its line; windows that contradict the shop name what was expected."""
    with pytest.raises(error, match=message):
        traced(tmp_path / "down.csv", text)


def test_trace_needs_a_file(tmp_path: Path) -> None:
    """A trace without a file, a file without the law, and a file that is not there are errors."""
    with pytest.raises(ValueError, match="a file belongs to 'trace'"):
        UniformBlockingShop(shutdown="trace")
    with pytest.raises(ValueError, match="a file belongs to 'trace'"):
        UniformBlockingShop(shutdown="per_step", trace="down.csv")
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        UniformBlockingShop(shutdown="trace", trace=str(tmp_path / "gone.csv")).sample(
            np.random.default_rng(0)
        )


def test_benchmark_generator_interrupts_the_literature() -> None:
    """Shops of the literature get downtime drawn anew."""
    generator = BenchmarkBlockingShop(instances="ft06", shutdown="per_step", probability=0.05)
    one, other = (generator.sample(np.random.default_rng(seed)) for seed in range(2))
    assert one.shop == other.shop == classic("ft06")
    assert not np.array_equal(one.down, other.down)


def test_generator_parameters() -> None:
    """Parameters out of range and unknown ones are errors with the range or the nearest name."""
    with pytest.raises(ValueError, match=r"probability: 2; expected 0.0..1.0"):
        make_generator("uniform", probability=2)
    with pytest.raises(TypeError, match="did you mean mtbf"):
        make_generator("uniform", mtbff=3)
    with pytest.raises(UnknownNameError, match="rotating"):
        make_generator("rotate")


def test_rotating_square() -> None:
    """Every job visits every machine once, and in each step the machines form a permutation."""
    instance = RotatingShop(5).sample(np.random.default_rng(0))
    square = instance.shop.machines.reshape(5, 5)
    every = np.tile(np.arange(5), (5, 1))
    assert np.array_equal(np.sort(square, axis=1), every)
    assert np.array_equal(np.sort(square, axis=0), every.T)
