"""Learning-rate schedules against published values and limits."""

import subprocess
import sys

import numpy as np
import pytest

from makespan.agents import schedules
from makespan.agents.schedules import SCHEDULE_NAMES, Annealing, Shape, learning_rate_factor, refine, refined
from makespan.envs.core.errors import UnknownNameError

GRID = np.linspace(0.0, 1.0, 101)


def test_uba_with_phi_2_is_cosine():
    """Guards the formula: the paper's phi = 2 is exactly half a cosine wave."""
    for z in GRID:
        assert schedules.uba(z, phi=2.0) == pytest.approx(schedules.cosine(z), abs=1e-12)


@pytest.mark.parametrize(
    ("phi", "factor"), [(0.25, 0.889), (0.5, 0.8), (1.0, 0.667), (2.0, 0.5), (5.0, 0.286), (10.0, 0.167)]
)
def test_uba_golden_values(phi, factor):
    """Guards against the two public variants of UBA that use (1 - z) ** phi."""
    assert schedules.uba(0.5, phi) == pytest.approx(factor, abs=6e-4)


@pytest.mark.parametrize(("z", "factor"), [(0.25, 0.857), (0.5, 0.667), (0.75, 0.4), (0.9, 0.182)])
def test_rex_golden_values(z, factor):
    """Guards the paper's parametrisation of REX, beta = 1/2."""
    assert schedules.rex(z) == pytest.approx(factor, abs=6e-4)


def test_rex_with_beta_1_is_linear():
    """Guards the meaning of beta."""
    assert schedules.rex(0.3, beta=1.0) == pytest.approx(0.7)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_every_schedule_starts_at_1_and_never_rises(name):
    """Guards ends and monotony; all but `constant` and `step` end at 0."""
    factors = [learning_rate_factor(name, z) for z in GRID]
    assert factors[0] == 1.0
    assert (np.diff(factors) <= 1e-15).all()
    if name not in ("constant", "step"):
        assert factors[-1] == pytest.approx(0.0, abs=1e-15)


def test_step_falls_at_its_milestones():
    """Guards the boundaries of the staircase."""
    shape = Shape(milestones=(0.5,), decay=0.2)
    assert [learning_rate_factor("step", z, shape) for z in (0.49, 0.5, 1.0)] == pytest.approx(
        [1.0, 0.2, 0.2]
    )


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("count", [2, 7, 100])
def test_constant_norms_refine_to_linear(norm, count):
    """Guards the refinement's known special case, whatever the length of the record."""
    factors = refine(np.full(count, 3.7), norm=norm)
    for z in GRID:
        assert refined(z, factors) == pytest.approx(1.0 - z, abs=1e-12)


def test_falling_norms_refine_to_a_warm_up():
    """Guards the direction of the weights: large early gradients ask for small early steps."""
    factors = refine(np.linspace(10.0, 1.0, 200))
    assert factors[0] < 0.7
    assert 20 < factors.argmax() < 180
    assert factors[-1] == 0.0


def test_refinement_ignores_single_outliers():
    """Guards the median filter: one exploding gradient leaves the schedule alone."""
    norms = np.ones(100)
    norms[50] = 1e6
    np.testing.assert_allclose(refine(norms), refine(np.ones(100)))


@pytest.mark.parametrize("norms", [[1.0], [1.0, 0.0], [1.0, np.nan]])
def test_refinement_refuses_useless_records(norms):
    """Guards against divisions by zero that would turn a whole run's rates into NaN."""
    with pytest.raises(ValueError, match="gradient_norms"):
        refine(norms)


def test_annealing_warms_up_and_stops_at_its_floor():
    """Guards warm-up, floor and the mapping of z onto the rest of the budget."""
    rate = Annealing(1e-3, 1e-4, "cosine", warm_up=0.1)
    assert rate(0.0) == 0.0
    assert rate(0.05) == pytest.approx(0.5e-3)
    assert rate(0.1) == pytest.approx(1e-3)
    assert rate(0.55) == pytest.approx(0.55e-3)
    assert rate(1.0) == rate(2.0) == pytest.approx(1e-4)


def test_unknown_schedules_are_named():
    """Guards the message of a misspelt name."""
    with pytest.raises(UnknownNameError, match="linear"):
        learning_rate_factor("lineal", 0.5)


def test_schedules_do_not_load_torch():
    """Guards the module's use where torch is not wanted (help texts, sweeps)."""
    code = "import sys, makespan.agents.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
