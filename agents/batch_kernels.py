"""Compiled loops that turn padded observations into ragged arrays, and edges into groups."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.kernels import inlined_kernel, kernel

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]


@kernel
def first_rows(counts: Ints, height: int) -> Ints:
    """Numbers of the first `counts[b]` (B,) of each `height` rows, all graphs' rows numbered on."""
    rows = np.empty(counts.sum(), np.int64)
    k = 0
    for b in range(counts.size):
        for i in range(counts[b]):
            rows[k] = b * height + i
            k += 1
    return rows


@kernel
def marked_rows(mask: NDArray[np.int8]) -> tuple[Ints, Ints]:
    """Numbers of the rows (m,) of a mask (B, n) that are not 0, all graphs' rows numbered on, and their counts (B,)."""
    counts = np.zeros(mask.shape[0], np.int64)
    for b in range(mask.shape[0]):
        for i in range(mask.shape[1]):
            counts[b] += mask[b, i] != 0
    rows = np.empty(counts.sum(), np.int64)
    k = 0
    for b in range(mask.shape[0]):
        for i in range(mask.shape[1]):
            if mask[b, i] != 0:
                rows[k] = b * mask.shape[1] + i
                k += 1
    return rows, counts


@kernel
def take(table: Floats, rows: Ints, columns: Ints) -> Floats:
    """Some columns (f,) of some rows (m,) of a table (n, F): (m, f)."""
    out = np.empty((rows.size, columns.size), np.float32)
    for k in range(rows.size):
        for c in range(columns.size):
            out[k, c] = table[rows[k], columns[c]]
    return out


@kernel
def used_edges(
    index: NDArray[np.int32], sources: Ints, targets: Ints, first_source: Ints, first_target: Ints, sort: bool
) -> tuple[Ints, Ints, Ints]:
    """The used edges of padded graphs.

    Args:
        index: (B, 2, E) source and target within their graphs, -1 where unused.
        sources: (B, n) new number of each source row of a graph; (0, 0) where rows keep their numbers.
        targets: Of the targets, likewise.
        first_source: (B,) number of each graph's first source.
        first_target: (B,) number of each graph's first target.
        sort: Whether edges are to follow the numbers of their sources.

    Returns:
        Rows (m,) of the edges, all graphs' rows numbered on, and each one's source and target, likewise.
    """
    B, _, E = index.shape
    total = 0
    for b in range(B):
        for e in range(E):
            total += index[b, 0, e] >= 0
    rows, source, target = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    k = 0
    for b in range(B):
        for e in range(E):
            if index[b, 0, e] < 0:
                continue
            s, t = np.int64(index[b, 0, e]), np.int64(index[b, 1, e])
            if sources.size:
                s = sources[b, s]
            if targets.size:
                t = targets[b, t]
            s += first_source[b]
            at = k
            while sort and at > 0 and source[at - 1] > s:  # by insertion, as most are in order
                rows[at], source[at], target[at] = rows[at - 1], source[at - 1], target[at - 1]
                at -= 1
            rows[at], source[at], target[at] = b * E + e, s, t + first_target[b]
            k += 1
    return rows, source, target


@kernel
def grouped(index: Ints, other: Ints, size: int) -> tuple[Ints, Ints, Floats, Ints, Floats, bool]:
    """Rows sorted by the group (m,) they belong to, those of a group in their own order.

    Returns:
        The rows (m,); `other` (m,) in that order; 1 / rows of the same group (m,); where each group (size,) begins; 1 where
        a group has rows (size, 1), 0 elsewhere; and whether all have.
    """
    place, first = np.zeros(size, np.int64), np.empty(size, np.int64)
    some, begin, all_have = np.ones((size, 1), np.float32), 0, True
    for k in range(index.size):
        place[index[k]] += 1
    for n in range(size):
        count = place[n]
        first[n] = place[n] = begin
        begin += count
        if count == 0:
            some[n, 0], all_have = 0.0, False
    order, there = np.empty(index.size, np.int64), np.empty(index.size, np.int64)
    for k in range(index.size):
        at = place[index[k]]
        order[at], there[at] = k, other[k]
        place[index[k]] = at + 1
    share = np.empty(index.size, np.float32)
    for n in range(size):
        for at in range(first[n], place[n]):
            share[at] = 1.0 / (place[n] - first[n])
    return order, there, share, first, some, all_have


@kernel
def composed(
    own: Ints, task: Ints, sources: Ints, targets: Ints, shift: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Follow edges (k,) by the edges (E,) that leave their ends.

    Args:
        own: (k,) where each first edge begins.
        task: (k,) where it ends.
        sources: (E,) where each second edge begins, in ascending order.
        targets: (E,) where it ends.
        shift: (k,) added to the targets that a first edge leads to.

    Returns:
        Of each pair (p,): its beginning, its end, and the numbers of its first and its second edge.
    """
    begin = np.searchsorted(sources, task, side="left")
    end = np.searchsorted(sources, task, side="right")
    total = (end - begin).sum()
    source, target = np.empty(total, np.int64), np.empty(total, np.int64)
    first, second = np.empty(total, np.int64), np.empty(total, np.int64)
    p = 0
    for k in range(own.size):
        for e in range(begin[k], end[k]):
            source[p], target[p], first[p], second[p] = own[k], targets[e] + shift[k], k, e
            p += 1
    return source, target, first, second


@kernel
def pointed_rows(
    table: NDArray[np.int32], rows: Ints, column: int, numbers: Ints, graph: Ints, first: Ints
) -> tuple[Ints, bool]:
    """What pointers within graphs point at, all graphs' rows numbered on.

    Args:
        table: (n, k) pointers, -1 for none.
        rows: (m,) those that are read.
        column: Where they are read.
        numbers: (B, n) new number of each row of a graph; (0, 0) where rows keep their numbers.
        graph: (m,) graph of each pointer.
        first: (B,) number of each graph's first row.

    Returns:
        The rows (m,), -1 for none, and whether all point at one.
    """
    out, all_point = np.empty(rows.size, np.int64), True
    for k in range(rows.size):
        local = np.int64(table[rows[k], column])
        if local >= 0 and numbers.size:
            local = numbers[graph[k], local]
        if local >= 0:
            out[k] = local + first[graph[k]]
        else:
            out[k], all_point = -1, False
    return out, all_point


@kernel
def wanted_rows(size: int, index: Ints) -> tuple[Ints, Ints]:
    """The rows (k,) of a table of some size that an index (m,) points at, and the place (size,) of each row among them.

    Row 0 stands for -1, which points at none.
    """
    mark = np.zeros(size, np.bool_)
    for k in range(index.size):
        if size > 0:
            mark[max(index[k], 0)] = True
    rows, place = np.empty(mark.sum(), np.int64), np.zeros(size, np.int64)
    k = 0
    for row in range(size):
        if mark[row]:
            rows[k], place[row] = row, k
            k += 1
    return rows, place


@kernel
def mark_changed(
    now: NDArray[np.float32], before: NDArray[np.float32], columns: Ints, changed: NDArray[np.bool_]
) -> None:
    """Mark the graphs (B,) of which some columns (f,) of their features (B, n, F) differ from before."""
    for b in range(now.shape[0]):
        for i in range(now.shape[1]):
            for c in range(columns.size):
                if now[b, i, columns[c]] != before[b, i, columns[c]]:
                    changed[b] = True


@kernel
def number_rows(
    words: NDArray[np.int32], columns: Ints, known: NDArray[np.int32], count: int, table: Ints
) -> tuple[Ints, int]:
    """Look rows up in a hash table, and enter those that are new.

    Args:
        words: (n, W) the rows, bit by bit.
        columns: (w,) what of a row counts.
        known: (K, w) the rows known so far, K at least `count` + n; written.
        count: How many are known so far.
        table: (T,) number of a known row by its hash, -1 where free, T a power of two above `count` + n; written.

    Returns:
        The number (n,) of each row, and how many are known now.
    """
    number, last = np.empty(words.shape[0], np.int64), np.uint64(table.size - 1)
    for k in range(words.shape[0]):
        key = np.uint64(14695981039346656037)  # FNV-1a, word by word
        for c in range(columns.size):
            key = (key ^ np.uint64(np.uint32(words[k, columns[c]]))) * np.uint64(1099511628211)
        at = (key ^ (key >> np.uint64(32))) & last
        while table[at] >= 0 and not _equal(known[table[at]], words[k], columns):
            at = (at + np.uint64(1)) & last
        if table[at] < 0:
            table[at] = count
            for c in range(columns.size):
                known[count, c] = words[k, columns[c]]
            count += 1
        number[k] = table[at]
    return number, count


@inlined_kernel
def _equal(known: NDArray[np.int32], row: NDArray[np.int32], columns: Ints) -> bool:
    same = True
    for c in range(columns.size):
        same &= known[c] == row[columns[c]]
    return same


@kernel
def best_candidates(scores: Floats, slot: Ints, graph: Ints, num_graphs: int) -> Ints:
    """The slot (B,) of each graph's highest score (C,), the first of equals; graphs follow each other."""
    best, action = np.full(num_graphs, -np.inf, np.float32), np.zeros(num_graphs, np.int64)
    for k in range(scores.size):
        if scores[k] > best[graph[k]]:
            best[graph[k]], action[graph[k]] = scores[k], slot[k]
    return action
