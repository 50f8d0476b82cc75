"""Turn a finished run into weights that ship: `python -m makespan.agents.export RUN FILE.pt`.

Weights are kept in half precision, which halves the file and moves no logit by more than rounding; what the run was, and
the command that repeats it, stays beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from makespan.agents.checkpoint import CheckpointError, save_checkpoint
from makespan.agents.config import to_dict
from makespan.agents.run_folder import RunFolder


def export(run: RunFolder, path: Path) -> Path:
    """Write the network of a finished run to `path`; raises `CheckpointError` if the run is not finished."""
    state = run.checkpoints.resume()
    if state is None or state[1].get("stage") != "finished":
        raise CheckpointError(f"{run.path} is not finished; go on with `makespan train --resume`")
    tensors, meta = state
    half = {name: tensor.half() for name, tensor in tensors["network"].items()}
    keep = {key: meta[key] for key in ("env", "network", "name", "seed", "stage", "temperature")}
    command = f"makespan train --config {run.config.name} --seed {run.config.seed}"
    config = to_dict(run.config)
    config["imitation"]["cache_dir"] = ""  # a folder of the machine it was trained on
    return save_checkpoint(path, {"network": half}, {**keep, "config": config, "command": command})


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Turn a finished run into weights that ship.")
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    words = parser.parse_args(arguments)
    export(RunFolder.open(words.run), words.file)


if __name__ == "__main__":
    main()
