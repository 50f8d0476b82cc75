"""When passengers arrive: Poisson, with a peak towards the centre in the morning and out of it in the evening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.fleet.instance import FARE_BIN, FleetParameters

MORNING: Final = 510.0  # minutes after midnight: 08:30
EVENING: Final = 990.0  # 16:30
WIDTH: Final = 60.0  # standard deviation of a peak in minutes

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Rates:
    """Arrival rates of the ordered pairs.

    Attributes:
        kind: (V, V) int, row of `per_minute` for each pair; -1 on the diagonal.
        per_minute: (3, minutes) expected arrivals in each minute: plain pairs, into the hubs, out of the hubs.
    """

    kind: NDArray[np.int64]
    per_minute: NDArray[np.float64]

    def by_bin(self) -> NDArray[np.float64]:
        """(V, V, H) expected arrivals in each half hour."""
        width = FARE_BIN // 60
        binned = self.per_minute.reshape(3, -1, width).sum(axis=2)
        return np.where(self.kind[:, :, None] < 0, 0.0, binned[self.kind])


def expected_passengers(
    parameters: FleetParameters,
    hubs: NDArray[np.int64],
    num_vertiports: int,
    base: float,
    peak: float,
    scale: float,
) -> Rates:
    """Rates an hour: scale * (base + peak * bump), the bump of `MORNING` into the hubs, that of `EVENING` out of them."""
    minute = np.arange(parameters.horizon // 60) + parameters.day_start / 60.0 + 0.5
    bumps = [np.exp(-0.5 * ((minute - at) / WIDTH) ** 2) for at in (MORNING, EVENING)]
    per_hour = scale * np.stack([np.full(minute.size, base), base + peak * bumps[0], base + peak * bumps[1]])
    hub = np.isin(np.arange(num_vertiports), hubs)
    kind = np.where(~hub[:, None] & hub[None], 1, np.where(hub[:, None] & ~hub[None], 2, 0))
    np.fill_diagonal(kind, -1)
    return Rates(kind, per_hour / 60.0)


def draw_arrivals(rates: Rates, rng: np.random.Generator) -> tuple[I32, I32]:
    """Times (N,) in s, ascending, and pairs (N,) of a day's passengers.

    A pair's number of passengers is Poisson of its total; given that, arrivals are independent with the rate as density.
    """
    V = rates.kind.shape[0]
    times, pairs = [], []
    edges = 60.0 * np.arange(rates.per_minute.shape[1] + 1)
    for kind, rate in enumerate(rates.per_minute):
        of_kind = np.flatnonzero(rates.kind.ravel() == kind)
        total = float(rate.sum())
        counts = rng.poisson(total, of_kind.size)
        cumulative = np.concatenate([[0.0], np.cumsum(rate)])
        drawn = np.interp(rng.random(int(counts.sum())) * total, cumulative, edges)
        times.append(np.minimum(drawn.astype(np.int64), int(edges[-1]) - 1))
        pairs.append(np.repeat(of_kind, counts))
    time, pair = np.concatenate(times), np.concatenate(pairs)
    order = np.lexsort((pair, time))
    assert int(pair.max(initial=0)) < V * V
    return time[order].astype(np.int32), pair[order].astype(np.int32)
