"""What can go wrong, as types a caller can catch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MakespanError(Exception):
    """Base of every error the suite raises on purpose."""


class UnknownNameError(MakespanError, KeyError):
    """A rule, solver, instance, preset or environment that is not known; the message names the nearest ones."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(set(known))
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        some = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
        self.message = f"unknown {what} {name!r}{hint} Known: {some or 'none'}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message  # KeyError would show the repr


class InstanceFormatError(MakespanError, ValueError):
    """A malformed instance file; the message names file, line and what was expected."""


class InvalidInstanceError(MakespanError, ValueError):
    """An instance whose arrays contradict each other; the message names the field, the value and what was expected."""


class InvalidScheduleError(MakespanError, ValueError):
    """A schedule that the validator refuses.

    Attributes:
        violations: One sentence for each violation found, in the order of the checks.
    """

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations
        shown = "; ".join(violations[:5]) + (
            f"; and {len(violations) - 5} more" if len(violations) > 5 else ""
        )
        super().__init__(f"invalid schedule: {shown}")


class IllegalActionError(MakespanError, ValueError):
    """An action the mask forbids, where `illegal_action="raise"`."""


class MakespanWarning(UserWarning):
    """Something the user should know but that does not stop the work."""
