"""TorchRL: GymWrapper turns the observation into a TensorDict; the mask limits the random policy."""

import sys

import gymnasium
from torchrl.envs import GymWrapper, TransformedEnv
from torchrl.envs.transforms import ActionMask

import makespan  # noqa: F401  (registers the environments)

env = GymWrapper(
    gymnasium.make("makespan/JobShop-v0", num_jobs=6, num_machines=6), categorical_action_encoding=True
)
env = TransformedEnv(env, ActionMask(mask_key="action_mask"))
env.set_seed(0)
rollout = env.rollout(int(sys.argv[1]) if len(sys.argv) > 1 else 100, break_when_any_done=False)
print(rollout["operation_x"].shape, "mean reward:", rollout["next", "reward"].mean().item())
