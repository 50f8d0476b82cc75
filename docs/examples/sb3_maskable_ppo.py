"""MaskablePPO of sb3-contrib on the job shop: it finds `action_masks()` by itself."""

import sys

import gymnasium
from sb3_contrib import MaskablePPO

import makespan  # noqa: F401  (registers the environments)

env = gymnasium.make("makespan/JobShop-v0", num_jobs=6, num_machines=6)
model = MaskablePPO("MultiInputPolicy", env, n_steps=64, batch_size=64, seed=0)
model.learn(total_timesteps=int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)

observation, info = env.reset(seed=1, options={"instance": "ft06"})
terminated = False
while not terminated:
    # evaluation needs the mask as well: without it the policy may choose what is not allowed
    action, _ = model.predict(observation, action_masks=info["action_mask"] > 0, deterministic=True)
    observation, reward, terminated, truncated, info = env.step(action)
print("ft06 makespan:", info["objective"])
