"""Searches that a trained policy guides, as contenders of an evaluation: `runs/x[search=tree,simulations=16]`.

| option | of | what |
|---|---|---|
| `search` | | `beam`, `tree` or `climb` |
| `width` | beam | partial schedules that are kept (16) |
| `score` | beam | `log_probability` (default) or `bound` |
| `simulations` | tree | schedules completed at a searched decision (16) |
| `decisions` | tree | decisions that are searched (32) |
| `temperature` | tree, climb | of considered actions, rollouts and samples (the policy's own) |
| `time_limit` | tree | seconds for an instance (none) |
| `samples` | climb | schedules of the policy that the local search starts from the best of (8) |
| `evaluations` | climb | schedules that are tried, those included (1000) |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from makespan.agents.climbing import climb
from makespan.agents.contenders import Contender, PolicySpecError
from makespan.agents.demonstrations import make_batch
from makespan.agents.network import ActorCritic
from makespan.agents.progress import Progress
from makespan.agents.search import SearchResult, beam
from makespan.agents.tree_search import tree
from makespan.agents.trials import Result, Run, shape_of


def search_all(run: Run, contender: Contender) -> list[Result]:
    """What the search of a contender makes of every instance.

    Raises:
        PolicySpecError: The search does not take its options.
    """
    spec, factory = contender.spec, contender.factory
    assert factory is not None
    networks: dict[tuple[int, ...], ActorCritic] = {}
    results = []
    with Progress(spec.text, len(run.cases), unit="instance", terminal=run.progress) as progress:
        for case in run.cases:
            shape = shape_of(case.instance)
            if shape not in networks:
                schema = make_batch(run.env_id, contender.options, [case.instance]).schema
                networks[shape] = factory.network(schema)
            try:
                found = _search(run, contender, networks[shape], case.instance, factory.temperature)
            except (TypeError, ValueError) as error:
                raise PolicySpecError(f"policy {spec.text!r}: {error}") from error
            results.append(
                Result(
                    schedule=found.schedules[0],
                    claimed=float(found.objectives[0]),
                    decisions=int(found.decisions[0]),
                    seconds=float(found.seconds[0]),
                )
            )
            progress.update(1)
    return results


def _search(
    run: Run, contender: Contender, network: ActorCritic, instance: Any, temperature: float
) -> SearchResult:
    options: dict[str, Any] = dict(contender.spec.options)
    kind = options.pop("search")
    env: Mapping[str, Any] = contender.options
    if kind == "beam":
        return beam(network, run.env_id, env, [instance], int(options.pop("width", 16)), **options)
    options = {"temperature": temperature, **options}
    if kind == "climb":
        return climb(network, run.env_id, env, [instance], seed=run.seed, **options)
    limit = float(options.pop("time_limit", float("inf")))
    return tree(network, run.env_id, env, [instance], time_limit_s=limit, seed=run.seed, **options)
