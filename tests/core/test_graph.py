"""The decision graph's schema: spaces, padding, names, the ragged view, the rendered tables."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import makespan  # noqa: F401
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.core.graph import (
    CandidateType,
    CandidateView,
    EdgeType,
    Feature,
    GraphSchema,
    NodeType,
    raw,
)

SCHEMA = GraphSchema(
    nodes=(
        NodeType(
            "task",
            4,
            (Feature("size", "size / longest", high=1.0, static=True), raw("time", "us")),
            "task",
            "job",
        ),
        NodeType("job", 2, (Feature("left", "tasks left"),), "job"),
    ),
    edges=(
        EdgeType("before", "task", "task", 3, acyclic=True),
        EdgeType("shares", "job", "task", 5, (Feature("amount", "bytes / all bytes", low=-1.0, high=1.0),)),
    ),
    candidates=CandidateType(3, ("task", "job"), (Feature("a", "first"), Feature("b", "second"))),
    critic_features=(Feature("future", "arrivals to come"),),
)


def example() -> dict[str, np.ndarray]:
    """An observation with two tasks of one job, one edge of each type and candidates 0 and 2."""
    observation = {key: array[0] for key, array in SCHEMA.zeros(1).items()}
    observation["task_count"][0], observation["job_count"][0] = 2, 1
    observation["task_parent"][:2] = 0
    observation["before_index"][:, 1] = 0, 1
    observation["shares_index"][:, 0] = 0, 1
    observation["shares_x"][0] = 0.5
    observation["candidate_index"][2] = 1, 0
    observation["candidate_x"][2] = 7.0, 8.0
    observation["action_mask"][[0, 2]] = 1
    return observation


def test_space_has_every_array_with_its_bounds() -> None:
    """Keys, shapes, dtypes and finite bounds follow from the schema alone."""
    shapes = {key: (box.shape, box.dtype) for key, box in SCHEMA.space.spaces.items()}
    f32, i32 = np.dtype(np.float32), np.dtype(np.int32)
    assert shapes == {
        "task_x": ((4, 2), f32),
        "task_count": ((1,), i32),
        "task_parent": ((4,), i32),
        "job_x": ((2, 1), f32),
        "job_count": ((1,), i32),
        "before_index": ((2, 3), i32),
        "shares_index": ((2, 5), i32),
        "shares_x": ((5, 1), f32),
        "candidate_index": ((3, 2), i32),
        "candidate_x": ((3, 2), f32),
        "action_mask": ((3,), np.dtype(np.int8)),
        "critic_x": ((1,), f32),
    }
    assert all(
        np.isfinite(box.low).all() and np.isfinite(box.high).all() for box in SCHEMA.space.spaces.values()
    )
    assert SCHEMA.space["task_x"].low[0].tolist() == [0.0, -(2.0**24)]
    assert SCHEMA.space is SCHEMA.space  # wrappers and checkers compare identities


def test_padding_lies_in_the_space() -> None:
    """An empty batch has indices -1 and zeros elsewhere, and each of its observations is in the space."""
    batch = SCHEMA.zeros(3)
    for key, array in batch.items():
        assert array.shape[0] == 3
        assert (array == (-1 if key.endswith(("_index", "_parent")) else 0)).all()
    assert SCHEMA.space.contains({key: array[1] for key, array in batch.items()})


def test_ragged_view_has_no_padding() -> None:
    """Nodes, edges and candidates that are not there are gone; action numbers remain."""
    view = SCHEMA.ragged(example())
    assert view["task_x"].shape == (2, 2)
    assert view["job_x"].shape == (1, 1)
    assert view["task_parent"].tolist() == [0, 0]
    assert view["before_index"].tolist() == [[0], [1]]
    assert view["shares_x"].tolist() == [[0.5]]
    assert view["action"].tolist() == [0, 2]
    assert view["candidate_x"].tolist() == [[0.0, 0.0], [7.0, 8.0]]
    assert "action_mask" not in view


def test_named_lookup() -> None:
    """Features are found by name, unknown names raise with the nearest one."""
    assert SCHEMA.node_feature("task", "time") == 1
    assert SCHEMA.action_feature("b") == 1
    batch = {key: array[None] for key, array in example().items()}
    np.testing.assert_array_equal(CandidateView(SCHEMA, batch)["b"], [[0.0, 0.0, 8.0]])
    for lookup in (
        lambda: SCHEMA.node("taks"),
        lambda: SCHEMA.edge("befor"),
        lambda: SCHEMA.node_feature("task", "tim"),
        lambda: SCHEMA.action_feature("c"),
    ):
        with pytest.raises(UnknownNameError):
            lookup()


def test_markdown_documents_every_feature() -> None:
    """The rendered tables hold each feature's name and description, and mark raw and static columns."""
    text = SCHEMA.to_markdown()
    for features in ("size", "time", "left", "amount", "a", "b", "future"):
        assert f"| `{features}` |" in text
    assert "| 1 | `time` | us | raw |" in text
    assert "| 0 | `size` | size / longest | static |" in text


@pytest.mark.parametrize("env_id", ["makespan/JobShop-v0", "makespan/FlexibleJobShop-v0"])
def test_ragged_view_of_real_observations(env_id: str) -> None:
    """The ragged view of a played env keeps what the padded one says, and its indices stay inside."""
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=0)
    schema = env.unwrapped.schema  # type: ignore[attr-defined]
    view = schema.ragged(observation)
    for edge in schema.edges:
        source, target = view[f"{edge.name}_index"]
        assert (source < len(view[f"{edge.source}_x"])).all()
        assert (target < len(view[f"{edge.target}_x"])).all()
    assert view["action"].tolist() == np.flatnonzero(observation["action_mask"]).tolist()
    assert len({feature.name for feature in schema.candidates.features}) == len(schema.candidates.features)
