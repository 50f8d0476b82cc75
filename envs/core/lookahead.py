"""What a fixed rule would make of each candidate: the numbers of the pilot method, for any simulator that copies its state.

For every candidate of a decision a copy of the simulator takes it and lets a rule finish; the objective reached is
the candidate's value (Duin & Voss, 1999, Networks 34(3); as rollout algorithm Bertsekas, Tsitsiklis & Wu, 1997, J. of
Heuristics 3). A family declares the columns with `with_lookahead`, fills an array of values (A, R) by a kernel of its own,
and has `write_lookahead` turn them into columns, which networks read and the policy `PilotPolicy` follows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import CandidateView, Feature, GraphSchema, Observation, raw
from makespan.envs.core.kernels import kernel
from makespan.envs.core.policy import Actions

SEPARATOR: Final = "/"  # between the names of rules
_MOST: Final = np.float32(100.0)  # the features' limit
_OVERALL: Final = 3  # columns over all rules: behind, best, value


def parse_lookahead(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Rules named in `text`, "spt/fifo"; "" names none.

    Raises:
        UnknownNameError: One of them is not among the known.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(SEPARATOR))) if text else ()
    for name in names:
        if name not in known:
            raise UnknownNameError("rule to look ahead by", name, known)
    return names


def with_lookahead(schema: GraphSchema, rules: tuple[str, ...], unit: str) -> GraphSchema:
    """The schema with the columns that `write_lookahead` fills behind its own; unchanged without rules.

    Args:
        schema: Of a family whose objective is minimised; its last node type is the system.
        rules: Rules that finish.
        unit: What values are divided by, as descriptions name it.
    """
    if not rules:
        return schema
    own: list[Feature] = []
    for name in rules:
        own += [
            Feature(f"{name}_above", f"(value by {name} - lower bound) / {unit}", low=-100.0),
            Feature(f"{name}_behind", f"(value by {name} - least of the candidates) / {unit}"),
        ]
    own += [
        Feature("behind", f"(value by the best rule - least of all candidates and rules) / {unit}"),
        Feature("leads", "1 if no candidate has a smaller value by any rule", high=1.0),
        raw("value", "objective reached by the best of the rules after this candidate"),
    ]
    candidates = replace(schema.candidates, features=(*schema.candidates.features, *own))
    *others, system = schema.nodes
    above = Feature("above", f"(least value of all candidates and rules - lower bound) / {unit}", low=-100.0)
    nodes = (*others, replace(system, features=(*system.features, above)))
    return replace(schema, nodes=nodes, candidates=candidates)


@kernel
def write_lookahead(
    values: NDArray[np.int64],
    mask: NDArray[np.int8],
    bound: int,
    scale: np.float32,
    x: NDArray[np.float32],
    system: NDArray[np.float32],
) -> None:
    """Fill the columns that `with_lookahead` declared, the last ones of `x` and `system`.

    Args:
        values: (A, R) objective reached after each allowed candidate by each rule.
        mask: (A,).
        bound: The lower bound now.
        scale: 1 / the unit of the features.
        x: (A, F) of the candidates.
        system: (F,) of the system.
    """
    num_candidates, num_rules = values.shape
    first = x.shape[1] - 2 * num_rules - _OVERALL
    overall = first + 2 * num_rules
    least_of_all = values.max()
    for r in range(num_rules):
        least = values.max()
        for a in range(num_candidates):
            if mask[a]:
                least = min(least, values[a, r])
        least_of_all = min(least_of_all, least)
        for a in range(num_candidates):
            if mask[a]:
                x[a, first + 2 * r] = max(-_MOST, min(_MOST, (values[a, r] - bound) * scale))
                x[a, first + 2 * r + 1] = min(_MOST, (values[a, r] - least) * scale)
    for a in range(num_candidates):
        if mask[a]:
            best = values[a].min()
            x[a, overall] = min(_MOST, (best - least_of_all) * scale)
            x[a, overall + 1] = 1.0 if best == least_of_all else 0.0
            x[a, overall + 2] = best
    system[system.size - 1] = max(-_MOST, min(_MOST, (least_of_all - bound) * scale))


class PilotPolicy:
    """The candidate after which the rules reach the least objective; ties go to the lower candidate.

    Args:
        schema: With the columns of `with_lookahead`.
        seed: Of nothing: the policy is deterministic.
        lookahead: Rules that the environment has to look ahead by.

    Raises:
        UnknownNameError: The schema has no such columns.
    """

    def __init__(self, schema: GraphSchema, seed: int = 0, *, lookahead: str = "") -> None:
        for rule in lookahead.split(SEPARATOR) if lookahead else ():
            schema.action_feature(f"{rule}_above")
        schema.action_feature("value")
        self.schema = schema

    def act(self, observation: Observation) -> Actions:
        """The candidate of least value (B,)."""
        view = CandidateView(self.schema, observation)
        actions: Actions = np.where(view.mask, view["value"], np.inf).argmin(axis=-1)
        return actions
