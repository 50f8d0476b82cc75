"""Memory programs of JAX functions (the extra `jax`): compiled by XLA for the CPU, read from the optimised HLO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from makespan.envs.core.errors import MakespanError
from makespan.envs.memory.hlo import parse_hlo
from makespan.envs.memory.program import MemoryProgram


def trace_jax(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    *,
    donate: Sequence[int] = (),
    num_parameters: int = 0,
    name: str = "",
) -> MemoryProgram:
    """Compile a JAX function and make a program of its schedule.

    XLA's fusions for the CPU differ from those for an accelerator; see `makespan.envs.memory.hlo` for what is counted.

    Args:
        function: The function.
        arguments: Its arguments, of which shapes and types count: arrays, `jax.ShapeDtypeStruct`, or trees of them.
        donate: Positions of arguments whose memory the results may take over, such as the parameters of a training step.
        num_parameters: So many leading arrays, trees flattened, are parameters.
        name: Name of the program; by default that of XLA's module.

    Raises:
        MakespanError: JAX is not installed.
        InstanceFormatError: XLA printed something that the reader does not understand.
    """
    try:
        import jax
    except ModuleNotFoundError as error:
        raise MakespanError("JAX programs need the package 'jax': pip install makespan[jax]") from error
    text = jax.jit(function, donate_argnums=tuple(donate)).lower(*arguments).compile().as_text()
    return parse_hlo(text, source="HLO text of JAX", name=name, num_parameters=num_parameters)
