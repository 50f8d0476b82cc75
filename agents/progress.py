"""Progress of long work: a bar on a terminal, log lines elsewhere, nothing for what takes no second."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

logger = logging.getLogger(__name__)

QUIET_S: Final = 1.0
LINE_EVERY_S: Final = 10.0


class Progress:
    """Counts the units of one piece of work; use it as a context manager.

    Args:
        title: What is being done.
        total: Number of units.
        unit: What is counted.
        bar: Draw a bar; None draws one if standard error is a terminal, and writes log lines otherwise.
    """

    def __init__(self, title: str, total: int, unit: str, bar: bool | None = None) -> None:
        self.title = title
        self.total = total
        self.unit = unit
        self.done = 0
        shown = sys.stderr.isatty() if bar is None else bar
        self._bar = (
            tqdm(total=total, desc=title, unit=f" {unit}", delay=QUIET_S, leave=False) if shown else None
        )
        self._began = time.perf_counter()
        self._next_line = self._began + QUIET_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elapsed = time.perf_counter() - self._began
        if kind is None and elapsed >= QUIET_S:
            logger.info("%s: %d %s in %.1f s", self.title, self.done, self.unit, elapsed)

    def advance(self, units: int) -> None:
        """Count finished units."""
        self.done += units
        if self._bar is not None:
            self._bar.update(units)
            return
        now = time.perf_counter()
        if now >= self._next_line and self.done < self.total:
            logger.info("%s: %d of %d %s", self.title, self.done, self.total, self.unit)
            self._next_line = now + LINE_EVERY_S
