"""Schedules of the learning rate, and of whatever else fades: functions of the share z of the budget spent.

Every factor is 1 at z = 0 and, but for `constant` and `step`, 0 at z = 1; the value at work is the factor times
the base value. None of them needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError

ScheduleName = Literal["constant", "linear", "cosine", "step", "rex", "uba", "refined"]
Norm = Literal["l1", "l2"]

SCHEDULE_NAMES: Final[tuple[ScheduleName, ...]] = get_args(ScheduleName)


def constant(z: float) -> float:
    """1 throughout."""
    return 1.0


def linear(z: float) -> float:
    """1 - z: worst-case optimal for the last iterate (Defazio et al. 2023), and PPO's usual annealing."""
    return 1.0 - z


def cosine(z: float) -> float:
    """Half a cosine wave from 1 to 0 (Loshchilov & Hutter, ICLR 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * z))


def step(z: float, milestones: Sequence[float] = (0.5, 0.75), decay: float = 0.1) -> float:
    """Multiplied by `decay` at each milestone (shares of the budget)."""
    return float(decay ** sum(z >= milestone for milestone in milestones))


def rex(z: float, beta: float = 0.5) -> float:
    """(1 - z) / (1 - z (1 - beta)), Chen et al., "REX: Revisiting Budgeted Training" (MLSys 2022).

    The paper's beta is 1/2; beta = 1 is `linear`; smaller values keep the rate up for longer.
    """
    rest = 1.0 - z
    return rest / (beta * z + rest)


def uba(z: float, phi: float = 1.0) -> float:
    """2 (1 + cos pi z) / (2 phi + (2 - phi)(1 + cos pi z)), the unified budget-aware schedule.

    From "Stepsize anything: A unified learning rate schedule for budgeted-iteration training".
    phi = 2 is `cosine`; phi near 0 stays constant for longer, larger phi decays earlier.
    """
    wave = 1.0 + math.cos(math.pi * z)
    return 2.0 * wave / (2.0 * phi + (2.0 - phi) * wave)


def refine(
    gradient_norms: Sequence[float] | NDArray[np.float64], *, norm: Norm = "l1", tau: float = 0.1
) -> NDArray[np.float64]:
    """The schedule that a recorded run would have wanted.

    Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement" (2023): weights
    fall with the smoothed gradient norms, and each step's rate is its weight times the sum of all later ones.
    Equal norms give exactly `linear`; falling norms give a warm-up.

    Args:
        gradient_norms: (T,) norm of the gradient before clipping, one an update.
        norm: "l1" for norms of Adam's gradients (weights 1 / G), "l2" for those of SGD (weights 1 / G^2).
        tau: Width of the median filter, as a share of T.

    Returns:
        (T,) factors, 1 at most, 0 at the end; read them with `refined`.

    Raises:
        ValueError: Fewer than two norms, or one that is not positive and finite.
    """
    norms = np.asarray(gradient_norms, np.float64)
    if norms.ndim != 1 or norms.size < 2 or not (np.isfinite(norms) & (norms > 0.0)).all():
        raise ValueError("gradient_norms: expected at least two positive, finite numbers")
    half = int(tau * norms.size / 2)
    padded = np.pad(norms, half, mode="reflect")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    weights = 1.0 / smooth if norm == "l1" else 1.0 / smooth**2
    later = np.append(np.cumsum(weights[:0:-1])[::-1], 0.0)
    factors: NDArray[np.float64] = weights * later
    factors /= factors.max()
    return factors


def refined(z: float, factors: Sequence[float] | NDArray[np.float64] | None = None) -> float:
    """A recorded schedule (see `refine`) stretched over this budget; `linear` until there is a record."""
    if factors is None:
        return linear(z)
    return float(np.interp(z, np.linspace(0.0, 1.0, len(factors)), factors))


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of the schedules that have any.

    Attributes:
        beta: Of `rex`.
        phi: Of `uba`.
        milestones: Of `step`, shares of the budget.
        decay: Of `step`.
        factors: Of `refined`, from `refine`.
    """

    beta: float = 0.5
    phi: float = 1.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    factors: tuple[float, ...] | None = None


def learning_rate_factor(name: str, z: float, shape: Shape = Shape()) -> float:
    """The factor of a schedule by name.

    Args:
        name: One of `SCHEDULE_NAMES`.
        z: Share of the budget spent; what lies outside 0..1 counts as the nearest end.
        shape: Parameters; the published ones by default.

    Raises:
        UnknownNameError: No such schedule.
    """
    z = min(max(z, 0.0), 1.0)
    match name:
        case "constant":
            return constant(z)
        case "linear":
            return linear(z)
        case "cosine":
            return cosine(z)
        case "step":
            return step(z, shape.milestones, shape.decay)
        case "rex":
            return rex(z, shape.beta)
        case "uba":
            return uba(z, shape.phi)
        case "refined":
            return refined(z, shape.factors)
    raise UnknownNameError("schedule", name, SCHEDULE_NAMES)


@dataclass(frozen=True, slots=True)
class Annealing:
    """A value that goes from `start` to `end`: a learning rate, an entropy bonus, a clip range.

    Attributes:
        start: Value at factor 1.
        end: Value at factor 0, the floor of a learning rate.
        name: Of the schedule.
        warm_up: Share of the budget over which the value first rises from 0 to `start`; the schedule has
            the rest.
        shape: Parameters of the schedule.
    """

    start: float
    end: float = 0.0
    name: str = "linear"
    warm_up: float = 0.0
    shape: Shape = Shape()

    def __call__(self, z: float) -> float:
        """The value once the share z of the budget is spent."""
        if z < self.warm_up:
            return self.start * max(z, 0.0) / self.warm_up
        rest = (z - self.warm_up) / (1.0 - self.warm_up) if self.warm_up < 1.0 else 0.0
        return self.end + (self.start - self.end) * learning_rate_factor(self.name, rest, self.shape)
