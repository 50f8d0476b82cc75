"""The SoC's decision graph: what its nodes, edges and candidates are, and what is known of them."""

from __future__ import annotations

from typing import Final

from makespan.envs.core.graph import CandidateType, EdgeType, Feature, GraphSchema, NodeType, raw

MODES: Final = ("task_pe", "task", "pe")
TASK_PE: Final = 0
TASK: Final = 1
PE_ONLY: Final = 2

# u is the instance's unit of time: the mean critical path of its profiles, each task on its fastest PE.
TASK_FEATURES: Final = (
    Feature("mean_execution", "mean execution over the PEs that can run it / u"),
    Feature("shortest_execution", "execution on the fastest PE / u"),
    Feature("upward_rank", "upward rank / u"),
    Feature("downward_rank", "downward rank / u"),
    Feature("critical_path", "longest path from here on, each task on its fastest PE, / u"),
    Feature("successors", "successors / most successors of any task", high=1.0),
    Feature("predecessors", "predecessors / most predecessors of any task", high=1.0),
    Feature("flexibility", "PEs that can run it / PEs", high=1.0),
    Feature("outstanding", "1 while predecessors are unfinished", high=1.0),
    Feature("ready", "1 while it awaits a decision", high=1.0),
    Feature("committed", "1 while it waits on its PE", high=1.0),
    Feature("running", "1 while it runs", high=1.0),
    Feature("done", "1 once it has ended (shown while a successor is not yet committed)", high=1.0),
    Feature("waiting_for", "unfinished predecessors / predecessors", high=1.0),
    Feature("waited", "time since it became ready, until it starts, / u"),
    Feature("remaining", "expected rest of its run / u"),
    raw("template", "template task of the instance"),
    raw("end", "expected end of a running task, end of a finished one, us"),
)
JOB_FEATURES: Final = (
    Feature("age", "time since arrival / u"),
    Feature("progress", "finished tasks / tasks", high=1.0),
    Feature("remaining_work", "unfinished tasks on their fastest PEs / u"),
    Feature("remaining_path", "longest path through unfinished tasks, each on its fastest PE, / u"),
    Feature("critical_path", "critical path of the whole job / u"),
    Feature("size", "tasks / tasks of the largest profile", high=1.0),
    Feature("ready", "ready tasks / tasks", high=1.0),
    Feature("active", "committed and running tasks / tasks", high=1.0),
    Feature("counted", "1 if its latency counts (it arrived after the warm-up)", high=1.0),
    raw("number", "number of the job"),
    raw("profile", "profile of the job"),
    raw("age_us", "time since arrival, us"),
)
PE_FEATURES: Final = (
    Feature("idle", "1 if nothing runs or waits here", high=1.0),
    Feature("running", "1 while a task runs", high=1.0),
    Feature("available", "(expected end of everything committed here - now) / u"),
    Feature("queue_length", "waiting committed tasks / PEs"),
    Feature("queue_work", "their expected executions / u"),
    Feature("utilisation", "share of the time so far spent on finished tasks", high=1.0),
    Feature(
        "speed", "mean of fastest execution / execution here, over what it can run", high=1.0, static=True
    ),
    Feature("generality", "template tasks it can run / template tasks", high=1.0, static=True),
    Feature("fastest_for", "template tasks that no PE runs faster / template tasks", high=1.0, static=True),
    Feature("cluster_size", "PEs of its cluster / PEs", high=1.0, static=True),
    Feature("transfer", "mean time of the mean volume to another PE / u", static=True),
    raw("available_us", "expected end of everything committed here - now, us"),
)
SYSTEM_FEATURES: Final = (
    Feature("live_jobs", "jobs in slots / slots", high=1.0),
    Feature("waiting_jobs", "jobs waiting outside / slots"),
    Feature("ready_tasks", "ready tasks / PEs"),
    Feature("busy_pes", "running PEs / PEs", high=1.0),
    Feature("remaining_work", "unfinished tasks of all jobs in slots on their fastest PEs / (PEs u)"),
    Feature("next_end", "time to the next expected end of a task / u"),
    Feature("elapsed", "now / horizon, 0 without a horizon", high=1.0),
    raw("now", "time, us"),
)
PRECEDENCE_FEATURES: Final = (Feature("transfer", "mean time of the volume between two PEs / u"),)
ELIGIBILITY_FEATURES: Final = (
    Feature("execution", "execution here / u"),
    Feature("finish", "(earliest finish here - now) / u"),
)
CANDIDATE_FEATURES: Final = (
    Feature("execution", "execution / u"),
    Feature("excess", "(execution - execution on the fastest PE) / u"),
    Feature("data_wait", "time until the data are there / u"),
    Feature("pe_wait", "time until the PE should be free / u"),
    Feature("start", "(earliest start - now) / u"),
    Feature("finish", "(earliest finish - now) / u"),
    Feature("regret", "(earliest finish - the task's earliest finish on any PE) / u"),
    Feature("sufferage", "(the task's second earliest finish - its earliest) / u"),
    Feature("upward_rank", "upward rank / u"),
    Feature("downward_rank", "downward rank / u"),
    Feature("critical_path", "longest path from the task on, each on its fastest PE, / u"),
    Feature("optimistic_cost", "optimistic cost of everything after the task if it runs here / u"),
    Feature("optimistic_regret", "(finish + optimistic cost - their least on any PE) / u"),
    Feature("job_age", "time since the job's arrival / u"),
    Feature("job_path", "longest path through the job's unfinished tasks / u"),
    Feature("job_work", "unfinished tasks of the job on their fastest PEs / u"),
    Feature("job_progress", "finished tasks of the job / tasks", high=1.0),
    Feature("task_wait", "time since the task became ready / u"),
    Feature("idle", "1 if nothing runs or waits on the PE", high=1.0),
    Feature("queue_length", "committed tasks waiting on the PE / PEs"),
    Feature("rivals", "offered tasks whose earliest finish is on this PE / offered tasks", high=1.0),
    Feature("unlocks", "successors that wait for this task alone / most successors of any task", high=1.0),
    Feature("flexibility", "PEs that can run the task / PEs", high=1.0),
    Feature("is_defer", "1 for the decision to leave what is ready until the next event", high=1.0),
    raw("order", "position among the ready tasks, FIFO"),
    raw("execution_us", "execution, us"),
    raw("data_us", "time until the data are there, us"),
    raw("pe_us", "time until the PE should be free, us"),
    raw("start_us", "earliest start - now, us"),
    raw("finish_us", "earliest finish - now, us"),
    raw("shortest_us", "execution on the fastest PE, us"),
    raw("best_us", "the task's earliest finish on any PE - now, us"),
    raw("second_us", "the task's second earliest finish - now, us (the earliest if there is one PE only)"),
    raw("upward", "upward rank, 1/64 us"),
    raw("static_level", "static level: upward rank without communication, 1/64 us"),
    raw("priority_oct", "mean optimistic cost over the PEs, 1/64 us"),
    raw("optimistic_us", "optimistic cost on this PE, us"),
    raw("task_wait_us", "time since the task became ready, us"),
    raw("job_age_us", "time since the job's arrival, us"),
    raw("job_path_us", "longest path through the job's unfinished tasks, us"),
    raw("running", "1 while a task runs on the PE"),
    raw("assigned", "tasks committed to the PE so far"),
)
# Present with the option `rollout_rule`.
ROLLOUT_RULES: Final = ("fifo_eft", "stf", "min_min", "heft_ready")
ROLLOUT_FEATURES: Final = (
    Feature("rollout", "(cost of its cheapest rollout - the least of any candidate's) / the reward's unit"),
    Feature("rollout_best", "1 if no candidate's rollout costs less", high=1.0),
    Feature("rollout_end", "(end of the last job in that rollout - the earliest of any candidate's) / u"),
    Feature("rollout_work", "(time that PEs work in that rollout - the least of any candidate's) / u"),
)
# Behind them with the option `rollout_draws`.
DRAW_FEATURES: Final = (
    Feature("rollout_error", "standard error of `rollout` over the draws, in the same unit"),
    Feature("rollout_clear", "rollout / (rollout + rollout_error), 0 if rollout is 0", high=1.0),
    Feature("rollout_rule", "1 if the rule that plays the rollouts takes it", high=1.0),
)
# Last with the option `plan_moves`.
PLAN_FEATURES: Final = (
    Feature("planned", "1 if the plan does this now", high=1.0),
    Feature("plan_here", "1 if the plan has the task run on this PE", high=1.0),
    Feature("plan_start", "(start of the task in the plan - now) / u"),
    Feature("plan_cost", "what doing this first would add to the plan's cost / the reward's unit", high=10.0),
)
CRITIC_FEATURES: Final = (
    Feature("next_arrival", "time to the next arrival / u, the highest value if there is none"),
    Feature("work_1", "work (fastest PEs) arriving within the next u / (PEs u)"),
    Feature("work_2", "work arriving within the next 2 u / (PEs u)"),
    Feature("work_4", "work arriving within the next 4 u / (PEs u)"),
    Feature("work_8", "work arriving within the next 8 u / (PEs u)"),
    Feature("jobs_left", "jobs yet to arrive / jobs", high=1.0),
)


def num_candidates(mode: int, num_pes: int, max_ready: int, with_defer: bool) -> int:
    """Actions of a mode."""
    return (max_ready * num_pes, max_ready, num_pes)[mode] + int(with_defer)


def soc_schema(
    num_pes: int,
    max_tasks: int,
    max_edges: int,
    max_live_jobs: int,
    max_ready: int,
    mode: int,
    with_defer: bool,
    with_rollouts: bool = False,
    with_draws: bool = False,
    with_plan: bool = False,
) -> GraphSchema:
    """The decision graph of systems of at most this size."""
    rows = max_live_jobs * max_tasks
    rollouts = (ROLLOUT_FEATURES + (DRAW_FEATURES if with_draws else ())) if with_rollouts else ()
    plan = PLAN_FEATURES if with_plan else ()
    return GraphSchema(
        nodes=(
            NodeType("task", rows, TASK_FEATURES, "task", parent="job", sparse=True),
            NodeType("job", max_live_jobs, JOB_FEATURES, "job", parent="system", sparse=True),
            NodeType("pe", num_pes, PE_FEATURES, "resource"),
            NodeType("system", 1, SYSTEM_FEATURES, "system"),
        ),
        edges=(
            EdgeType(
                "precedence",
                "task",
                "task",
                max_live_jobs * max_edges,
                PRECEDENCE_FEATURES,
                acyclic=True,
                static=False,
            ),
            EdgeType("eligibility", "task", "pe", max_ready * num_pes, ELIGIBILITY_FEATURES, static=False),
            EdgeType("assignment", "task", "pe", rows, static=False),
        ),
        candidates=CandidateType(
            num_candidates(mode, num_pes, max_ready, with_defer),
            ("task", "job", "pe"),
            CANDIDATE_FEATURES + rollouts + plan,
        ),
        critic_features=CRITIC_FEATURES,
    )
