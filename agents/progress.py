"""How far a long job is: a bar on a terminal, log lines elsewhere, nothing for what takes no second."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

_LOGGER = logging.getLogger(__name__)

QUIET_S: Final = 1.0  # shorter work is not worth a word


class Progress:
    """Counts units of work and shows them with a few numbers.

    Example:
        >>> with Progress("imitation", total=2, unit="epoch") as progress:
        ...     progress.update(loss=0.5)
        ...     progress.update(loss=0.25)
        >>> progress.done
        2

    Attributes:
        done: Units done so far.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        *,
        unit: str = "step",
        done: int = 0,
        every_s: float = 10.0,
        terminal: bool | None = None,
    ) -> None:
        """Start counting.

        Args:
            title: What is being done.
            total: Units in all, if known.
            unit: What is counted.
            done: Units done before, by a run that is resumed.
            every_s: Seconds between two log lines off a terminal.
            terminal: Whether to draw a bar; by default where standard error is a terminal.
        """
        self.title = title
        self.total = total
        self.unit = unit
        self.done = done
        self.every_s = every_s
        self._start = self._last = time.monotonic()
        self._first = done
        self._numbers: dict[str, float] = {}
        self._bar: tqdm | None = None
        if sys.stderr.isatty() if terminal is None else terminal:
            self._bar = tqdm(
                total=total, initial=done, desc=title, unit=f" {unit}", dynamic_ncols=True, delay=QUIET_S
            )

    def update(self, amount: int = 1, **numbers: float) -> None:
        """Count `amount` more units; `numbers` replace those shown before."""
        self.done += amount
        self._numbers.update(numbers)
        if self._bar is not None:
            self._bar.set_postfix(
                {key: f"{value:.4g}" for key, value in self._numbers.items()}, refresh=False
            )
            self._bar.update(amount)
        elif time.monotonic() - self._last >= self.every_s:
            self._log()

    def close(self) -> None:
        """End the bar, or log the last line."""
        if self._bar is not None:
            self._bar.close()
        elif time.monotonic() - self._start >= QUIET_S:
            self._log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _log(self) -> None:
        self._last = time.monotonic()
        elapsed = self._last - self._start
        rate = (self.done - self._first) / elapsed if elapsed > 0 else 0.0
        of_total = f" of {self.total}" if self.total is not None else ""
        numbers = "".join(f", {key} {value:.4g}" for key, value in self._numbers.items())
        speed = f"{rate:.3g} {self.unit}/s"
        _LOGGER.info("%s: %d%s %ss, %s%s", self.title, self.done, of_total, self.unit, speed, numbers)
