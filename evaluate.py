"""Compare policies: `python evaluate.py makespan/JobShop-v0 --policies spt mwkr`; as `makespan evaluate`."""

import sys

try:
    from makespan.agents.cli import main
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("makespan"):
        raise
    raise SystemExit("makespan is not installed; run `pip install -e .` in this folder first.") from None

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
