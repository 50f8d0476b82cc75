"""Synthetic programs: sizes kept, structure by hand, seeds; and the allocation problem of a program's activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makespan.envs.core.errors import InvalidInstanceError, UnknownNameError
from makespan.envs.memory.draft import DraftOp
from makespan.envs.memory.hardware import MIB
from makespan.envs.memory.lifetimes import allocation_problem
from makespan.envs.memory.mapping_generator import make_generator
from makespan.envs.memory.mapping_synthetic import LayeredChain, LibraryMapping, LongSkips, SeriesParallel
from makespan.envs.memory.program import MemoryProgram, TensorKind
from makespan.envs.memory.program_generator import Sizes, Sketch, finish

GENERATORS = [
    LayeredChain(num_ops=20),
    LayeredChain(num_ops=1, training=1.0),
    SeriesParallel(num_ops=29, parallel=1.0),
    SeriesParallel(num_ops=3, parallel=1.0, weighted=1.0, training=1.0),
    LongSkips(levels=3, depth=2),
    LongSkips(levels=1, depth=1, training=0.0),
]


@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
def test_draws_keep_the_promised_size(generator: Any) -> None:
    """No draw outgrows `size`, which the spaces are built from; equal seeds draw equal programs, others do not."""
    limits, draws = generator.size, []
    for seed in range(60):
        i = generator.sample(np.random.default_rng(seed))
        counts = (i.num_ops, i.num_accesses, i.num_tensors, i.num_regions)
        promised = (limits.num_ops, limits.num_accesses, limits.num_tensors, limits.num_regions)
        assert all(count <= limit for count, limit in zip(counts, promised, strict=True))
        draws.append(i.program)
    assert generator.sample(np.random.default_rng(7)).program == draws[7]
    assert draws[7] != draws[8]


def live(p: MemoryProgram) -> list[int]:
    """Activations alive at each operation, counted one by one."""
    made = [t for t in range(p.num_tensors) if p.tensor_kind[t] >= TensorKind.ACTIVATION]
    return [sum(p.written_at[t] <= k <= p.last_access[t] for t in made) for k in range(p.num_ops)]


def test_long_skips_wait_for_the_way_back() -> None:
    """With 3 levels of one operation, the skip of level 0 is alive from operation 0 to 6, that of level 1 from 1 to 5."""
    p = LongSkips(levels=3, depth=1, training=0.0).sample_program(np.random.default_rng(0))
    assert p.num_ops == 7
    assert list(p.region_name) == ["down0", "down1", "down2", "bottom", "up2", "up1", "up0"]
    results = {int(p.written_at[t]): t for t in range(p.num_tensors) if p.written_at[t] >= 0}
    assert [int(p.last_access[results[k]]) for k in range(7)] == [6, 5, 4, 4, 5, 6, 6]
    assert live(p) == [1, 2, 3, 4, 5, 4, 3]


def test_series_parallel_graphs_reduce_to_an_edge() -> None:
    """Merging what is in series and in parallel leaves a single edge, which characterises series-parallel graphs."""
    for seed in range(20):
        p = SeriesParallel(num_ops=24, parallel=0.8, training=0.0).sample_program(np.random.default_rng(seed))
        maker = dict(enumerate(p.written_at.tolist()))
        reads = zip(p.access_op.tolist(), p.access_tensor.tolist(), p.access_write.tolist(), strict=True)
        edges = {
            (maker[t], op) for op, t, write in reads if not write and p.tensor_kind[t] != TensorKind.PARAMETER
        }
        inner = set(range(p.num_ops - 1))
        while True:
            alone = [
                v for v in inner if sum(b == v for _, b in edges) == 1 and sum(a == v for a, _ in edges) == 1
            ]
            if not alone:
                break
            v = alone[0]
            (before,), (after,) = [a for a, b in edges if b == v], [b for a, b in edges if a == v]
            edges = {(a, b) for a, b in edges if v not in (a, b)} | {(before, after)}
            inner.remove(v)
        assert edges == {(-1, p.num_ops - 1)}


def sketch() -> Sketch:
    """From x by a pointwise operation a, then by a operation with w b, then c of b and a; sizes are chosen."""
    s = Sketch(np.random.default_rng(0), Sizes(100, 0.0), weighted=0.0)
    x = s.input(40)
    a = s.layer("one", [x], 40)
    w = s.draft.add_tensor("w", 60, TensorKind.PARAMETER)
    b = s.draft.add_tensor("b", 20)
    s.draft.add_op(DraftOp("matrix", "two", flops=7, reads={a: 40, w: 60}, writes={b: 20}))
    s.layer("three", [b, a], 30)
    return s


def test_backward_pass_by_hand() -> None:
    """Gradients flow back in reverse order, gather where a result has two readers, and update the weight in place."""
    s = sketch()
    finish(s.draft, training=True)
    p = s.draft.build("hand")
    assert list(p.op_name) == ["pointwise", "matrix", "pointwise", "pointwise_backward", "matrix_backward"]
    assert [p.region_name[r] for r in p.op_region[3:]] == ["backward.three", "backward.two"]
    assert p.op_flops.tolist() == [0, 7, 0, 0, 14]
    size = {t: int(p.tensor_size[t]) for t in range(p.num_tensors)}
    rows = [
        sorted(
            (size[t], bool(w))
            for op, t, w in zip(p.access_op, p.access_tensor, p.access_write, strict=True)
            if op == k
        )
        for k in (3, 4)
    ]
    # the result c (30) stands for its gradient; gradients of b (20) and a (40)
    assert rows[0] == [(20, False), (20, True), (30, False), (40, False), (40, True)]
    # reads a, w, b's gradient and a's so far; writes a's and the new w; x needs none
    assert rows[1] == [(20, False), (40, False), (40, False), (40, True), (60, False), (60, True)]
    assert sorted(p.tensor_name[t] for t in np.flatnonzero(p.tensor_alias == 0)) == ["w", "w.new"]


def test_allocation_problem_by_hand() -> None:
    """Activations of the forward pass live from writing to last reading, the output to the end; w and x lie outside."""
    s = sketch()
    finish(s.draft, training=False)
    problem = allocation_problem(s.draft.build("hand"), alignment=4, capacity=100)
    rows = zip(problem.lower.tolist(), problem.upper.tolist(), problem.size.tolist(), strict=True)
    assert sorted(rows) == [(0, 3, 40), (1, 3, 20), (2, 3, 30)]
    assert problem.load_bound == 90
    assert (problem.capacity, problem.alignment.tolist()) == (100, [4, 4, 4])
    without = allocation_problem(s.draft.build("hand"), outputs=False)
    assert sorted(without.size.tolist()) == [20, 40]


def test_alias_groups_are_one_buffer_or_outside() -> None:
    """Two versions of one activation are one buffer over both lives; an updated weight is not in the arena."""
    p = MemoryProgram(
        "aliases",
        ("fill", "scatter", "update"),
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        ("",),
        ("x", "w", "a", "b", "w.new"),
        [8, 16, 24, 24, 16],
        [1, 0, 2, 2, 3],
        [-1, 1, 0, 0, 1],
        [0, 0, 1, 1, 2, 2, 2],
        [0, 2, 2, 3, 3, 1, 4],
        [8, 24, 4, 4, 24, 16, 16],
        [False, True, False, True, False, False, True],
    )
    problem = allocation_problem(p)
    assert (problem.lower.tolist(), problem.upper.tolist(), problem.size.tolist()) == ([0], [3], [24])


def test_program_without_activations_has_no_arena() -> None:
    """There is nothing to allocate if outputs lie elsewhere and nothing else is made."""
    p = MemoryProgram(
        "one",
        ("op",),
        [0],
        [1],
        [0],
        ("",),
        ("x", "y"),
        [8, 8],
        [1, 3],
        [-1, -1],
        [0, 0],
        [0, 1],
        [8, 8],
        [0, 1],
    )
    assert allocation_problem(p).num_buffers == 1
    with pytest.raises(InvalidInstanceError, match="one: no activation"):
        allocation_problem(p, outputs=False)


def test_library_draws_only_what_it_should() -> None:
    """Globs add, a `!` takes out again, large programs are left out, and capacities stay in their range."""
    generator = LibraryMapping("unet_*, mlp_*, !*_training_*", low_mib=8, high_mib=16)
    assert generator.names == (
        "mlp_inference_b1024",
        "mlp_inference_b64",
        "unet_inference_b1",
        "unet_inference_b4",
    )
    assert LibraryMapping("unet_*", max_accesses=200).names == ("unet_inference_b1", "unet_inference_b4")
    drawn = [generator.sample(np.random.default_rng(seed)) for seed in range(40)]
    assert {i.program.name for i in drawn} == set(generator.names)
    assert all(8 * MIB - 1024 <= i.hardware.capacity <= 16 * MIB for i in drawn)


@pytest.mark.parametrize(
    ("name", "parameters", "error", "message"),
    [
        ("layered", {"num_ops": 0}, ValueError, "LayeredChain.num_ops: 0"),
        ("layered", {"low_share": 0.9}, ValueError, "LayeredChain.low_share: 0.9"),
        ("series_parallel", {"parallel": 2}, ValueError, "SeriesParallel.parallel: 2"),
        ("long_skips", {"levels": 0}, ValueError, "LongSkips.levels: 0"),
        ("long_skips", {"training": 1.5}, ValueError, "LongSkips.training: 1.5"),
        ("library", {"low_mib": 64, "high_mib": 8}, ValueError, "LibraryMapping.low_mib: 64"),
        ("library", {"programs": "unets_*"}, UnknownNameError, "unknown program 'unets_"),
        ("layered", {"hardware": "tpu"}, UnknownNameError, "unknown hardware 'tpu'"),
        ("layered", {"num_op": 3}, TypeError, "did you mean num_ops"),
    ],
)
def test_parameters_are_checked(
    name: str, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Parameters out of range or unknown are named with what was expected."""
    with pytest.raises(error) as caught:
        make_generator(name, **parameters)
    assert message in str(caught.value)
