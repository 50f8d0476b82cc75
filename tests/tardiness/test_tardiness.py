"""Single-machine total tardiness: heuristics against published figures, exact values, promises of the environments."""

from __future__ import annotations

import itertools
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import makespan  # noqa: F401
from makespan.envs.core.errors import (
    InstanceFormatError,
    InvalidInstanceError,
    InvalidScheduleError,
    UnknownNameError,
)
from makespan.envs.core.policy import RandomPolicy, policies_of, rule_policy, rules_of, solvers_of
from makespan.envs.tardiness.benchmark import INSTANCE_SETS, best_known, find_instances, load_instance
from makespan.envs.tardiness.engine import TardinessEngine
from makespan.envs.tardiness.env import SingleMachineTardinessEnv
from makespan.envs.tardiness.generator import (
    DUE_DATE_RANGES,
    TARDINESS_FACTORS,
    KnownOptimum,
    PottsVanWassenhove,
    ToyMachine,
)
from makespan.envs.tardiness.heuristics import construct, total_tardiness, wilkerson_irwin
from makespan.envs.tardiness.instance import TardinessInstance
from makespan.envs.tardiness.solver import DynamicProgrammingSolver, LocalSearchSolver, schedule_of
from makespan.envs.tardiness.validator import lower_bound, validate
from makespan.envs.testing import check_scheduling_env, check_scheduling_vector_env

ID = "makespan/SingleMachineTardiness-v0"


def sequence_of(name: str, instance: TardinessInstance) -> list[int]:
    """The order in which a rule or a planning policy runs the jobs of one instance."""
    engine = TardinessEngine(1, num_jobs=instance.num_jobs, skip_forced=True)
    engine.load(0, instance)
    entry = policies_of("tardiness").get(name)
    policy = entry.load(engine.schema) if entry else rule_policy("tardiness", name, engine.schema)
    if entry:
        policy.begin([instance], np.array([0]))  # type: ignore[attr-defined]
    while not engine.outcome.terminated[0]:
        engine.step(policy.act(engine.observation))
    return engine.schedule(0).job.tolist()


def values(name: str, instances: list[TardinessInstance]) -> np.ndarray:
    """Total tardiness of a rule or planning policy on instances of one size."""
    engine = TardinessEngine(len(instances), num_jobs=instances[0].num_jobs, skip_forced=True)
    for slot, instance in enumerate(instances):
        engine.load(slot, instance)
    entry = policies_of("tardiness").get(name)
    policy = entry.load(engine.schema) if entry else rule_policy("tardiness", name, engine.schema)
    if entry:
        policy.begin(instances, np.arange(len(instances)))  # type: ignore[attr-defined]
    while not engine.outcome.terminated.all():
        engine.step(policy.act(engine.observation))
    return np.array([engine.objective(slot) for slot in range(len(instances))])


def small(rng: np.random.Generator, num_jobs: int) -> TardinessInstance:
    """A little random instance of any class."""
    return PottsVanWassenhove(num_jobs, longest=9).sample(rng)


@pytest.mark.parametrize(
    ("name", "order", "value"),
    [("mdd", [1, 0, 2, 3, 5, 4], 144), ("mddc", [3, 0, 2, 5, 1, 4], 141), ("augmented_mddc", None, 141)],
)
def test_the_papers_example(name: str, order: list[int] | None, value: int) -> None:
    """The six-job example of arXiv 2510.24013: MDD 144, MDDC 141, which is optimal."""
    instance = load_instance("six")
    sequence = sequence_of(name, instance)
    assert order is None or sequence == order
    assert total_tardiness(instance.processing, instance.due, np.array(sequence), 6) == value
    assert DynamicProgrammingSolver().solve(instance).objective == 141


# Mean gaps to the optimum in % at n = 20: an independent run on 400 instances, EDD the paper's own (Table 2, which has
# MDD 1.86, MDDC 1.70, PSK 1.77 and augmented MDDC 0.79)
PUBLISHED = {"mdd": 1.76, "psk": 1.69, "mddc": 1.57, "augmented_mddc": 0.67, "edd": 46.61, "atc": 14.6}


def mean_gap(name: str, instances: list[TardinessInstance], optima: np.ndarray) -> tuple[float, float]:
    """Mean gap in % over instances whose optimum is not 0, and the half width of its 99 % interval."""
    found = values(name, instances)
    assert (found >= optima).all()
    gap = 100 * (found / np.maximum(optima, 1) - 1)[optima > 0]
    return float(gap.mean()), float(2.58 * gap.std(ddof=1) / np.sqrt(gap.size))


@pytest.mark.parametrize("name", PUBLISHED)
def test_gaps_on_the_stored_instances(name: str) -> None:
    """On the 200 instances of `pvw20` each heuristic's 99 % interval holds the reference's mean gap."""
    instances = find_instances("pvw20")
    optima = np.array([0 if (b := best_known(i)) is None else b.upper for i in instances])
    gap, half = mean_gap(name, instances, optima)
    assert abs(gap - PUBLISHED[name]) < half


@pytest.mark.slow
def test_gaps_on_two_thousand_instances() -> None:
    """2000 instances, 100 of each class: the 99 % intervals of MDD, MDDC and augmented MDDC hold the published gaps."""
    rng = np.random.default_rng(1)
    instances = [
        PottsVanWassenhove(20, due_date_range=r, tardiness_factor=t).sample(rng)
        for r, t in itertools.product(DUE_DATE_RANGES, TARDINESS_FACTORS)
        for _ in range(100)
    ]
    optima = np.array([DynamicProgrammingSolver().solve(instance).objective for instance in instances])
    gaps = {name: mean_gap(name, instances, optima) for name in ("mdd", "mddc", "augmented_mddc")}
    for name, (gap, half) in gaps.items():
        assert abs(gap - PUBLISHED[name]) < half, gaps


def test_dynamic_programming_is_exact() -> None:
    """On instances of up to seven jobs it finds what trying all orders finds; local search is never below it."""
    rng = np.random.default_rng(0)
    for _ in range(25):
        instance = small(rng, int(rng.integers(1, 8)))
        orders = itertools.permutations(range(instance.num_jobs))
        best = min(
            total_tardiness(instance.processing, instance.due, np.array(order), len(order))
            for order in orders
        )
        solution = DynamicProgrammingSolver().solve(instance)
        assert (solution.objective, solution.bound) == (best, best)
        assert lower_bound(instance) <= best <= LocalSearchSolver().solve(instance, 0.01).objective
    with pytest.raises(InvalidInstanceError, match="at most 25"):
        DynamicProgrammingSolver().solve(small(rng, 26))


def best_completion(instance: TardinessInstance, first: list[int]) -> int:
    """Smallest total tardiness of all sequences that begin with the given jobs, all orders tried."""
    rest = [job for job in range(instance.num_jobs) if job not in first]
    orders = (np.array([*first, *order]) for order in itertools.permutations(rest))
    return min(total_tardiness(instance.processing, instance.due, o, len(o)) for o in orders)


def test_optimal_policy_is_optimal_in_every_state() -> None:
    """After random first jobs it goes on as well as the best of all orders; and it takes its choices among equals by due date."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        instance = small(rng, 7)
        engine = TardinessEngine(1, num_jobs=7, skip_forced=False)
        engine.load(0, instance)
        policy = policies_of("tardiness")["optimal"].load(engine.schema)
        policy.begin([instance], np.array([0]))  # type: ignore[attr-defined]
        first = rng.permutation(7)[: int(rng.integers(0, 4))].tolist()
        for job in first:
            engine.step(np.array([job]))
        while not engine.outcome.terminated[0]:
            engine.step(policy.act(engine.observation))
        assert engine.objective(0) == best_completion(instance, first)
    easy = TardinessInstance(np.array([3, 3, 3]), np.array([90, 20, 50]), "nobody late")
    assert sequence_of("optimal", easy) == [1, 2, 0]


def test_toy_and_known_optimum() -> None:
    """The toy's optimum is 5 by hand; where all are late, SPT, MDD and MDDC are optimal."""
    toy = ToyMachine()
    assert DynamicProgrammingSolver().solve(toy.sample()).objective == toy.optimum() == 5
    generator = KnownOptimum(12)
    instance = generator.sample(np.random.default_rng(0))
    for name in ("spt", "mdd", "wilkerson_irwin", "psk"):
        assert values(name, [instance])[0] == generator.optimum(instance)
    assert DynamicProgrammingSolver().solve(instance).objective == generator.optimum(instance)


@pytest.mark.parametrize("corrected", [False, True])
def test_rules_are_the_constructive_heuristics(corrected: bool) -> None:
    """The rules over decision graphs run the jobs in the order of the sequence builders."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        instance = PottsVanWassenhove(15).sample(rng)
        expected = construct(instance.processing, instance.due, corrected, False).tolist()
        assert sequence_of("mddc" if corrected else "mdd", instance) == expected


def plain_psk(p: list[int], d: list[int]) -> list[int]:
    """Panwalkar, Smith & Koulamas step by step, with labels as in the paper."""
    waiting = sorted(range(len(p)), key=lambda j: (p[j], d[j], j))
    order, time = [], 0
    while waiting:
        active, place = waiting[0], 0
        while time + p[active] < d[active] and place + 1 < len(waiting):
            place += 1
            rival = waiting[place]
            if d[active] <= time + p[rival]:
                break
            if d[rival] < d[active]:
                active = rival
        waiting.remove(active)
        order.append(active)
        time += p[active]
    return order


def test_psk_by_an_independent_implementation() -> None:
    """The vectorised PSK makes the choices of the plain one."""
    rng = np.random.default_rng(4)
    for _ in range(60):
        instance = PottsVanWassenhove(12, longest=20).sample(rng)
        expected = plain_psk(instance.processing.tolist(), instance.due.tolist())
        assert sequence_of("psk", instance) == expected


def test_wilkerson_irwin_cannot_be_improved_by_neighbours() -> None:
    """No exchange of two adjacent jobs makes Wilkerson & Irwin's sequence better: that is what their rule is made for."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        instance = PottsVanWassenhove(12, longest=20).sample(rng)
        p, d = instance.processing, instance.due
        sequence = wilkerson_irwin(p, d)
        assert sorted(sequence.tolist()) == list(range(12))
        value = total_tardiness(p, d, sequence, 12)
        for place in range(11):
            swapped = sequence.copy()
            swapped[[place, place + 1]] = sequence[[place + 1, place]]
            assert total_tardiness(p, d, swapped, 12) >= value


def test_augmentation_by_an_independent_implementation() -> None:
    """After each append, every earlier job that is better at the end goes there: the kernel against lists."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        instance = PottsVanWassenhove(9, longest=20).sample(rng)
        p, d = instance.processing, instance.due
        order: list[int] = []
        while len(order) < 9:
            time = int(sum(p[j] for j in order))
            order.append(
                min((j for j in range(9) if j not in order), key=lambda j: (max(time + p[j], d[j]), j))
            )
            place = 0
            while place < len(order) - 1:
                moved = order[:place] + order[place + 1 :] + [order[place]]
                if total_tardiness(p, d, np.array(moved), len(moved)) < total_tardiness(
                    p, d, np.array(order), len(order)
                ):
                    order = moved
                else:
                    place += 1
        assert construct(p, d, False, True).tolist() == order


def test_atc_by_hand() -> None:
    """At time 0 with p = 4, 2 and d = 10, 3 the indices are e^(-6/6)/4 and e^(-1/6)/2: job 1 first."""
    assert sequence_of("atc", TardinessInstance(np.array([4, 2]), np.array([10, 3]))) == [1, 0]
    # p = 1, 9 and d = 30, 9: e^(-29/10) / 1 = 0.055 is less than 1 / 9 = 0.111
    assert sequence_of("atc", TardinessInstance(np.array([1, 9]), np.array([30, 9]))) == [1, 0]


def test_edd_breaks_ties_by_processing_time() -> None:
    """Jobs due at the same time come shortest first."""
    assert sequence_of("edd", TardinessInstance(np.array([5, 3, 4]), np.array([7, 7, 2]))) == [2, 1, 0]


def identity(env: SingleMachineTardinessEnv):
    """The return that belongs to an objective: in units of MDD's value."""
    return lambda objective, bound: -(objective - bound) / env.engine.scale(0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "settings",
    [{}, {"min_jobs": 1, "illegal_action": "noop"}, {"skip_forced": False, "illegal_action": "raise"}],
)
def test_promises(settings: dict[str, object]) -> None:
    """Masks, return identity, bound, validator, seeding, clones, copies, spec and illegal actions."""
    env = gymnasium.make(ID, num_jobs=6, **settings)
    check_scheduling_env(env, return_of=identity(env.unwrapped), episodes=10)  # type: ignore[arg-type]


def test_gymnasium_and_sb3_checkers() -> None:
    """Gymnasium's and Stable-Baselines3's own checkers accept the environment."""
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = SingleMachineTardinessEnv(num_jobs=5)
    check_env(env, skip_render_check=True)
    sb3.check_env(env, warn=False)


def test_reward_is_in_units_of_mdd() -> None:
    """On the paper's example MDD's value is 144 and LB0 is 0: the return of MDDC's sequence is -141 / 144."""
    env = SingleMachineTardinessEnv(instance="six")
    _, info = env.reset(seed=0)
    assert info["lower_bound"] == 0
    total = sum(float(env.step(job)[1]) for job in (3, 0, 2, 5, 1))
    assert total == pytest.approx(-141 / 144)
    assert env.objective == 141


def test_bound_increase_is_the_reward() -> None:
    """What `bound_increase` says of each candidate is what it costs: the feature against the simulator."""
    env = SingleMachineTardinessEnv(num_jobs=8, skip_forced=False)
    column = env.schema.action_feature("bound_increase")
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        terminated = False
        while not terminated:
            token = env.clone()
            for job in np.flatnonzero(observation["action_mask"]):
                env.restore(token)
                _, reward, _, _, _ = env.step(job)
                assert observation["candidate_x"][job, column] == pytest.approx(-float(reward), abs=1e-6)
            env.restore(token)
            job = int(RandomPolicy(seed).act({k: v[None] for k, v in observation.items()})[0])
            observation, _, terminated, _, _ = env.step(job)


def test_ranks() -> None:
    """Ranks by processing time, due date and modified due date are those of a sort of the unscheduled jobs."""
    env = SingleMachineTardinessEnv(num_jobs=9, skip_forced=False)
    features = ("shortest_first", "earliest_first", "mdd_first", "processing_time", "due_date", "now")
    c = {name: env.schema.action_feature(name) for name in features}
    rng = np.random.default_rng(0)
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        terminated = False
        while not terminated:
            waiting = np.flatnonzero(observation["action_mask"])
            x = observation["candidate_x"][waiting]
            p, d, now = (x[:, c[name]] for name in ("processing_time", "due_date", "now"))
            keys = {"shortest_first": p, "earliest_first": d, "mdd_first": np.maximum(now + p, d)}
            for name, key in keys.items():
                by_rank = np.argsort(x[:, c[name]])
                assert np.allclose(np.sort(x[:, c[name]]), np.arange(len(waiting)) / len(waiting))
                assert (np.diff(key[by_rank]) >= 0).all()
            observation, _, terminated, _, _ = env.step(int(rng.choice(waiting)))


def test_vector_equals_scalar() -> None:
    """Slot i of the native batch sees, gets and schedules what the scalar environment seeded seed + i does."""
    check_scheduling_vector_env(ID, num_jobs=6)


def test_generator_classes() -> None:
    """Due dates of a class lie in its range around P (1 - TF), and the classes are drawn alike."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        instance = PottsVanWassenhove(30, due_date_range=0.4, tardiness_factor=0.6).sample(rng)
        total = instance.processing.sum()
        assert instance.due.min() >= round(0.2 * total) - 1
        assert instance.due.max() <= round(0.6 * total) + 1
    names = {PottsVanWassenhove(5).sample(rng).name for _ in range(600)}
    assert len(names) == 20
    assert len(INSTANCE_SETS["pvw20"]) == 200
    assert {i.num_jobs for i in find_instances("pvw50-rdd0.2-*")} == {50}


CORRUPTIONS = {
    "missing": ([0, 1], [0, 3], [3, 11], "job 2 is missing"),
    "twice": ([0, 1, 1], [0, 3, 11], [3, 11, 19], "job 1 is scheduled twice"),
    "overlap": ([0, 1, 2], [0, 2, 11], [3, 10, 13], "job 1 starts at 2, while the machine is busy until 3"),
    "early": ([0, 1, 2], [-1, 3, 11], [2, 11, 13], "job 0 starts at -1, before time 0"),
    "duration": ([0, 1, 2], [0, 3, 11], [3, 11, 14], "job 2 takes 3; expected 2"),
    "unknown": ([0, 1, 7], [0, 3, 11], [3, 11, 13], "names job 7"),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_validator(kind: str) -> None:
    """The judge accepts the toy's sequence of due dates, 3 + 2 late, and refuses each corruption with its reason."""
    toy = ToyMachine().sample()
    assert validate(toy, schedule_of(toy, np.array([0, 1, 2]))) == 5
    job, start, end, message = CORRUPTIONS[kind]
    zeros = np.zeros(len(job), np.int64)
    schedule = type(schedule_of(toy, np.array([0])))(
        np.array(job), zeros, zeros, np.array(start), np.array(end)
    )
    with pytest.raises(InvalidScheduleError, match=message):
        validate(toy, schedule)


def test_files_and_errors(tmp_path: Path) -> None:
    """CSV files keep an instance; malformed files, instances, names and parameters are refused with what was expected."""
    instance = load_instance("pvw20-rdd1-tf0.8-3")
    instance.save(tmp_path / "a.csv")
    assert TardinessInstance.load(tmp_path / "a.csv") == instance
    for text, message in (
        ("p,d\n1,2\n", "line 1"),
        ("processing,due\n1\n", "line 2"),
        ("processing,due\n", "shape"),
    ):
        (tmp_path / "b.csv").write_text(text)
        with pytest.raises(InstanceFormatError, match=rf"b\.csv.*{message}"):
            TardinessInstance.load(tmp_path / "b.csv")
    for processing, due, message in (([0], [1], "processing: 0"), ([1, 2], [1], r"due: shape \(1,\)")):
        with pytest.raises(InvalidInstanceError, match=message):
            TardinessInstance(np.array(processing), np.array(due))
    with pytest.raises(InvalidInstanceError, match="at most 5"):
        SingleMachineTardinessEnv(num_jobs=5).reset(options={"instance": "six"})
    with pytest.raises(UnknownNameError, match="six"):
        SingleMachineTardinessEnv(instance="sixx")
    with pytest.raises(TypeError, match="did you mean num_jobs"):
        SingleMachineTardinessEnv(num_job=5)
    with pytest.raises(ValueError, match=r"due_date_range: 3; expected 0.0..2.0"):
        SingleMachineTardinessEnv(due_date_range=3)
    with pytest.raises(ValueError, match="given together"):
        SingleMachineTardinessEnv("toy", instance="six")


def test_registry() -> None:
    """The rules of the literature are there, EDDC is not, and the solvers load."""
    assert set(rules_of("tardiness")) == {"edd", "spt", "slack", "mdd", "atc", "mddc", "psk"}
    assert set(policies_of("tardiness")) == {"wilkerson_irwin", "augmented_mdd", "augmented_mddc", "optimal"}
    for entry in solvers_of("tardiness").values():
        assert hasattr(entry.load(), "solve")
