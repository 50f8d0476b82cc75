"""Writing files so that a crash, a full disk or a killed process never leaves half a file behind."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file, or leave the old one untouched.

    The content goes to a neighbour of the target, is flushed to the disk and then renamed over it; a reader
    sees the old file or the new one, never a part. Line ends are written as they are in `content`.

    Args:
        path: Target; a symbolic link is followed.
        content: Text (encoded as UTF-8) or bytes.

    Raises:
        OSError: The folder does not exist, the disk is full, ...; the old file is still as it was.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
