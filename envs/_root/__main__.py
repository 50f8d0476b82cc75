"""`python -m makespan`: the same as the console script `makespan`."""

from makespan.agents.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
