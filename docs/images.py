"""Draw the pictures of the documentation: `python docs/images.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from makespan.agents.evaluation import evaluate
from makespan.envs.core import gantt
from makespan.envs.registration import get_family

FOLDER: Final = Path(__file__).resolve().parent / "images"
POLICIES: Final = {
    "spt_twkr": "dispatching rule (SPT/TWKR)",
    "cp_sat[workers=1]": "solver (CP-SAT)",
}


def main() -> None:
    """The schedule of a rule above an optimal one, on the 10 x 5 shop la01."""
    env_id, name = "makespan/JobShop-v0", "la01"
    family = get_family(env_id)
    result = evaluate(family, env_id, list(POLICIES), family.find_instances(name))
    schedules = {title: result.schedules[policy, name] for policy, title in POLICIES.items()}
    picture = gantt.side_by_side(
        schedules,
        title=f"{name}: 10 jobs on 5 machines",
        reference=666,
        time_label="time units",
        size=(10, 5.2),
    )
    picture.savefig(FOLDER / "gantt.png", dpi=90)


if __name__ == "__main__":
    main()
