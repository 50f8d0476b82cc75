"""Train an agent: `python train.py --config jobshop_quickstart.yaml --seed 7`; as `makespan train`."""

import sys

try:
    from makespan.agents.cli import main
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("makespan"):
        raise
    raise SystemExit("makespan is not installed; run `pip install -e .` in this folder first.") from None

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
