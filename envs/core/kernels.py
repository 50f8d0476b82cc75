"""How kernels are compiled, and Numba's cache kept honest.

Numba recompiles a cached kernel when its own file changes, but not when a kernel it calls in another file does. A
family's kernels call each other across files, so an edit or a checkout could leave an old simulator at work.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from llvmlite.ir import Constant  # type: ignore[import-untyped]
from numba import njit, typeof
from numba.extending import intrinsic

# Division by zero is the kernel's own business: Numba's checks for it would cost a third of the speed.
kernel = njit(cache=True, nogil=True, error_model="numpy")

# For what kernels call: handing a tuple of arrays to a function costs more than most of these functions do.
inlined_kernel = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)

# The same without reference counting, for kernels that allocate nothing: with dozens of arrays in a tuple, counting their
# references at every call would cost several times the work. Only kernels may call them: what Python would need for that
# is not compiled, which saves a fifth of the compile time.
_uncounted: dict[str, Any] = {"_nrt": False}  # this and the next are unknown to Numba's type stubs
_for_kernels: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
borrowing_kernel = njit(
    cache=True, nogil=True, error_model="numpy", forceinline=True, **_uncounted, **_for_kernels
)

# As that, for what is too large to be inlined wherever it is called; Python may call it too.
borrowing_call = njit(cache=True, nogil=True, error_model="numpy", **_uncounted)


@intrinsic
def _borrowed(context: Any, arrays: Any) -> Any:
    """The same tuple of arrays without owners: nothing counts their references, and somebody else has to keep them alive."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        result = arguments[0]
        for i, kind in enumerate(signature.args[0].types):
            view = target.make_array(kind)(target, builder, builder.extract_value(arguments[0], i))
            view.meminfo = Constant(view.meminfo.type, None)
            view.parent = Constant(view.parent.type, None)
            result = builder.insert_value(result, view._getvalue(), i)
        return result

    return arrays(arrays), generate


borrowed: Any = _borrowed  # for type checkers, which see the context as an argument


def compiled(function: Any, *arguments: Any) -> Any:
    """The machine code of a kernel for arguments of these types, to be called in the kernel's place.

    Such a call skips Numba's search for the code that fits its arguments, which takes longer than most kernels do where a
    structure is among them. Nobody looks at the types any more: the caller answers for them. It cannot be pickled.
    """
    return function.compile(tuple(typeof(argument) for argument in arguments))


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
