"""One policy for all aircraft of a fleet: MaskablePPO of sb3-contrib over PettingZoo's Parallel face."""

import sys

import numpy as np
from pettingzoo import ParallelEnv
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks

from makespan.agents.multi_agent import pettingzoo_to_sb3
from makespan.envs import fleet


def make_env() -> ParallelEnv:
    return fleet.parallel_env(generator="tiny", reward="team")


envs = pettingzoo_to_sb3(make_env, num_copies=4, seed=0)  # 4 copies x 8 aircraft = 32 slots
model = MaskablePPO("MlpPolicy", envs, n_steps=144, batch_size=512, gamma=0.97, seed=0)
model.learn(total_timesteps=int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)

day = pettingzoo_to_sb3(make_env, seed=10_000)
observation, ended = day.reset(), np.zeros(1, bool)
while not ended.all():
    actions, _ = model.predict(observation, action_masks=get_action_masks(day), deterministic=True)
    observation, rewards, ended, infos = day.step(actions)
print("profit of the day:", infos[0]["summary"]["profit"])
