"""Branch and bound over canonical allocations: Numba kernels.

The inferences are those of MiniMalloc (Moffitt 2023): buffers are placed in order of non-decreasing offsets (ties in the
order of a static ranking), so whatever is placed later lies above, and a buffer's lowest offset, its *floor*, is the
highest top of the placed buffers that it overlaps in time.

* Dominance: nothing is placed at or above floor + size of an unplaced buffer, which could slide down below it.
* Sections: what is unplaced in a section must be stacked there. Where MiniMalloc adds the section's unplaced total to its
  lowest floor, we take the largest, over the floors f in the section, of f plus the sizes of what lies at f or
  higher: the one-machine bound with release dates, never weaker and at no less than the same cost.
* Monotonic floor: no unplaced buffer lies below the last placed one.
* Hatless pruning: if placing a buffer with nothing unplaced overhead fails, its siblings fail too.
* Dynamic decomposition: where no unplaced buffer crosses a moment, both sides are solved apart.
* Twins (ours): of buffers alike in everything, the one ranked first is placed first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel
from makespan.envs.memory.allocation_instance import AllocationProblem, Pieces
from makespan.envs.memory.rectangles import I64, align_up

FAILED: Final = 0
SOLVED: Final = 1
ABORTED: Final = 2
_DEAD: Final = 3  # the next candidate is to be tried
_WHOLE: Final = 4  # what is left is to be searched as a whole
_SPLIT: Final = 5  # what is left falls into independent parts

# Columns of `Tree.item`.
SIZE: Final = 0
FIXED: Final = 1
ALIGNMENT: Final = 2
RANK: Final = 3
TWIN: Final = 4  # the twin ranked before this one, -1 if there is none
FIRST: Final = 5  # sections from the first piece to the last
LAST: Final = 6
FLOOR: Final = 7
OFFSET: Final = 8  # -1 while unplaced

# Columns of `Tree.node`.
PARENT: Final = 0  # level of the node above, -1 at the root
COUNT: Final = 1  # unplaced buffers
BEGIN: Final = 2  # sections they live in
END: Final = 3
FOUND: Final = 4  # candidates
NEXT: Final = 5  # the next of them
BUFFER: Final = 6  # the one that is placed
MARK: Final = 7  # length of the trail before
COVERED: Final = 8  # whether anything unplaced lies above it
IS_SPLIT: Final = 9
PART_BEGIN: Final = 10  # sections of the part that is searched
PART: Final = 11  # where the next part begins

# Entries of `Tree.counter`.
NODES: Final = 0  # nodes that may still be opened
TRAIL: Final = 1
CAPACITY: Final = 2


class Tree(NamedTuple):
    """Problem and state of a search; N buffers, P pieces, S sections."""

    item: I64  # (N, 9)
    piece_first: I64  # (N + 1,)
    piece: I64  # (P, 3) first section, last section, bytes
    overlap_first: I64  # (N + 1,)
    overlap: I64  # (K, 2) other buffer, how far above this one's offset the other's must be at least
    cut: I64  # (S + 1,) unplaced buffers that cross the moment before a section
    stacked: I64  # (S,) work space
    order: NDArray[np.int32]  # (2 N + 3, N) unplaced buffers by level of the search, by floor and rank
    candidate: NDArray[np.int32]  # (2 N + 3, N)
    node: I64  # (2 N + 3, 12) the open nodes by level
    trail: I64  # (N N + 1, 2) buffer, floor before
    counter: I64  # (3,)


def make_tree(problem: AllocationProblem, unit: int) -> Tree:
    """The search's view of a problem, sizes and offsets in multiples of `unit`; ranks are set by `set_ranks`."""
    N = problem.num_buffers
    item = np.full((N, 9), -1, np.int64)
    item[:, SIZE] = problem.size // unit
    item[:, FIXED] = np.where(problem.fixed >= 0, problem.fixed // unit, -1)
    item[:, ALIGNMENT] = np.maximum(problem.alignment // unit, 1)
    pieces, first = problem.pieces, problem.piece_first
    item[:, FIRST], item[:, LAST] = pieces[first[:-1], Pieces.FIRST], pieces[first[1:] - 1, Pieces.LAST]
    height = (pieces[:, Pieces.HIGH] - pieces[:, Pieces.LOW]) // unit
    overlap_first, overlap = overlaps(problem)
    overlap[:, 1] //= unit
    return Tree(
        item,
        first,
        np.stack((pieces[:, Pieces.FIRST], pieces[:, Pieces.LAST], height), axis=1),
        overlap_first,
        overlap,
        np.zeros(problem.num_sections + 1, np.int64),
        np.zeros(problem.num_sections, np.int64),
        np.zeros((2 * N + 3, N), np.int32),
        np.zeros((2 * N + 3, N), np.int32),
        np.zeros((2 * N + 3, 12), np.int64),
        np.zeros((N * N + 1, 2), np.int64),
        np.zeros(3, np.int64),
    )


def overlaps(problem: AllocationProblem) -> tuple[I64, I64]:
    """The pairs of buffers that meet in time, as adjacency lists.

    Returns:
        (num_buffers + 1,) offsets and (num_pairs, 2) rows (other buffer, distance): if the other lies above, its offset is at
        least this one's plus the distance (the size, unless windows of gaps lie between).
    """
    pieces = problem.pieces
    begin, end = pieces[:, Pieces.START], pieces[:, Pieces.END]
    meet = (begin[:, None] < end) & (begin < end[:, None])
    meet &= pieces[:, None, Pieces.BUFFER] != pieces[:, Pieces.BUFFER]
    one, other = np.nonzero(meet)
    distance = pieces[one, Pieces.HIGH] - pieces[other, Pieces.LOW]
    key = pieces[one, Pieces.BUFFER] * problem.num_buffers + pieces[other, Pieces.BUFFER]
    order = np.lexsort((-distance, key))  # of several pairs of pieces the largest distance binds
    key, chosen = np.unique(key[order], return_index=True)
    rows = np.stack((key % problem.num_buffers, distance[order][chosen]), axis=1)
    count = np.bincount(key // problem.num_buffers, minlength=problem.num_buffers)
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64), rows.astype(np.int64)


def set_ranks(problem: AllocationProblem, tree: Tree, ranking: str) -> None:
    """Rank the buffers by MiniMalloc's letters, largest first: T total of the fullest section, A area, W width, Z size."""
    width = problem.upper - problem.lower
    total = np.zeros(problem.num_buffers, np.int64)
    for buffer, first, last in problem.pieces[:, [Pieces.BUFFER, Pieces.FIRST, Pieces.LAST]].tolist():
        total[buffer] = max(total[buffer], problem.load[first:last].max())
    columns = {"T": total, "A": problem.size * width, "W": width, "Z": problem.size}
    order = np.lexsort([-columns[letter] for letter in reversed(ranking)])
    tree.item[order, RANK] = np.arange(problem.num_buffers)
    tree.item[:, TWIN] = -1
    columns_alike = (problem.lower, problem.upper, problem.size, problem.alignment, problem.fixed)
    gapped = set(problem.gaps[:, 0].tolist())
    seen: dict[tuple[int, ...], int] = {}
    for buffer in order.tolist():
        if buffer not in gapped:
            key = tuple(int(column[buffer]) for column in columns_alike)
            tree.item[buffer, TWIN] = seen.get(key, -1)
            seen[key] = buffer


@inlined_kernel
def _raise_floors(tree: Tree, i: int) -> tuple[bool, bool]:
    """Lift what is unplaced above buffer i; returns whether all still fits, and whether there was anything."""
    item, counter, trail = tree.item, tree.counter, tree.trail
    offset, fits, covered = item[i, OFFSET], True, False
    for k in range(tree.overlap_first[i], tree.overlap_first[i + 1]):
        j = tree.overlap[k, 0]
        if item[j, OFFSET] >= 0:
            continue
        covered = True
        floor = offset + tree.overlap[k, 1]
        if floor > item[j, FLOOR]:
            trail[counter[TRAIL], 0], trail[counter[TRAIL], 1] = j, item[j, FLOOR]
            counter[TRAIL] += 1
            floor = align_up(floor, item[j, ALIGNMENT])
            item[j, FLOOR] = floor
            if floor + item[j, SIZE] > counter[CAPACITY] or (item[j, FIXED] >= 0 and floor > item[j, FIXED]):
                fits = False
                break
    return fits, covered


@inlined_kernel
def _sort_rest(tree: Tree, level: int, count: int, i: int) -> None:
    """Write the unplaced buffers of a level but i to the next one, by floor and rank."""
    item, source, target = tree.item, tree.order[level], tree.order[level + 1]
    filled = 0
    for k in range(count):
        j = source[k]
        if j == i:
            continue
        floor, rank = item[j, FLOOR], item[j, RANK]
        place = filled
        while place > 0:
            before = target[place - 1]
            if item[before, FLOOR] < floor or (item[before, FLOOR] == floor and item[before, RANK] < rank):
                break
            target[place] = before
            place -= 1
        target[place] = j
        filled += 1


@inlined_kernel
def _sections_fit(tree: Tree, level: int, count: int, first: int, last: int, base: int) -> bool:
    """Whether what is unplaced can still be stacked below the capacity in each section, looked at by itself."""
    item, piece, stacked, capacity = tree.item, tree.piece, tree.stacked, tree.counter[CAPACITY]
    for s in range(first, last):
        stacked[s] = 0
    for k in range(count - 1, -1, -1):
        j = tree.order[level, k]
        room = capacity - max(item[j, FLOOR], base)
        for p in range(tree.piece_first[j], tree.piece_first[j + 1]):
            height = piece[p, 2]
            for s in range(piece[p, 0], piece[p, 1]):
                stacked[s] += height
                if stacked[s] > room:
                    return False
    return True


@kernel
def _candidates(tree: Tree, level: int, count: int, base: int, base_rank: int) -> int:
    """Write the buffers that may be placed next, by floor and rank; returns how many there are."""
    item, order = tree.item, tree.order[level]
    least = 2**62
    for k in range(count):
        least = min(least, item[order[k], FLOOR] + item[order[k], SIZE])
    found = 0
    for k in range(count):
        j = order[k]
        floor = item[j, FLOOR]
        if floor >= least:
            break
        if floor < base or (floor == base and item[j, RANK] < base_rank):
            continue
        if item[j, TWIN] >= 0 and item[item[j, TWIN], OFFSET] < 0:
            continue
        tree.candidate[level, found] = j
        found += 1
    return found


@inlined_kernel
def _gather(tree: Tree, level: int, count: int, begin: int, end: int) -> int:
    """Write the buffers of a level that live in sections begin..end to the next one; returns how many they are."""
    gathered = 0
    for k in range(count):
        j = tree.order[level, k]
        if begin <= tree.item[j, FIRST] < end:
            tree.order[level + 1, gathered] = j
            gathered += 1
    return gathered


@inlined_kernel
def _cross(tree: Tree, i: int, change: int) -> bool:
    """Count buffer i in (1) or out (-1) where it crosses from section to section; whether a moment became free."""
    free = False
    for s in range(tree.item[i, FIRST] + 1, tree.item[i, LAST]):
        tree.cut[s] += change
        free |= tree.cut[s] == 0
    return free


@inlined_kernel
def _undo(tree: Tree, mark: int) -> None:
    counter, trail = tree.counter, tree.trail
    while counter[TRAIL] > mark:
        counter[TRAIL] -= 1
        tree.item[trail[counter[TRAIL], 0], FLOOR] = trail[counter[TRAIL], 1]


@inlined_kernel
def _open(
    tree: Tree, level: int, parent: int, count: int, first: int, last: int, base: int, rank: int
) -> bool:
    """Open a node for the `count` buffers of `tree.order[level]`; False if no more nodes may be opened."""
    node = tree.node[level]
    node[PARENT] = parent
    if tree.counter[NODES] <= 0:
        return False
    tree.counter[NODES] -= 1
    node[COUNT], node[BEGIN], node[END] = count, first, last
    node[FOUND], node[NEXT] = _candidates(tree, level, count, base, rank), 0
    return True


@inlined_kernel
def _place_next(tree: Tree, level: int) -> int:
    """Place the next candidate of a node: what becomes of it, `_DEAD` (taken back), `SOLVED`, `_WHOLE` or `_SPLIT`."""
    item, counter, node = tree.item, tree.counter, tree.node[level]
    i = int(tree.candidate[level, node[NEXT]])
    node[NEXT] += 1
    node[BUFFER], node[MARK] = i, counter[TRAIL]
    item[i, OFFSET] = item[i, FLOOR]
    fits, covered = _raise_floors(tree, i)
    node[COVERED] = covered
    if fits:
        count = node[COUNT] - 1
        if count == 0:
            return SOLVED
        _sort_rest(tree, level, node[COUNT], i)
        if _sections_fit(tree, level + 1, count, node[BEGIN], node[END], item[i, OFFSET]):
            node[PART] = node[BEGIN]
            return _SPLIT if _cross(tree, i, -1) else _WHOLE
    _take_back(tree, level)
    return _DEAD


@inlined_kernel
def _take_back(tree: Tree, level: int) -> None:
    """Lift the buffer that a node has placed; where nothing lay above it, its siblings would fail as well."""
    node = tree.node[level]
    _undo(tree, node[MARK])
    tree.item[node[BUFFER], OFFSET] = -1
    if not node[COVERED]:
        node[NEXT] = node[FOUND]


@inlined_kernel
def _next_part(tree: Tree, level: int) -> int:
    """Write the buffers of the next independent part below a node two levels down; 0 if there is none left."""
    node, count = tree.node[level], tree.node[level, COUNT] - 1
    end = node[PART]
    while end < node[END]:
        end += 1
        if end == node[END] or tree.cut[end] == 0:
            gathered = _gather(tree, level + 1, count, node[PART], end)
            node[PART_BEGIN], node[PART] = node[PART], end
            if gathered > 0:
                return gathered
    return 0


@inlined_kernel
def _child_done(tree: Tree, level: int, status: int) -> int:
    """What a node makes of what became of its child: `_SPLIT` (go on with the next part), `SOLVED`, `ABORTED` or `_DEAD`."""
    node = tree.node[level]
    if node[IS_SPLIT]:
        if status == SOLVED:
            return _SPLIT
        for k in range(node[COUNT] - 1):
            tree.item[tree.order[level + 1, k], OFFSET] = -1
    _cross(tree, node[BUFFER], 1)
    if status == SOLVED:
        return SOLVED
    _take_back(tree, level)
    return ABORTED if status == ABORTED else _DEAD


@inlined_kernel
def _descend(tree: Tree, level: int, state: int) -> tuple[int, int]:
    """Open the node below one whose buffer is placed; returns what to do next, and at which level."""
    node = tree.node[level]
    if state == _WHOLE:
        i, child, count = node[BUFFER], level + 1, node[COUNT] - 1
        node[IS_SPLIT], begin, end = 0, node[BEGIN], node[END]
        base, rank = tree.item[i, OFFSET], tree.item[i, RANK]
    else:
        child, count = level + 2, _next_part(tree, level)
        node[IS_SPLIT], begin, end = 1, node[PART_BEGIN], node[PART]
        base, rank = 0, 0
        if count == 0:
            _cross(tree, node[BUFFER], 1)
            return SOLVED, level
    opened = _open(tree, child, level, count, begin, end, base, rank)
    return _DEAD if opened else ABORTED, child


@kernel
def _search(tree: Tree, root: int, count: int, first: int, last: int) -> int:
    """Place the `count` buffers of `tree.order[root]`, which live in sections first..last: depth first, without recursion.

    (Numba's cache does not bring recursive kernels back to life.)
    """
    level = root
    state = _DEAD if _open(tree, root, -1, count, first, last, 0, 0) else ABORTED
    while True:
        node = tree.node[level]
        if state == _DEAD:
            state = _place_next(tree, level) if node[NEXT] < node[FOUND] else FAILED
        elif state in (_WHOLE, _SPLIT):
            state, level = _descend(tree, level, state)
        else:
            level = node[PARENT]
            if level < 0:
                return state
            state = _child_done(tree, level, state)


@kernel
def decide(tree: Tree, capacity: int, max_nodes: int) -> int:
    """Search for an allocation within `capacity`, opening at most `max_nodes` nodes.

    Returns:
        `SOLVED` (offsets in `tree.item[:, OFFSET]`), `FAILED` (there is none) or `ABORTED`.
    """
    item, counter = tree.item, tree.counter
    count, last = item.shape[0], tree.stacked.size
    counter[NODES], counter[TRAIL], counter[CAPACITY] = max_nodes, 0, capacity
    tree.cut[:] = 0
    for i in range(count):
        item[i, OFFSET], item[i, FLOOR] = -1, max(item[i, FIXED], 0)
        tree.order[0, i] = i
        if item[i, FLOOR] + item[i, SIZE] > capacity:
            return FAILED
        _cross(tree, i, 1)
    _sort_rest(tree, 0, count, -1)
    if not _sections_fit(tree, 1, count, 0, last, 0):
        return FAILED
    begin = 0
    for end in range(1, last + 1):
        if end == last or tree.cut[end] == 0:
            gathered = _gather(tree, 1, count, begin, end)
            if gathered > 0:
                status = _search(tree, 2, gathered, begin, end)
                if status != SOLVED:
                    return status
            begin = end
    return SOLVED
