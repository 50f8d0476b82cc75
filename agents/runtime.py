"""How a training process uses its machine. Called by trainers, never at import."""

from __future__ import annotations

import ctypes
import logging
import platform
from typing import Final

_TRIM_THRESHOLD: Final = -1  # glibc's M_TRIM_THRESHOLD
_MMAP_THRESHOLD: Final = -3  # glibc's M_MMAP_THRESHOLD
_LOGGER = logging.getLogger(__name__)


def tune_malloc() -> bool:
    """Keep freed memory in the process: graph layers allocate and free large tensors at every step.

    By default glibc maps each of them afresh and gives it back, which costs more than the layer. Raising both
    thresholds avoids that, for a somewhat larger resident set.

    Returns:
        Whether the thresholds were raised; False wherever the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    accepted = mallopt(_MMAP_THRESHOLD, 1 << 30) == 1 and mallopt(_TRIM_THRESHOLD, 2**31 - 1) == 1
    if not accepted:
        _LOGGER.info("glibc refused the malloc thresholds; training may run slower")
    return bool(accepted)
