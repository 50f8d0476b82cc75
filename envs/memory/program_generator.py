"""Drafts of synthetic programs: forward passes of several shapes, and the backward pass of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from makespan.envs.memory.draft import Draft, DraftOp
from makespan.envs.memory.program import TensorKind

ELEMENT: Final = 2
"""Bytes of an element, as of bfloat16."""
LOG_INTENSITY: Final = (3.0, 7.5)
"""Natural logarithms of 20 and 1800 flops a byte: matrix operations on both sides of a roofline's ridge."""


@dataclass(frozen=True)
class Sizes:
    """Log-normal sizes of tensors.

    Attributes:
        median: Bytes.
        spread: Standard deviation of the logarithm.
    """

    median: int
    spread: float

    def draw(self, rng: np.random.Generator, scale: float = 1.0) -> int:
        """Bytes of one tensor, a whole number of elements."""
        size = self.median * scale * np.exp(self.spread * rng.standard_normal())
        return ELEMENT * max(1, round(size / ELEMENT))


class Sketch:
    """A forward pass in the making.

    Attributes:
        draft: Its operations and tensors.
    """

    def __init__(self, rng: np.random.Generator, sizes: Sizes, weighted: float) -> None:
        """Start with nothing.

        Args:
            rng: Source of sizes and kinds.
            sizes: Distribution of sizes.
            weighted: Probability that an operation on one tensor has weights.
        """
        self.draft = Draft()
        self._rng, self._sizes, self._weighted = rng, sizes, weighted

    def input(self, size: int | None = None) -> int:
        """A new input of the program, of a random size unless given."""
        chosen = self._sizes.draw(self._rng) if size is None else size
        return self.draft.add_tensor(f"input.{len(self.draft.tensors)}", chosen, TensorKind.INPUT)

    def layer(self, region: str, reads: Sequence[int], size: int | None = None) -> int:
        """An operation on some tensors; returns its result.

        It has weights with the probability of the sketch and is a matrix operation then, of an intensity on either side of the
        roofline's ridge. Otherwise it is pointwise, and its result as large as the largest operand.

        Args:
            region: Where it belongs.
            reads: Operands, the same one perhaps twice.
            size: Bytes of the result.
        """
        op = DraftOp("pointwise", region, reads={t: self._size_of(t) for t in reads})
        weighted = self._rng.random() < self._weighted
        if size is None:
            size = self._sizes.draw(self._rng) if weighted else max(op.reads.values())
        if weighted:
            weight = self._sizes.draw(self._rng)
            op.name = "matrix"
            op.reads[self.draft.add_tensor(f"weight.{len(self.draft.ops)}", weight, TensorKind.PARAMETER)] = (
                weight
            )
        result = self.draft.add_tensor(f"{op.name}.{len(self.draft.ops)}", size)
        op.writes = {result: size}
        if weighted:
            touched = sum(op.reads.values()) + size
            op.flops = int(touched * np.exp(self._rng.uniform(*LOG_INTENSITY)))
        else:
            op.vector_flops = len(op.reads) * size // ELEMENT
        self.draft.add_op(op)
        return result

    def _size_of(self, tensor: int) -> int:
        return self.draft.tensors[tensor].size


def layered(sketch: Sketch, rng: np.random.Generator, num_ops: int, reach: int, skip: float) -> None:
    """A chain in which operations may read what came up to `reach` operations before, too."""
    made = [sketch.input()]
    for k in range(num_ops):
        reads = [made[-1]]
        if rng.random() < skip and len(made) > 1:
            reads.append(made[-2 - int(rng.integers(min(reach, len(made) - 1)))])
        made.append(sketch.layer(f"layer{k // 4}", reads))


def series_parallel(sketch: Sketch, rng: np.random.Generator, num_ops: int, parallel: float) -> None:
    """Blocks in series and in parallel, within each other; branches run one after the other and are joined."""

    def grow(source: int, count: int, region: str) -> int:
        if count >= 3 and rng.random() < parallel:
            branches = int(rng.integers(2, min(3, count - 1) + 1))
            cuts = np.sort(rng.choice(count - 2, branches - 1, replace=False)) + 1
            lengths = np.diff([0, *cuts.tolist(), count - 1])
            ends = [grow(source, int(n), region) for n in lengths]
            return sketch.layer(region, ends)
        if count >= 2:
            first = int(rng.integers(1, count))
            return grow(grow(source, first, region), count - first, region)
        return sketch.layer(region, [source])

    end = sketch.input()
    for k, start in enumerate(range(0, num_ops, 8)):
        end = grow(end, min(8, num_ops - start), f"block{k}")


def long_skips(sketch: Sketch, sizes: Sizes, rng: np.random.Generator, levels: int, depth: int) -> None:
    """Down and up again, as a U-Net: each level halves the activations, and its last one waits for the way back."""
    x = sketch.input(sizes.draw(rng))
    skips = []
    for level in range(levels):
        for _ in range(depth):
            x = sketch.layer(f"down{level}", [x], sizes.draw(rng, 0.5**level))
        skips.append(x)
    for _ in range(depth):
        x = sketch.layer("bottom", [x], sizes.draw(rng, 0.5**levels))
    for level in reversed(range(levels)):
        for k in range(depth):
            reads = [x, skips[level]] if k == 0 else [x]
            x = sketch.layer(f"up{level}", reads, sizes.draw(rng, 0.5**level))


def finish(draft: Draft, training: bool) -> None:
    """Append the backward pass, or make what nothing reads the output.

    The backward operation of each operation reads what that one read, the gradient of its result and the gradients of its
    operands gathered so far; it writes the gradients of its operands and updates its weights in place, as fused gradient
    operations do.
    """
    read = {t for op in draft.ops for t in op.reads}
    ends = [t for op in draft.ops for t in op.writes if t not in read]
    if not training:
        for t in ends:
            draft.tensors[t].kind = TensorKind.OUTPUT
        return
    gradient = {t: t for t in ends}  # the loss is taken for granted: its gradient is as large as the result
    for op in list(reversed(draft.ops)):
        (result,) = op.writes
        backward = DraftOp(f"{op.name}_backward", f"backward.{op.region}")
        backward.flops, backward.vector_flops = 2 * op.flops, 2 * op.vector_flops
        backward.reads = {**op.reads, gradient[result]: draft.tensors[result].size}
        for t, size in op.reads.items():
            tensor = draft.tensors[t]
            if tensor.kind == TensorKind.PARAMETER:
                new = draft.add_tensor(f"{tensor.name}.new", size, TensorKind.OUTPUT, replaces=t)
                backward.writes[new] = size
            elif tensor.kind == TensorKind.ACTIVATION:
                if t in gradient:
                    backward.reads[gradient[t]] = size
                gradient[t] = draft.add_tensor(f"gradient.{len(draft.tensors)}", size)
                backward.writes[gradient[t]] = size
        if backward.writes:
            draft.add_op(backward)
