"""Dispatching rules: the group means on Taillard's instances that an independent dispatcher gave, and definitions."""

from __future__ import annotations

from functools import cache

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import makespan  # noqa: F401
from makespan.envs.core.policy import rule_policy, rules_of
from makespan.envs.core.vector import SchedulingVectorEnv
from makespan.envs.jobshop import rules as rules  # registers them before they are listed below
from makespan.envs.jobshop.benchmark import INSTANCE_SETS, best_known, load_instance
from makespan.envs.jobshop.instance import ShopInstance

SIZES = ("15x15", "20x15", "20x20", "30x15", "30x20", "50x15", "50x20", "100x20")

# Mean gap to the best known makespan in percent, by size. Measured with a separate dispatcher written from the rules'
# definitions (ties to the lower job; upper bounds of August 2026). Corsini et al. (2024), "Self-Labeling the Job Shop
# Scheduling Problem", found 26.1 for SPT and 19.1 for MWKR on 15 x 15 with ties of their own.
NON_DELAY = {
    "spt": (25.9, 32.8, 27.8, 35.3, 34.5, 24.1, 25.5, 14.4),
    "lpt": (41.2, 46.2, 40.9, 49.1, 50.3, 41.2, 43.7, 31.9),
    "fifo": (23.9, 31.4, 27.4, 31.2, 31.2, 20.7, 23.9, 13.6),
    "lifo": (35.6, 40.0, 36.6, 41.1, 48.8, 29.9, 35.7, 23.1),
    "mwkr": (19.2, 23.4, 21.8, 23.9, 25.2, 16.9, 17.9, 8.3),
    "lwkr": (47.7, 47.0, 47.7, 49.9, 59.2, 38.5, 46.6, 28.9),
    "mopnr": (20.5, 23.6, 21.7, 22.8, 25.0, 17.4, 17.7, 9.2),
    "lopnr": (40.9, 51.4, 40.4, 55.7, 57.1, 35.6, 43.6, 30.2),
    "ltail": (19.5, 20.0, 17.7, 20.3, 23.8, 14.3, 15.2, 6.5),
    "spt_twk": (26.0, 29.4, 23.5, 30.6, 31.1, 17.6, 24.6, 12.6),
    "spt_twkr": (16.6, 17.3, 18.3, 16.3, 19.0, 12.2, 12.5, 3.7),
    "fdd_mwkr": (17.7, 21.3, 19.9, 21.7, 24.1, 15.3, 16.3, 7.6),
    "winq": (30.7, 35.6, 37.9, 35.1, 38.9, 22.3, 26.3, 14.7),
    "pt_winq": (29.2, 31.4, 26.4, 31.5, 31.7, 17.6, 25.6, 13.3),
}
OTHER_SCHEMES = {
    ("active", "spt"): (58.4, 71.5, 65.6, 70.9, 77.4, 66.2, 71.6, 56.9),
    ("active", "mwkr"): (26.9, 28.6, 27.9, 31.2, 33.6, 23.5, 24.7, 12.1),
    ("append", "mwkr"): (54.3, 59.8, 62.8, 66.9, 67.7, 60.4, 64.5, 49.9),
    ("append", "fdd_mwkr"): (41.2, 42.1, 43.9, 50.6, 53.1, 41.8, 46.6, 33.3),
    ("active", "fifo"): NON_DELAY["fifo"],
    ("append", "fifo"): NON_DELAY["fifo"],
}


@cache
def taillard(size: str) -> tuple[list[ShopInstance], np.ndarray]:
    """The ten instances of a size and their best known makespans."""
    instances = [load_instance(name) for name in INSTANCE_SETS[f"ta{size}"]]
    return instances, np.array([best_known(instance).upper for instance in instances])  # type: ignore[union-attr]


def play(instances: list[ShopInstance], rule: str, sgs: str) -> SchedulingVectorEnv:
    """Serve every instance by a rule to the end."""
    envs = gymnasium.make_vec(
        "makespan/FlexibleJobShop-v0" if any(i.is_flexible for i in instances) else "makespan/JobShop-v0",
        num_envs=len(instances),
        vectorization_mode="vector_entry_point",
        instances=instances,
        sgs=sgs,
        illegal_action="raise",
        autoreset_mode=AutoresetMode.DISABLED,
        copy=False,
    ).unwrapped
    assert isinstance(envs, SchedulingVectorEnv)
    policy = rule_policy("jobshop", rule, envs.schema)
    observation, _ = envs.reset(seed=0)
    terminated = np.zeros(len(instances), bool)
    while not terminated.all():
        observation, _, terminated, _, _ = envs.step(policy.act(observation))
    return envs


def mean_gap(size: str, rule: str, sgs: str) -> float:
    """Mean gap in percent over the ten instances of a size."""
    instances, best = taillard(size)
    envs = play(instances, rule, sgs)
    makespans = np.array([envs.objective(slot) for slot in range(len(instances))])
    return float(100 * (makespans / best - 1).mean())


@pytest.mark.parametrize("rule", NON_DELAY)
def test_taillard_non_delay(rule: str) -> None:
    """Group means of the rules on all 80 Taillard instances, non-delay, within 0.3 points."""
    gaps = [mean_gap(size, rule, "non_delay") for size in SIZES]
    np.testing.assert_allclose(gaps, NON_DELAY[rule], atol=0.3)


@pytest.mark.parametrize(("sgs", "rule"), OTHER_SCHEMES)
def test_taillard_other_schemes(sgs: str, rule: str) -> None:
    """The same under Giffler & Thompson and under appending; FIFO gives one schedule whatever the scheme."""
    gaps = [mean_gap(size, rule, sgs) for size in SIZES]
    np.testing.assert_allclose(gaps, OTHER_SCHEMES[sgs, rule], atol=0.3)


@pytest.mark.parametrize("rule", sorted(rules_of("jobshop")))
@pytest.mark.parametrize("sgs", ["non_delay", "active", "non_delay_wait", "append"])
def test_every_rule_finishes(rule: str, sgs: str) -> None:
    """Each rule serves classic and flexible shops to the end under every scheme, never waiting in vain."""
    for names in (["ft06", "orb07"], ["mk01"]):
        envs = play([load_instance(name) for name in names], rule, sgs)
        assert all(
            envs.schedule(slot).num_rows == envs.instances[slot].num_operations for slot in range(len(names))
        )


def test_flexible_ties_go_to_the_earliest_completion() -> None:
    """A rule that looks at the job alone takes the machine on which the operation would end first."""
    shop = ShopInstance.from_alternatives([[[(0, 9), (1, 4)]], [[(0, 3)]]], num_machines=2)
    envs = play([shop], "mwkr", "non_delay")
    schedule = envs.schedule(0)
    assert schedule.resource[schedule.job == 0].tolist() == [1]


@pytest.mark.parametrize(
    ("rule", "first"),
    [("spt", 1), ("lpt", 0), ("mwkr", 2), ("lwkr", 1), ("mopnr", 2), ("lopnr", 0), ("winq", 0)],
)
def test_first_choice_by_hand(rule: str, first: int) -> None:
    """On three jobs that meet at machine 0 each rule serves the job its definition names, worked out by hand."""
    shop = ShopInstance.from_jobs([[(0, 5)], [(0, 1), (1, 3)], [(0, 2), (1, 4), (2, 2)]])
    schedule = play([shop], rule, "non_delay").schedule(0)
    on_machine = schedule.resource == 0
    assert schedule.job[on_machine][schedule.start[on_machine].argmin()] == first
