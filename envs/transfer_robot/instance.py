"""Transfer cells: stations in process order, one or two robots, and the lot of glasses that goes through."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from makespan.envs.core.errors import InvalidInstanceError
from makespan.envs.transfer_robot.bounds import Bounds, bounds_of

Int32Array = NDArray[np.int32]

NO_LIMIT: Final = -1
"""In `TransferCell.limit`: the glass may stay as long as it likes."""
MOST_ROBOTS: Final = 2
MOST_HANDS: Final = 2
_LIMIT: Final = 2**24  # rules read times as float32, exact up to here


def _nothing() -> Int32Array:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class TransferCell:
    """A cell of process chambers between two load ports, and a lot of N glasses to take through it.

    Stations are numbered along the flow: 0 is the load port in, then the chambers, stage after stage, and the last is the load
    port out. Every glass visits one chamber of each stage, in order. A chamber holds one glass, from the moment at which a robot
    begins to load it until the moment at which one has unloaded it; the process starts when the glass is in. Glasses are taken
    from the load port in order of their numbers; the ports have room for everybody. A hand holds one glass, from the beginning of
    unloading to the end of loading.

    A glass that is still in its chamber, its unloading not begun, more than `limit` after the end of its process violates its
    residency limit. Violations are counted, one at most a glass and stage, and each costs `penalty`.

    Attributes:
        process: (num_recipes, num_stages) int32, process time by the recipe; 0 makes the stage a buffer.
        recipe: (num_glasses,) int32, each glass's recipe.
        chambers: (num_stages,) int32, parallel chambers of each stage.
        travel: (num_stations, num_stations) int32, a robot's way from station to station; 0 on the diagonal, and no detour
            is a short cut.
        load_time: (num_stations,) int32, time to put a glass into each station, at least 1.
        unload_time: (num_stations,) int32, time to take one out, at least 1.
        hands: (num_robots,) int32, 1 or 2 each; one or two robots, which do not get into each other's way.
        home: (num_robots,) int32, the station at which each robot starts.
        limit: (num_recipes, num_stages) int32, residency limit after the process, `NO_LIMIT` for none.
        release: (num_glasses,) int32, when each glass arrives at the load port; never falls.
        delay: (num_glasses, num_stages) int32, by how much each process takes longer than its recipe says. Known to nobody
            before it has happened.
        penalty: What a violation costs, time units.
        name: Name of the instance.
        bounds: Lower bounds and what they are made of, derived.
    """

    process: Int32Array
    recipe: Int32Array
    chambers: Int32Array
    travel: Int32Array
    load_time: Int32Array
    unload_time: Int32Array
    hands: Int32Array
    home: Int32Array = field(default_factory=_nothing)
    limit: Int32Array = field(default_factory=_nothing)
    release: Int32Array = field(default_factory=_nothing)
    delay: Int32Array = field(default_factory=_nothing)
    penalty: int = 0
    name: str = ""
    bounds: Bounds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for key in ("process", "recipe", "chambers", "travel", "load_time", "unload_time", "hands"):
            self._set(key, getattr(self, key))
        self._check_shapes()
        absent = {
            "home": np.zeros(self.num_robots),
            "limit": np.full(self.process.shape, NO_LIMIT),
            "release": np.zeros(self.num_glasses),
            "delay": np.zeros((self.num_glasses, self.num_stages)),
        }
        for key, default in absent.items():
            given = np.asarray(getattr(self, key))
            self._set(key, given if given.size else default)
            self._expect(getattr(self, key).shape == default.shape, key, f"shape {default.shape}")
        self._check_values()
        object.__setattr__(self, "bounds", bounds_of(self))

    def _set(self, key: str, values: object) -> None:
        given = np.asarray(values)
        if (
            given.dtype.kind not in "iuf"
            or not np.array_equal(given, np.trunc(given))
            or abs(given).max(initial=0) > _LIMIT
        ):
            raise InvalidInstanceError(
                f"{key}: {given.tolist()!r:.80}; expected whole numbers up to {_LIMIT}"
            )
        array = np.array(given, np.int32)
        array.setflags(write=False)
        object.__setattr__(self, key, array)

    def _expect(self, holds: bool, key: str, expected: str) -> None:
        if not holds:
            found = getattr(self, key)
            shown = found if isinstance(found, int) else f"shape {found.shape}, {found.tolist()!r:.80}"
            raise InvalidInstanceError(f"{key}: {shown}; expected {expected}")

    def _check_shapes(self) -> None:
        self._expect(
            self.process.ndim == 2 and self.process.size > 0,
            "process",
            "(num_recipes, num_stages), at least 1 x 1",
        )
        self._expect(self.recipe.ndim == 1 and self.recipe.size > 0, "recipe", "(num_glasses,), at least one")
        stages = (self.process.shape[1],)
        self._expect(
            self.chambers.shape == stages and self.chambers.min() >= 1,
            "chambers",
            f"shape {stages}, at least 1 a stage",
        )
        stations = self.num_stations
        self._expect(self.travel.shape == (stations, stations), "travel", f"shape {(stations, stations)}")
        for key in ("load_time", "unload_time"):
            self._expect(getattr(self, key).shape == (stations,), key, f"shape {(stations,)}")
        few = self.hands.ndim == 1 and 1 <= self.hands.size <= MOST_ROBOTS
        self._expect(
            few and self.hands.min() >= 1 and self.hands.max() <= MOST_HANDS,
            "hands",
            "1 or 2 robots with 1 or 2 hands each",
        )

    def _check_values(self) -> None:
        for key in ("process", "travel", "release", "delay"):
            self._expect(getattr(self, key).min() >= 0, key, "times >= 0")
        for key in ("load_time", "unload_time"):  # so that the order of a robot's works is never in doubt
            self._expect(getattr(self, key).min() >= 1, key, "times >= 1")
        for key, count in (("recipe", len(self.process)), ("home", self.num_stations)):
            array = getattr(self, key)
            self._expect(array.min() >= 0 and array.max() < count, key, f"0..{count - 1}")
        self._expect(self.limit.min() >= NO_LIMIT, "limit", f"times >= 0, or {NO_LIMIT} for none")
        self._expect(
            bool((np.diff(self.release) >= 0).all()),
            "release",
            "times that never fall, since glasses leave in order",
        )
        self._expect(not self.travel.diagonal().any(), "travel", "0 from a station to itself")
        detour = self.travel[:, :, None] + self.travel[None, :, :]  # from i over j to k
        short = np.argwhere(detour < self.travel[:, None, :])
        if short.size:
            i, j, k = short[0].tolist()
            raise InvalidInstanceError(
                f"travel: {self.travel[i, k]} from {i} to {k}, over {j} only {detour[i, j, k]}; expected no short cuts"
            )
        self._expect(
            type(self.penalty) is int and 0 <= self.penalty < _LIMIT, "penalty", "a whole number >= 0"
        )
        handling = 2 * int(self.travel.max()) + int(self.load_time.max() + self.unload_time.max())
        longest = int(self.release.max()) + int(self.durations.sum(dtype=np.int64))
        longest += handling * self.num_glasses * (self.num_stages + 1)
        if longest >= _LIMIT:
            raise InvalidInstanceError(f"process: an episode may last {longest}; expected less than {_LIMIT}")
        if longest * self.num_glasses >= 2**31:  # completion times are summed
            raise InvalidInstanceError(
                f"recipe: {self.num_glasses} glasses in up to {longest}; expected a product below {2**31}"
            )

    @property
    def num_glasses(self) -> int:
        """N, glasses of the lot."""
        return int(self.recipe.size)

    @property
    def num_stages(self) -> int:
        """S, process stages."""
        return int(self.process.shape[1])

    @property
    def num_recipes(self) -> int:
        """Recipes."""
        return int(self.process.shape[0])

    @property
    def num_chambers(self) -> int:
        """C, chambers of all stages."""
        return int(self.chambers.sum())

    @property
    def num_stations(self) -> int:
        """C + 2: the load port in, the chambers, the load port out."""
        return self.num_chambers + 2

    @property
    def num_robots(self) -> int:
        """R, robots."""
        return int(self.hands.size)

    @property
    def max_hands(self) -> int:
        """Hands of the robot that has most."""
        return int(self.hands.max())

    @property
    def durations(self) -> Int32Array:
        """(num_glasses, num_stages) int32, what each process takes in fact."""
        return self.process[self.recipe] + self.delay

    @property
    def levels(self) -> Int32Array:
        """(num_stations,) int32, 0 for the load port in, 1..S for the chambers of each stage, S + 1 for the port out."""
        inner = np.repeat(np.arange(1, self.num_stages + 1), self.chambers)
        return np.concatenate([[0], inner, [self.num_stages + 1]]).astype(np.int32)

    def __eq__(self, other: object) -> bool:
        """Equal problems, whatever their names."""
        if not isinstance(other, TransferCell):
            return NotImplemented
        keys = (
            "process",
            "recipe",
            "chambers",
            "travel",
            "load_time",
            "unload_time",
            "hands",
            "home",
            "limit",
            "release",
            "delay",
        )
        return self.penalty == other.penalty and all(
            np.array_equal(getattr(self, k), getattr(other, k)) for k in keys
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, *, penalty: int = 0, name: str = "", **arrays: ArrayLike) -> TransferCell:
        """A cell from anything that NumPy makes arrays of; `arrays` are the other fields."""
        return cls(**{key: np.asarray(value) for key, value in arrays.items()}, penalty=penalty, name=name)

    @classmethod
    def load(cls, path: str | Path) -> TransferCell:
        """Read a cell from the suite's JSON.

        Raises:
            InstanceFormatError: The file is malformed; the message names file and place.
        """
        from makespan.envs.transfer_robot import formats  # it builds instances itself

        return formats.load(path)

    def save(self, path: str | Path) -> None:
        """Write the suite's JSON, which keeps everything."""
        from makespan.envs.transfer_robot import formats

        formats.save(self, path)
