"""Worker processes with Gymnasium's AsyncVectorEnv, and the native batch that is faster than they are."""

import sys

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

import makespan  # noqa: F401  (registers the environments)


def play(envs: gymnasium.vector.VectorEnv, steps: int) -> float:
    """Mean makespan of the episodes that end within some random steps."""
    rng, ends = np.random.default_rng(0), []
    observation, info = envs.reset(seed=0)
    for _ in range(steps):
        mask = observation["action_mask"]
        actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1)
        observation, _, terminated, _, info = envs.step(actions)
        if terminated.any():
            ends += info["objective"][info["_objective"]].tolist()
    envs.close()
    return float(np.mean(ends))


if __name__ == "__main__":  # workers that are spawned import this file
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    spec = {"num_envs": 2, "num_jobs": 6, "num_machines": 6}
    workers = gymnasium.make_vec(
        "makespan/JobShop-v0", vectorization_mode="async", vector_kwargs={"context": "spawn"}, **spec
    )
    native = gymnasium.make_vec(
        "makespan/JobShop-v0",
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.NEXT_STEP,
        **spec,
    )
    print("workers:", play(workers, steps))
    print("native: ", play(native, steps))  # the same seeds, actions and autoreset mode: the same number
