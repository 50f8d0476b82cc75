"""The transfer cell's decision graph: glasses where they are, stations along the flow, robots."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw
from makespan.envs.transfer_robot.instance import MOST_ROBOTS

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

GLASS_FEATURES: Final = (
    Feature("in_port", "1 while it is in the load port", high=1.0),
    Feature(
        "in_chamber", "1 while it is in a chamber, or on its way to one that a robot has chosen", high=1.0
    ),
    Feature("carried", "1 while a robot has it, or will fetch it next", high=1.0),
    Feature("stage", "stages behind it and present / (stages + 1)", high=1.0),
    Feature("remaining", "shortest way to the port out, from its next unloading on / (tact * (stages + 1))"),
    Feature("ready_in", "time until its process should end (in the port: until it arrives) / tact"),
    Feature("waited", "time since its process ended, or since it was taken up / tact"),
    Feature("limit_left", "(residency limit - time waited) / tact, 0 without limit", low=-100.0),
    Feature("limited", "1 if its stay has a limit", high=1.0),
    Feature("overdue", "1 if that limit is violated", high=1.0),
    Feature("order", "its number / glasses", high=1.0, static=True),
)
STATION_FEATURES: Final = (
    Feature("occupied", "1 while a glass is in it or on its way", high=1.0),
    Feature("coming", "1 while a robot brings a glass", high=1.0),
    Feature("processing", "1 while a process runs", high=1.0),
    Feature("ready", "1 while a glass waits in it", high=1.0),
    Feature("claimed", "1 while a robot is on its way to fetch the glass, or does", high=1.0),
    Feature("ready_in", "time until the glass should be ready / tact"),
    Feature("waited", "time since it has been ready / tact"),
    Feature("left", "occupation of the stage by glasses to come / (chambers of the stage * tact * glasses)"),
    Feature("way", "time from the asked robot's station / tact"),
    Feature("is_port_in", "1 for the load port in", high=1.0, static=True),
    Feature("is_port_out", "1 for the load port out", high=1.0, static=True),
    Feature("stage", "its stage / (stages + 1)", high=1.0, static=True),
    Feature("share", "1 / chambers of its stage", high=1.0, static=True),
    Feature("load", "time to load / tact", static=True),
    Feature("unload", "time to unload / tact", static=True),
    Feature("process", "mean process time of the lot / tact", static=True),
    Feature(
        "bottleneck", "occupation by the whole lot / (chambers of the stage * tact * glasses)", static=True
    ),
)
ROBOT_FEATURES: Final = (
    Feature("asked", "1 if the decision is about this robot", high=1.0),
    Feature("fetches", "1 while it fetches a glass", high=1.0),
    Feature("delivers", "1 while it delivers one", high=1.0),
    Feature("busy_for", "time until its move should end / tact"),
    Feature("full", "hands with a glass / 2", high=1.0),
    Feature("first", "stages behind the glass in its first hand / (stages + 1), 0 if empty", high=1.0),
    Feature("second", "the same of its second hand", high=1.0),
    Feature("hands", "hands / 2", high=1.0, static=True),
)
SYSTEM_FEATURES: Final = (
    Feature("progress", "moves begun / moves of the lot", high=1.0),
    Feature("waiting", "glasses at the load port / glasses", high=1.0),
    Feature("bound", "(lower bound - LB0) / LB0"),
    Feature("now", "time / LB0"),
    Feature("violations", "violated limits / glasses"),
    Feature("allowed", "allowed candidates / candidates", high=1.0),
    Feature("robots", f"robots / {MOST_ROBOTS}", high=1.0, static=True),
    Feature("hands", "hands in all / 4", high=1.0, static=True),
    Feature("penalty", "penalty of a violation / tact", static=True),
    Feature("ratio", "least time that the robots need for a glass, shared by them / tact", static=True),
)
CANDIDATE_FEATURES: Final = (
    Feature("is_fetch", "1 if the robot would fetch a glass", high=1.0),
    Feature("is_delivery", "1 if it would deliver one", high=1.0),
    Feature("is_wait", "1 for the decision to wait", high=1.0),
    Feature("is_port", "1 if it would go to a load port", high=1.0),
    Feature("way", "time to get there / tact"),
    Feature("idle", "time that it should have to wait there / tact"),
    Feature("duration", "time until it should be free again / tact"),
    Feature("stage", "stages behind the glass / (stages + 1)", high=1.0),
    Feature("waited", "time for which the glass has been ready or carried / tact"),
    Feature("limit_left", "(residency limit - time waited at arrival) / tact, 0 without limit", low=-100.0),
    Feature("violates", "1 if the limit is or would be violated", high=1.0),
    Feature("room", "share of the next stage's chambers that are empty", high=1.0),
    Feature("next_ready", "time until one of them is empty or its glass should be ready / tact"),
    Feature(
        "makes_room", "1 if it fetches from the stage that a glass in its other hand waits for", high=1.0
    ),
    Feature("fills", "1 if all its hands are full afterwards", high=1.0),
    Feature("process", "process time at the next stage / tact"),
    Feature("next_left", "occupation of the next stage by glasses to come / (its chambers * tact * glasses)"),
    Feature(
        "next_bottleneck", "occupation of the next stage by the whole lot / (its chambers * tact * glasses)"
    ),
    Feature(
        "bottleneck",
        "occupation of the glass's present stage by the whole lot / (its chambers * tact * glasses)",
    ),
    Feature("followers", "share of the chambers of the stage before in which a glass is ready", high=1.0),
    raw("glass", "number of the glass"),
    raw("ready_time", "when the glass is ready, should be, was released, or was taken up, time units"),
    raw("travel_time", "time to get there, time units"),
    raw("begin", "when unloading or loading should begin, time units"),
    raw("stage_number", "stages behind the glass"),
    raw("delivers", "1 for a delivery"),
    raw("room_count", "empty chambers of the next stage; 1 for the port out"),
    raw("exchanges", "1 if it fetches from the stage that a glass in its other hand waits for"),
    raw("next_process_time", "process time at the next stage, 0 at the port out"),
    raw("time_left", "residency limit - time waited by the time of the decision; 2**23 without limit"),
    raw("now", "time"),
)


def transfer_schema(num_glasses: int, num_chambers: int, num_robots: int, max_hands: int) -> GraphSchema:
    """The decision graph of cells of at most this size."""
    N, C, R = num_glasses, num_chambers, num_robots
    return GraphSchema(
        nodes=(
            NodeType("glass", N, GLASS_FEATURES, "task", sparse=True),
            NodeType("station", C + 2, STATION_FEATURES, "resource"),
            NodeType("robot", R, ROBOT_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType("located", "glass", "station", N, static=False),
            EdgeType("carried", "glass", "robot", N, static=False),
            EdgeType("at", "robot", "station", R, static=False),
            # consecutive stages: most edges where all chambers are in two halves
            EdgeType(
                "flow",
                "station",
                "station",
                (C + 2) ** 2 // 4,
                (Feature("way", "time from station to station / tact", static=True),),
                acyclic=True,
            ),
        ),
        candidates=CandidateType(
            (1 + max_hands) * (C + 1) + 1, ("glass", "station", "robot"), CANDIDATE_FEATURES
        ),
    )


class Graph(NamedTuple):
    """The observation buffers that kernels write, as in the schema, with a leading batch axis B."""

    glass_x: F32
    glass_mask: NDArray[np.int8]  # (B, N)
    glass_count: I32  # (B, 1)
    station_x: F32
    station_count: I32
    robot_x: F32
    robot_count: I32
    system_x: F32
    system_count: I32
    located_index: I32  # (B, 2, N)
    carried_index: I32  # (B, 2, N)
    at_index: I32  # (B, 2, R)
    flow_index: I32  # (B, 2, E)
    flow_x: F32  # (B, E, 1)
    candidate_index: I32  # (B, A, 3)
    candidate_x: F32
    action_mask: NDArray[np.int8]  # (B, A)


def graph_views(buffers: dict[str, NDArray[Any]]) -> Graph:
    """The kernels' view of a batch of observations."""
    return Graph(**{key: buffers[key] for key in Graph._fields})
