"""The fleet's decision graph: what its nodes, routes and candidates are, and what is known of them.

Aircraft belong to vertiports, vertiports to the network; routes join vertiports. `critic_x` alone sees the realisation.
"""

from __future__ import annotations

from typing import Final

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw

SERIES: Final = 8  # half hours of forecast and fares that a policy is shown, the present one included
LIMIT: Final = 100.0

AIRCRAFT_FEATURES: Final = (
    Feature("decider", "1 for the aircraft that decides now", high=1.0),
    Feature("parked", "1 if it stands at a vertiport, and charges not", high=1.0),
    Feature("charging", "1 if it is on a charger", high=1.0),
    Feature("flying", "1 if it is on the way to its vertiport, on the pad or in the air", high=1.0),
    Feature("repair", "1 if it is under repair", high=1.0),
    Feature("done", "1 if it decides no more today", high=1.0),
    Feature("energy", "energy / battery", high=1.0),
    Feature("passengers", "passengers aboard / seats", high=1.0),
    Feature("free_in", "time until its present leg, stay or repair ends / stay time"),
)
VERTIPORT_FEATURES: Final = (
    Feature("east", "distance east of the network's western end / its larger side", high=1.0, static=True),
    Feature("north", "distance north of its southern end / its larger side", high=1.0, static=True),
    Feature("parking", "parking places / aircraft", static=True),
    Feature("chargers", "chargers / parking places", high=1.0, static=True),
    Feature("delay", "mean take-off delay / stay time", static=True),
    Feature("energy_needed", "energy that a landing must leave / battery", high=1.0, static=True),
    Feature("here", "1 where the decider stands", high=1.0),
    Feature("occupancy", "aircraft there or on the way / parking places", high=1.0),
    Feature("inbound", "aircraft on the way / parking places", high=1.0),
    Feature("free_chargers", "free chargers / parking places", high=1.0),
    Feature("waiting_out", "passengers who wait here / seats"),
    Feature("waiting_in", "passengers elsewhere who wait for a flight to here / seats"),
    Feature("forecast_out", "expected passengers from here, this half hour and the next / seats"),
    Feature("forecast_in", "expected passengers to here, this half hour and the next / seats"),
    Feature(
        "outlook",
        "worth of those who wait and are expected here, see `outlook_cents` / (full flight * aircraft)",
    ),
)
NETWORK_FEATURES: Final = (
    Feature("time", "time / length of the day", high=1.0),
    Feature("sine", "sine of the clock time, a turn a day", low=-1.0, high=1.0),
    Feature("cosine", "cosine of the clock time, a turn a day", low=-1.0, high=1.0),
    Feature("parked_share", "aircraft that stand / aircraft", high=1.0),
    Feature("flying_share", "aircraft on the way / aircraft", high=1.0),
    Feature("repair_share", "aircraft under repair / aircraft", high=1.0),
    Feature("mean_energy", "mean energy / battery", high=1.0),
    Feature("waiting", "passengers who wait anywhere / seats of the fleet"),
    Feature("forecast", "expected passengers, this half hour and the next / seats of the fleet"),
    Feature("profit", "profit so far / (full flight * aircraft)", low=-LIMIT),
    Feature("closed_share", "closed routes / routes", high=1.0),
    Feature("energy_price", "price of energy now / highest price of the day", high=1.0),
    Feature("aircraft_share", "aircraft / (aircraft + parking places)", high=1.0, static=True),
)
ROUTE_FEATURES: Final = (
    Feature("flight_time", "time from departure to arrival / stay time", static=True),
    Feature("flight_energy", "energy of a flight / battery", static=True),
    Feature("operating_cost", "operating cost / full flight", static=True),
    Feature("closed", "1 if closed in this hour", high=1.0),
    Feature("queue", "passengers who wait / seats"),
    *(
        Feature(f"demand_{h}", f"expected passengers {h} half hours from now on / seats", series="demand")
        for h in range(SERIES)
    ),
    *(
        Feature(
            f"fare_{h}", f"fare of a full aircraft {h} half hours from now on / full flight", series="fare"
        )
        for h in range(SERIES)
    ),
)
CANDIDATE_FEATURES: Final = (
    Feature("is_stay", "1 for the stay", high=1.0),
    Feature("load", "passengers who would board now / seats", high=1.0),
    Feature("queue", "passengers who wait / seats"),
    Feature("longest_wait", "longest wait among them / patience", high=1.0),
    Feature("block_time", "expected time until the next decision / stay time"),
    Feature("slot_wait", "wait for a corridor beyond take-off time and mean delay / stay time"),
    Feature("energy", "energy of the flight / battery", high=1.0),
    Feature("energy_after", "energy left at its end / battery", high=1.0),
    Feature("margin", "fares - operating cost - energy at the present price / full flight", low=-LIMIT),
    Feature("margin_rate", "the same per stay time of block time and recharging / full flight", low=-LIMIT),
    Feature("charge", "energy that the stay adds / battery", high=1.0),
    Feature("fare", "fare of a full aircraft now / full flight"),
    Feature("expected", "expected passengers of the route, this half hour and the next / seats"),
    Feature("occupancy", "aircraft at the destination or on the way / parking places", high=1.0),
    Feature("free_chargers", "free chargers at the destination / parking places", high=1.0),
    Feature("destination_waiting", "passengers who wait at the destination / seats"),
    Feature("destination_expected", "expected passengers from there, this half hour and the next / seats"),
    Feature(
        "destination_outlook", "the destination's outlook / (full flight * aircraft there or on the way + 1)"
    ),
    raw("passengers", "passengers who would board now"),
    raw("queue_length", "passengers who wait for the destination"),
    raw("first_wait", "longest wait among them, s; -1 if nobody waits"),
    raw("block_seconds", "expected time until the next decision, s"),
    raw("recharge_seconds", "time on a charger that the flight's energy takes, s"),
    raw("flight_seconds", "time from departure to arrival, s"),
    raw("margin_cents", "fares - operating cost - energy at the present price, cents; of a stay, 0"),
    raw("waiting_there", "passengers who wait at the destination for any flight"),
    raw("aircraft_there", "aircraft at the destination or on the way, the decider apart"),
    raw(
        "outlook_cents",
        "what those who wait or are expected at the destination are worth in full flights, cents",
    ),
    raw("energy_missing", "energy that the decider misses now, 0.1 kWh"),
    raw("energy_added", "energy that the stay adds, 0.1 kWh"),
)
CRITIC_FEATURES: Final = (
    *(
        Feature(
            f"arrivals_{h}", f"passengers who will arrive {h} half hours from now on / seats of the fleet"
        )
        for h in range(SERIES)
    ),
    Feature("arrivals_left", "passengers who will still arrive today / (seats of the fleet * half hours)"),
    Feature("closed_next", "closed routes of the next hour / routes", high=1.0),
)


def fleet_schema(num_vertiports: int, num_aircraft: int) -> GraphSchema:
    """The decision graph of fleets of at most this size."""
    V = num_vertiports
    return GraphSchema(
        nodes=(
            NodeType("aircraft", num_aircraft, AIRCRAFT_FEATURES, "task", parent="vertiport"),
            NodeType("vertiport", V, VERTIPORT_FEATURES, "job"),
            NodeType("network", 1, NETWORK_FEATURES, "system"),
        ),
        edges=(EdgeType("route", "vertiport", "vertiport", V * (V - 1), ROUTE_FEATURES),),
        candidates=CandidateType(V, ("aircraft", "vertiport"), CANDIDATE_FEATURES),
        critic_features=CRITIC_FEATURES,
    )
