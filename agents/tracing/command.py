"""`makespan trace`: from a function of the user's that builds a model to a file with its memory program."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from makespan.agents.cli import UsageError, echo
from makespan.agents.tracing.trace import Inputs, Loss, TraceError, trace
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.program import MemoryProgram, TensorKind

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}
_EXPECTED: Final = "expected (module, inputs) or (module, inputs, loss), the module a torch.nn.Module"


class Built(NamedTuple):
    """What a `build` function returns.

    Attributes:
        module: The module to trace.
        inputs: A tensor, a sequence of positional inputs, or a mapping of keywords.
        loss: From the module's output to a scalar; None is the default of `trace`.
    """

    module: nn.Module
    inputs: Inputs
    loss: Loss | None = None


def run(args: argparse.Namespace) -> int:
    """Trace what the arguments name, write the program and say what is in it."""
    if args.dtype is not None and args.dtype not in DTYPES:
        raise UnknownNameError("dtype", args.dtype, DTYPES)
    out = Path(args.out)
    if not out.name.endswith((".json", ".json.gz")) or not out.parent.is_dir():
        raise UsageError(
            f"--out {args.out}: expected a name that ends in .json or .json.gz, in a folder that exists"
        )
    built = call_build(find_build(args.target), args.target, args.batch)
    program = trace(
        built.module,
        built.inputs,
        training=args.train,
        loss=built.loss,
        dtype=None if args.dtype is None else DTYPES[args.dtype],
        fused=not args.unfused,
        name=args.name or "",
    )
    program.save(out)
    for line in describe(program):
        echo(line)
    echo(f"wrote     {out}")
    return 0


def find_build(target: str) -> Callable[..., Any]:
    """The function that `package.module:function` or `file.py:function` names.

    Raises:
        UsageError: The text names nothing, or something that is no function.
        TraceError: Importing it fails.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise UsageError(f"{target!r}; expected module:function or file.py:function, e.g. my_module:build")
    module = _import(place)
    found = getattr(module, name, None)
    if found is None:
        raise UnknownNameError(
            f"function of {place}", name, [key for key in vars(module) if not key.startswith("_")]
        )
    if not callable(found):
        raise UsageError(f"{target}: a {type(found).__name__}; expected a function that builds the model")
    return found


def call_build(build: Callable[..., Any], target: str, batch: int | None) -> Built:
    """Call a `build` function and check what it returns.

    Raises:
        UsageError: It takes no `batch` although one is given, or it returns something else.
        TraceError: It fails.
    """
    keywords = {} if batch is None else {"batch": batch}
    try:
        inspect.signature(build).bind(**keywords)
    except (TypeError, ValueError) as error:
        given = f"batch={batch}" if keywords else "no argument"
        raise UsageError(f"{target}: cannot be called with {given}: {error}") from error
    try:
        result = build(**keywords)
    except Exception as error:  # a user's function may raise anything
        raise TraceError(f"{target}: {type(error).__name__}: {error}") from error
    if not isinstance(result, tuple) or len(result) not in (2, 3):
        raise UsageError(f"{target}: returned a {type(result).__name__}; {_EXPECTED}")
    built = Built(*result)
    if not isinstance(built.module, nn.Module):
        raise UsageError(f"{target}: returned a {type(built.module).__name__} first; {_EXPECTED}")
    if not isinstance(built.inputs, torch.Tensor | tuple | list | Mapping):
        raise UsageError(f"{target}: returned inputs of type {type(built.inputs).__name__}; {_EXPECTED}")
    if built.loss is not None and not callable(built.loss):
        raise UsageError(f"{target}: returned a loss of type {type(built.loss).__name__}; {_EXPECTED}")
    return built


def describe(program: MemoryProgram) -> list[str]:
    """What is in a program, a line each."""
    kinds = {kind: program.tensor_kind == kind for kind in TensorKind}
    sizes = ", ".join(
        f"{np.count_nonzero(mask)} {kind.name.lower()}s of {program.tensor_size[mask].sum() / 2**20:.1f} MiB"
        for kind, mask in kinds.items()
        if mask.any()
    )
    return [
        f"program   {program.name} ({program.source})",
        f"contents  {program.num_ops} operations in {program.num_regions} regions, {program.num_accesses} accesses",
        f"tensors   {sizes}",
        f"flops     {program.op_flops.sum() / 1e9:.3f} G matrix, {program.op_vector_flops.sum() / 1e9:.3f} G pointwise",
        f"traffic   {program.access_bytes.sum() / 2**20:.1f} MiB read and written",
    ]


def _import(place: str) -> ModuleType:
    """A module by name or file, with the current folder first in the path."""
    path = Path(place)
    with _current_folder_first():
        try:
            if path.suffix == ".py":
                if not path.is_file():
                    raise UsageError(f"{place}: no such file")
                return _import_file(path)
            return importlib.import_module(place)
        except UsageError:
            raise
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(f"{error.name}.")):
                raise UsageError(f"{place}: no such module here or among the installed ones") from error
            raise TraceError(f"{place}: {error}") from error
        except Exception as error:  # a user's module may raise anything
            raise TraceError(f"{place}: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@contextmanager
def _current_folder_first() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
