"""The independent judge of transfer schedules: written from the problem's definition, and from nothing else.

Rows are read as `schedules` describes them. Checked are: every glass is processed once in each stage, in a chamber of it, for its
time, and carried by one robot from each station to the next; processes begin when loading ends, unloading does not begin
before the process has ended or the glass has arrived, and glasses are taken from the load port in order; a robot loads and
unloads one glass at a time, has the time to go from station to station, and never holds more glasses than it has hands; a
chamber holds one glass from the beginning of loading to the end of unloading; waits and ways are told as they were.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import NamedTuple

from makespan.envs.core.errors import InvalidScheduleError
from makespan.envs.core.schedule import Schedule
from makespan.envs.transfer_robot.instance import TransferCell

KINDS = ("process", "wait", "unload", "load", "travel")
Row = tuple[int, int, int]  # resource, start, end
Rows = dict[tuple[int, int], Row]  # by glass and task


class _Handling(NamedTuple):
    """A robot at work at a station."""

    start: int
    end: int
    station: int
    label: str


def validate(cell: TransferCell, schedule: Schedule) -> int:
    """Check a complete schedule against its cell and compute the penalised makespan.

    Args:
        cell: The cell.
        schedule: Rows of the kinds "process", "wait", "unload", "load" and "travel", in any order.

    Returns:
        Makespan plus `penalty` for every violated residency limit, in time units.

    Raises:
        InvalidScheduleError: With one sentence for each violation.
    """
    table: dict[str, list[tuple[int, ...]]] = {kind: [] for kind in KINDS}
    violations = []
    columns = (schedule.job, schedule.task, schedule.resource, schedule.start, schedule.end)
    for kind, *values in zip(schedule.kinds, *(column.tolist() for column in columns), strict=True):
        if kind in table:
            table[kind].append(tuple(values))
        else:
            violations.append(f"kind {kind!r} has no meaning here; expected {', '.join(KINDS)}")
    processes, missing = _one_each(cell, table["process"], "process", cell.num_stages)
    violations += missing
    unloads, missing = _one_each(cell, table["unload"], "unload", cell.num_stages + 1)
    violations += missing
    loads, missing = _one_each(cell, table["load"], "load", cell.num_stages + 1)
    violations += missing
    violations += _place_violations(cell, processes, unloads, loads)
    if violations:  # what follows looks at every glass's whole way
        raise InvalidScheduleError(list(dict.fromkeys(violations)))
    violations += _process_violations(cell, processes, unloads, loads)
    violations += _robot_violations(cell, processes, unloads, loads, table["travel"])
    violations += _hand_violations(cell, unloads, loads)
    violations += _chamber_violations(cell, processes, unloads, loads)
    violations += _wait_violations(processes, unloads, table["wait"])
    if violations:
        raise InvalidScheduleError(violations)
    makespan = max(end for (_, hop), (_, _, end) in loads.items() if hop == cell.num_stages)
    return makespan + cell.penalty * count_violations(cell, schedule)


def count_violations(cell: TransferCell, schedule: Schedule) -> int:
    """Residency limits that a valid schedule violates, one at most a glass and stage."""
    count = 0
    columns = (schedule.job, schedule.task, schedule.start, schedule.end)
    for kind, glass, stage, start, end in zip(
        schedule.kinds, *(column.tolist() for column in columns), strict=True
    ):
        if kind == "wait":
            limit = int(cell.limit[cell.recipe[glass], stage])
            count += 0 <= limit < end - start
    return count


def _one_each(
    cell: TransferCell, rows: list[tuple[int, ...]], kind: str, tasks: int
) -> tuple[Rows, list[str]]:
    """The row of each glass and task, and what is missing, twice or strange."""
    found: Rows = {}
    violations = []
    for glass, task, *rest in rows:
        if not (0 <= glass < cell.num_glasses and 0 <= task < tasks):
            violations.append(f"{kind}: glass {glass} task {task}, which the cell does not have")
        elif (glass, task) in found:
            violations.append(f"{kind}: glass {glass} task {task} twice; expected once")
        else:
            found[glass, task] = (rest[0], rest[1], rest[2])
    for pair in itertools.product(range(cell.num_glasses), range(tasks)):
        if pair not in found:
            violations.append(f"{kind}: glass {pair[0]} task {pair[1]} is missing; expected once")
    return found, violations


def _place_violations(cell: TransferCell, processes: Rows, unloads: Rows, loads: Rows) -> list[str]:
    """Chambers of the right stage, and one robot a hop."""
    violations = []
    first = [sum(cell.chambers[:stage].tolist()) for stage in range(cell.num_stages + 1)]
    for (glass, stage), (chamber, _, _) in processes.items():
        if not first[stage] <= chamber < first[stage + 1]:
            violations.append(
                f"glass {glass} is processed in chamber {chamber}; "
                f"expected {first[stage]}..{first[stage + 1] - 1} for stage {stage}"
            )
    robots = range(cell.num_chambers, cell.num_chambers + cell.num_robots)
    for key in unloads.keys() & loads.keys():
        one, other = unloads[key][0], loads[key][0]
        if one not in robots or one != other:
            violations.append(
                f"glass {key[0]} is unloaded by resource {one} and loaded by {other} in hop {key[1]}; expected one robot, "
                f"{robots.start}..{robots.stop - 1}"
            )
    return violations


def _source(processes: Rows, glass: int, hop: int) -> int:
    """The station where a hop begins."""
    return 0 if hop == 0 else processes[glass, hop - 1][0] + 1


def _target(cell: TransferCell, processes: Rows, glass: int, hop: int) -> int:
    """The station where a hop ends."""
    return cell.num_chambers + 1 if hop == cell.num_stages else processes[glass, hop][0] + 1


def _process_violations(cell: TransferCell, processes: Rows, unloads: Rows, loads: Rows) -> list[str]:
    """Processes last as long as they do and come after loading; unloading comes after them, or after the arrival."""
    violations = []
    for (glass, stage), (_, start, end) in processes.items():
        time = int(cell.process[cell.recipe[glass], stage]) + int(cell.delay[glass, stage])
        where = f"glass {glass} stage {stage}"
        if end - start != time:
            violations.append(f"{where}: processed from {start} to {end}; it takes {time}")
        if loads[glass, stage][2] != start:
            violations.append(
                f"{where}: loaded at {loads[glass, stage][2]}, processed from {start}; expected at once"
            )
        if unloads[glass, stage + 1][1] < end:
            violations.append(f"{where}: unloaded at {unloads[glass, stage + 1][1]}, processed until {end}")
    for glass in range(cell.num_glasses):
        begin = unloads[glass, 0][1]
        if begin < int(cell.release[glass]):
            violations.append(f"glass {glass} is taken up at {begin}; it arrives at {cell.release[glass]}")
        if glass and begin < unloads[glass - 1, 0][1]:
            violations.append(f"glass {glass} is taken from the load port before glass {glass - 1}")
    for key, (_, _, end) in unloads.items():
        if loads[key][1] < end:
            violations.append(
                f"glass {key[0]} hop {key[1]}: loading begins before unloading has ended, at {end}"
            )
    return violations


def _robot_violations(
    cell: TransferCell, processes: Rows, unloads: Rows, loads: Rows, travels: list[tuple[int, ...]]
) -> list[str]:
    """Handling takes its time, one at a time, with time to go between stations; the ways are those in the table."""
    violations = []
    works: dict[int, list[_Handling]] = defaultdict(list)
    for kind, rows in (("unload", unloads), ("load", loads)):
        for (glass, hop), (robot, start, end) in rows.items():
            into = kind == "load"
            station = _target(cell, processes, glass, hop) if into else _source(processes, glass, hop)
            time = int((cell.load_time if into else cell.unload_time)[station])
            label = f"{kind} of glass {glass} hop {hop}"
            if end - start != time:
                violations.append(f"{label} lasts from {start} to {end}; it takes {time}")
            works[robot].append(_Handling(start, end, station, label))
    ways: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # station, start, end
    for _, station, robot, start, end in travels:
        ways[robot].append((station, start, end))
    for robot in set(ways) - set(works):
        violations.append(f"resource {robot} travels, but handles nothing; expected no such row")
    for robot, work in works.items():
        violations += _way_violations(cell, robot, sorted(work), ways[robot])
    return violations


def _way_violations(
    cell: TransferCell, robot: int, work: list[_Handling], ways: list[tuple[int, int, int]]
) -> list[str]:
    """One robot's day: the time between its works, and its ways in between."""
    violations = []
    home = int(cell.home[robot - cell.num_chambers])
    before = [_Handling(0, 0, home, "start"), *work]
    told = sorted(ways, key=lambda way: (way[1], way[2]))
    for last, this in itertools.pairwise(before):
        time = int(cell.travel[last.station, this.station])
        if this.start - last.end < time:
            violations.append(
                f"robot {robot}: {this.label} begins {this.start - last.end} after {last.label}; the way takes {time}"
            )
        if time == 0:
            continue
        way = told.pop(0) if told else None
        good = way is not None and way[0] == this.station and way[2] - way[1] == time
        if way is None or not good or way[1] < last.end or way[2] > this.start:
            violations.append(
                f"robot {robot}: way to {this.label} is told as {way}; it takes {time} from {last.end} on"
            )
    if told:
        violations.append(f"robot {robot}: {len(told)} ways too many, the first {told[0]}")
    return violations


def _hand_violations(cell: TransferCell, unloads: Rows, loads: Rows) -> list[str]:
    """No robot holds more glasses than it has hands, from the beginning of unloading to the end of loading."""
    violations = []
    for robot, hands in enumerate(cell.hands.tolist(), cell.num_chambers):
        changes = []
        for key, (resource, start, _) in unloads.items():
            if resource == robot and loads[key][2] > start:
                changes += [(start, 1), (loads[key][2], -1)]
        held = 0
        for time, change in sorted(
            changes
        ):  # what is put down at a moment leaves room for what is taken up then
            held += change
            if held > hands:
                violations.append(f"robot {robot} holds {held} glasses at {time}; it has {hands} hands")
                break
    return violations


def _chamber_violations(cell: TransferCell, processes: Rows, unloads: Rows, loads: Rows) -> list[str]:
    """A chamber holds one glass, from the beginning of loading to the end of unloading."""
    stays: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for (glass, stage), (chamber, _, _) in processes.items():
        stays[chamber].append((loads[glass, stage][1], unloads[glass, stage + 1][2], glass))
    violations = []
    for chamber, occupations in stays.items():
        for one, other in itertools.pairwise(sorted(occupations)):
            if other[0] < one[1]:
                violations.append(
                    f"chamber {chamber}: glass {other[2]} comes in at {other[0]}, glass {one[2]} is out at {one[1]}"
                )
    return violations


def _wait_violations(processes: Rows, unloads: Rows, waits: list[tuple[int, ...]]) -> list[str]:
    """The "wait" rows are the times between processes and unloading, no more and no less."""
    expected = {
        (glass, stage, chamber, end, unloads[glass, stage + 1][1])
        for (glass, stage), (chamber, _, end) in processes.items()
        if unloads[glass, stage + 1][1] > end
    }
    told = set(waits)
    odd = [f"wait {row} is told; there is none" for row in sorted(told - expected)]
    odd += [f"wait {row} (glass, stage, chamber, start, end) is missing" for row in sorted(expected - told)]
    return odd + (["a wait is told twice; expected once"] if len(waits) > len(told) else [])
