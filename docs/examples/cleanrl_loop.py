"""A CleanRL-style loop: masked REINFORCE with a learned baseline over the native batch, in one file."""

import sys

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical

import makespan  # noqa: F401  (registers the environments)

NUM_ENVS, NUM_STEPS, GAMMA = 16, 32, 1.0
total_steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000

torch.manual_seed(0)
envs = gymnasium.make_vec(
    "makespan/JobShop-v0",
    num_envs=NUM_ENVS,
    vectorization_mode="vector_entry_point",
    autoreset_mode=AutoresetMode.SAME_STEP,  # each step's observation is the next decision's: no wasted steps
    num_jobs=6,
    num_machines=6,
)
schema = envs.unwrapped.schema
columns = [i for i, feature in enumerate(schema.candidates.features) if not feature.raw]
actor = nn.Sequential(nn.Linear(len(columns), 64), nn.Tanh(), nn.Linear(64, 1))  # scores one candidate
critic = nn.Sequential(
    nn.Linear(envs.single_observation_space["system_x"].shape[1], 64), nn.Tanh(), nn.Linear(64, 1)
)
optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)

observation, _ = envs.reset(seed=0)
makespans = []
for _ in range(max(1, total_steps // (NUM_ENVS * NUM_STEPS))):
    log_probs, values, rewards, ends = [], [], [], []
    for _ in range(NUM_STEPS):
        mask = torch.as_tensor(observation["action_mask"]) > 0
        scores = actor(torch.as_tensor(observation["candidate_x"][..., columns])).squeeze(-1)
        policy = Categorical(logits=scores.masked_fill(~mask, -torch.inf))
        actions = policy.sample()
        values.append(critic(torch.as_tensor(observation["system_x"])).flatten())
        log_probs.append(policy.log_prob(actions))
        observation, reward, terminated, truncated, info = envs.step(actions.numpy())
        rewards.append(torch.as_tensor(reward, dtype=torch.float32))
        ends.append(torch.as_tensor(terminated | truncated))
        if "final_info" in info:
            makespans += info["final_info"]["objective"][info["_final_info"]].tolist()
    with torch.no_grad():
        future = critic(torch.as_tensor(observation["system_x"])).flatten()
    returns = []
    for reward, end in zip(reversed(rewards), reversed(ends), strict=True):
        future = reward + GAMMA * future * ~end
        returns.insert(0, future)
    value, target = torch.stack(values), torch.stack(returns)
    loss = (-(target - value).detach() * torch.stack(log_probs)).mean() + (target - value).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("mean makespan, first and last 100 episodes:", np.mean(makespans[:100]), np.mean(makespans[-100:]))
