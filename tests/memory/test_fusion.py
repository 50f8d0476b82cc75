"""Fusion, on drafts small enough to be worked out by hand."""

from __future__ import annotations

import copy
import random

from makespan.envs.memory.draft import Draft, DraftOp, Role
from makespan.envs.memory.fusion import fuse
from makespan.envs.memory.program import TensorKind

ANCHOR, POINTWISE, GENERATOR = Role.ANCHOR, Role.POINTWISE, Role.GENERATOR


class Sketch:
    """Writes drafts down in one line an operation: every tensor has 8 bytes unless `sizes` says otherwise."""

    def __init__(self, inputs: str = "x", outputs: str = "z", sizes: dict[str, int] | None = None) -> None:
        self.draft, self.sizes, self.outputs = Draft(), sizes or {}, outputs.split()
        self.tensor = {name: self._tensor(name, TensorKind.INPUT) for name in inputs.split()}

    def _tensor(self, name: str, kind: TensorKind, replaces: int = -1) -> int:
        return self.draft.add_tensor(name, self.sizes.get(name, 8), kind, replaces)

    def op(self, role: Role, name: str, reads: str, writes: str, replaces: str = "") -> None:
        op = DraftOp(name, role=role, flops=1, vector_flops=10)
        for t in reads.split():
            op.reads[self.tensor[t]] = self.sizes.get(t, 8)
        for t in writes.split():
            kind = TensorKind.OUTPUT if t in self.outputs else TensorKind.ACTIVATION
            self.tensor[t] = self._tensor(t, kind, self.tensor[replaces] if replaces else -1)
            op.writes[self.tensor[t]] = self.sizes.get(t, 8)
        self.draft.add_op(op)

    def fused(self, max_operands: int = 32) -> list[tuple[str, str, str]]:
        """Name, reads and writes of each operation that is left."""
        fuse(self.draft, max_operands)
        self.draft.build("test")  # must be valid
        name = [t.name for t in self.draft.tensors]
        return [
            (
                op.name,
                " ".join(sorted(name[t] for t in op.reads)),
                " ".join(sorted(name[t] for t in op.writes)),
            )
            for op in self.draft.ops
        ]


def test_pointwise_joins_its_producer_and_its_consumer() -> None:
    """Scale -> matmul -> relu is one operation that reads the inputs and writes the result; flops add up."""
    s = Sketch("x w")
    s.op(POINTWISE, "scale", "x", "a")
    s.op(ANCHOR, "matmul", "a w", "b")
    s.op(POINTWISE, "relu", "b", "z")
    assert s.fused() == [("scale+matmul+relu", "w x", "z")]
    assert (s.draft.ops[0].flops, s.draft.ops[0].vector_flops) == (3, 30)


def test_two_anchors_stay_apart() -> None:
    """A pointwise operation between two matrix products joins the first; the products are not merged."""
    s = Sketch("x")
    s.op(ANCHOR, "one", "x", "a")
    s.op(POINTWISE, "relu", "a", "b")
    s.op(ANCHOR, "two", "b", "z")
    assert s.fused() == [("one+relu", "x", "b"), ("two", "b", "z")]


def test_tensor_that_others_need_is_kept() -> None:
    """Where two operations read a result, it has to be written, and neither of them takes its producer in."""
    s = Sketch("x", "y z")
    s.op(POINTWISE, "p", "x", "a")
    s.op(ANCHOR, "left", "a", "y")
    s.op(ANCHOR, "right", "a", "z")
    assert [name for name, _, _ in s.fused()] == ["p", "left", "right"]


def test_output_is_kept() -> None:
    """A result of the program is written even if a pointwise operation is its only reader."""
    s = Sketch("x", "a z")
    s.op(ANCHOR, "matmul", "x", "a")
    s.op(POINTWISE, "relu", "a", "z")
    assert s.fused() == [("matmul", "x", "a"), ("relu", "a", "z")]


def test_second_result_of_a_producer_survives() -> None:
    """A normalisation and the relu behind it are one; the statistics are still written for the backward pass."""
    s = Sketch("x")
    s.op(ANCHOR, "norm", "x", "a mean")
    s.op(POINTWISE, "relu", "a", "b")
    s.op(ANCHOR, "backward", "b mean", "z")
    assert s.fused() == [("norm+relu", "x", "b mean"), ("backward", "b mean", "z")]


def test_generators_are_never_stored() -> None:
    """A mask made from nothing, and what is computed from it alone, is made where it is read, even twice."""
    s = Sketch("x", "y z")
    s.op(GENERATOR, "ones", "", "m")
    s.op(POINTWISE, "tril", "m", "n")
    s.op(ANCHOR, "left", "x n", "y")
    s.op(ANCHOR, "right", "x n", "z")
    assert s.fused() == [("left", "x", "y"), ("right", "x", "z")]


def test_filled_buffer_is_written_whole() -> None:
    """Scattering 4 bytes into 8 bytes of zeros must write all 8, once the zeros are not stored any more."""
    s = Sketch("x")
    s.op(GENERATOR, "zeros", "", "a")
    s.op(ANCHOR, "scatter", "a x", "z", replaces="a")
    s.draft.ops[1].writes[s.tensor["z"]] = 4
    assert s.fused() == [("scatter", "x", "z")]
    assert s.draft.ops[0].writes == {s.tensor["z"]: 8}


def test_what_nothing_needs_is_dropped() -> None:
    """Dead results go, and operations with no other; one that yields an untracked scalar stays."""
    s = Sketch("x")
    s.op(ANCHOR, "dead", "x", "a")
    s.op(ANCHOR, "loss", "x", "")
    s.draft.ops[1].keep = True
    s.op(ANCHOR, "last", "x", "z unused")
    assert s.fused() == [("loss", "x", ""), ("last", "x", "z")]


def test_operand_limit() -> None:
    """Three inputs, one weight and the result are five operands: allowed at five, not at four."""
    for limit, count in ((5, 1), (4, 2)):
        s = Sketch("x y v w")
        s.op(POINTWISE, "sum", "x y v", "a")
        s.op(ANCHOR, "matmul", "a w", "z")
        assert len(s.fused(limit)) == count


def gap(sizes: dict[str, int]) -> list[str]:
    """Matmul makes a; something unrelated runs in between; relu makes b of a and c."""
    s = Sketch("x y", sizes=sizes)
    s.op(ANCHOR, "first", "y", "c")
    s.op(ANCHOR, "matmul", "c", "a")
    s.op(ANCHOR, "between", "x", "d")
    s.op(POINTWISE, "relu", "a", "b")
    s.op(ANCHOR, "end", "b d", "z")
    return [name for name, _, _ in s.fused()]


def test_place_lets_fewer_bytes_live() -> None:
    """Early, b lives in place of a; late, the matmul's operand c does: the smaller of b and c decides, the early one in a tie."""
    assert gap({"a": 8, "b": 4, "c": 6}) == ["first", "matmul+relu", "between", "end"]
    assert gap({"a": 8, "b": 6, "c": 4}) == ["first", "between", "matmul+relu", "end"]
    assert gap({"a": 8, "b": 8, "c": 8}) == ["first", "matmul+relu", "between", "end"]


def test_fusion_that_lengthens_lives_is_left() -> None:
    """If both b and c are larger than a, fusing across the gap would cost memory; relu joins its other neighbour."""
    assert gap({"a": 2, "b": 6, "c": 4}) == ["first", "matmul", "between", "relu+end"]


def test_update_in_place_waits_for_the_last_reader() -> None:
    """The gradient's update of w may not move before another operation that still reads the old w."""
    s = Sketch("x w", "v z", sizes={"g": 64})
    s.op(ANCHOR, "gradient", "x", "g")
    s.op(ANCHOR, "reader", "x w", "z")
    s.op(POINTWISE, "update", "g w", "v", replaces="w")
    assert s.fused() == [("reader", "w x", "z"), ("gradient+update", "w x", "v")]


def test_update_in_place_moves_to_its_gradient() -> None:
    """Without such a reader the update runs with the gradient, and what the gradient read may die there."""
    s = Sketch("x y w", "v z")
    s.op(ANCHOR, "forward", "x", "h")
    s.op(ANCHOR, "gradient", "h", "g")
    s.op(ANCHOR, "other", "y", "z")
    s.op(POINTWISE, "update", "g w", "v", replaces="w")
    assert s.fused()[1] == ("gradient+update", "h w", "v")


def test_operand_is_not_read_after_it_is_overwritten() -> None:
    """`double` reads w; moved behind the update of w it would see the new one, so it stays where it is."""
    s = Sketch("x w", "v z", sizes={"d": 64, "e": 80})
    s.op(POINTWISE, "double", "w", "d")
    s.op(ANCHOR, "update", "x w", "v", replaces="w")
    s.op(ANCHOR, "use", "d v", "z")
    assert s.fused() == [("double", "w", "d"), ("update", "w x", "v"), ("use", "d v", "z")]


def test_long_names_are_counted() -> None:
    """The name of many fused operations shows the first two and the last."""
    s = Sketch("x")
    for k in range(7):
        s.op(POINTWISE, f"p{k}", "x" if k == 0 else f"t{k}", f"t{k + 1}" if k < 6 else "z")
    assert s.fused() == [("p0+p1+4+p6", "x", "z")]


def random_draft(rng: random.Random) -> Draft:
    """Operations of all roles on tensors of few sizes, some of them updates in place."""
    draft = Draft()
    alive = [
        draft.add_tensor(f"x{k}", rng.choice([8, 64]), TensorKind.INPUT) for k in range(rng.randint(1, 3))
    ]
    for k in range(rng.randint(1, 25)):
        op = DraftOp(f"op{k}", role=rng.choice([ANCHOR, POINTWISE, POINTWISE, GENERATOR]), flops=1)
        if op.role is not GENERATOR:
            op.reads = {
                t: draft.tensors[t].size for t in rng.sample(alive, min(len(alive), rng.randint(1, 3)))
            }
        for _ in range(rng.choice([1, 1, 2])):
            old = rng.choice(list(op.reads)) if op.reads and rng.random() < 0.3 else -1
            if old in alive:
                alive.remove(old)
            else:
                old = -1
            size = rng.choice([8, 64]) if old < 0 else draft.tensors[old].size
            new = draft.add_tensor(f"t{len(draft.tensors)}", size, replaces=old)
            op.writes[new] = size
            alive.append(new)
        draft.add_op(op)
    for t in alive:
        if draft.tensors[t].kind == TensorKind.ACTIVATION and rng.random() < 0.4:
            draft.tensors[t].kind = TensorKind.OUTPUT
    return draft


def sources(draft: Draft) -> dict[int, set[int]]:
    """Inputs that each output depends on."""
    found: dict[int, set[int]] = {
        t: {t} for t, tensor in enumerate(draft.tensors) if tensor.kind == TensorKind.INPUT
    }
    for op in draft.ops:
        needed = set().union(*(found.get(t, set()) for t in op.reads))
        found |= dict.fromkeys(op.writes, needed)
    return {t: inputs for t, inputs in found.items() if draft.tensors[t].kind == TensorKind.OUTPUT}


def test_random_programs_stay_valid() -> None:
    """On 1 500 random drafts the fused program is valid, keeps its outputs and their inputs, and nothing grows."""
    for seed in range(1500):
        draft = random_draft(random.Random(seed))
        unfused = copy.deepcopy(draft)
        unfused.eliminate_dead()
        before = sources(unfused)
        if not before:
            continue
        old = unfused.build("unfused")
        fuse(draft, 4 + seed % 2 * 28)
        new, after = draft.build("fused"), sources(draft)
        assert before.keys() == after.keys()
        assert all(before[t] <= after[t] for t in before)
        assert new.num_ops <= old.num_ops
        assert new.op_flops.sum() <= old.op_flops.sum()
        assert new.access_bytes.sum() <= old.access_bytes.sum()
