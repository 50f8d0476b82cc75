"""How far a long job is: a bar on a terminal, log lines elsewhere, nothing for what takes no second."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

_LOGGER = logging.getLogger(__name__)

QUIET_S: Final = 1.0
LINE_EVERY_S: Final = 10.0


class Progress:
    """Counts the units of one piece of work; use it as a context manager.

    Example:
        >>> with Progress("imitation", total=2, unit="epochs") as progress:
        ...     progress.advance(loss=0.5)
        ...     progress.advance(loss=0.25)
        >>> progress.done
        2

    Attributes:
        done: Units done so far.
    """

    def __init__(
        self, title: str, total: int | None, unit: str, bar: bool | None = None, *, done: int = 0
    ) -> None:
        """Start counting.

        Args:
            title: What is being done.
            total: Number of units, None if unknown.
            unit: What is counted, in the plural.
            bar: Draw a bar; None draws one if standard error is a terminal, and writes log lines otherwise.
            done: Units that a run, now resumed, did before.
        """
        self.title = title
        self.total = total
        self.unit = unit
        self.done = done
        self._first = done
        self._numbers: dict[str, float] = {}
        self._bar: tqdm | None = None
        if sys.stderr.isatty() if bar is None else bar:
            self._bar = tqdm(
                total=total, initial=done, desc=title, unit=f" {unit}", delay=QUIET_S, dynamic_ncols=True
            )
        self._began = time.perf_counter()
        self._next_line = self._began + QUIET_S

    def advance(self, units: int = 1, **numbers: float) -> None:
        """Count finished units; `numbers` (a loss, say) are shown beside them until replaced."""
        self.done += units
        self._numbers.update(numbers)
        if self._bar is not None:
            if numbers:
                self._bar.set_postfix({k: f"{v:.4g}" for k, v in self._numbers.items()}, refresh=False)
            self._bar.update(units)
        elif time.perf_counter() >= self._next_line and self.done != self.total:
            self._next_line = time.perf_counter() + LINE_EVERY_S
            self._log("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elapsed = time.perf_counter() - self._began
        if kind is None and elapsed >= QUIET_S:
            self._log(f" in {elapsed:.1f} s")

    def _log(self, when: str) -> None:
        of_total = f" of {self.total}" if self.total is not None and not when else ""
        rate = (self.done - self._first) / max(time.perf_counter() - self._began, 1e-9)
        numbers = "".join(f", {key} {value:.4g}" for key, value in self._numbers.items())
        text = f"{self.done}{of_total} {self.unit}{when} ({rate:.3g}/s){numbers}"
        _LOGGER.info("%s: %s", self.title, text)
