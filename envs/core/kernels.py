"""Numba's cache, kept honest.

Numba recompiles a cached kernel when its own file changes, but not when a kernel it calls in another file does. A
family's kernels call each other across files, so an edit or a checkout could leave an old simulator at work.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def drop_stale_kernels(folder: Path) -> None:
    """Delete a folder's cached kernels if any of its sources is newer than the oldest of them."""
    cached = [*folder.glob("__pycache__/*.nbi"), *folder.glob("__pycache__/*.nbc")]
    if not cached:
        return
    # workers may start side by side: what one has deleted already is no error for the other
    with contextlib.suppress(FileNotFoundError):
        newest_source = max(path.stat().st_mtime for path in folder.glob("*.py"))
        if newest_source > min(path.stat().st_mtime for path in cached):
            for path in cached:
                path.unlink(missing_ok=True)
