"""Plain PPO of Stable-Baselines3, which knows no masks: a forbidden action is replaced by a random allowed one."""

import sys

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import makespan  # noqa: F401  (registers the environments)


def make_env() -> gymnasium.Env:
    """One environment; `illegal_action="random"` is the default."""
    return gymnasium.make("makespan/JobShop-v0", num_jobs=6, num_machines=6, illegal_action="random")


envs = make_vec_env(make_env, n_envs=4, seed=0)
model = PPO("MultiInputPolicy", envs, n_steps=32, batch_size=64, seed=0)
model.learn(total_timesteps=int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)

env = make_env()
observation, info = env.reset(seed=1, options={"instance": "ft06"})
terminated, invalid = False, 0
while not terminated:
    action, _ = model.predict(observation, deterministic=True)
    observation, reward, terminated, truncated, info = env.step(action)
    invalid += info["invalid_action"]
print("ft06 makespan:", info["objective"], "- invalid actions:", invalid)
