"""Policies, learners and the command line of Makespan. Imported lazily: `makespan` itself never loads torch."""

if __name__ == "agents":
    raise ImportError("import makespan.agents: the bare name would load every module twice")
