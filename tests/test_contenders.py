"""The contenders of `pgpong bench --compare`: each does the work that its steps are counted for."""

import subprocess
import sys
from contextlib import closing

import gymnasium
import numpy as np
import pytest

import pgpong
from pgpong.contenders import CONTENDERS, Loop2016, play_envpool, play_ppo
from pgpong.envs.game import EMULATOR_ACTIONS, find_game
from pgpong.learning.optimizers import RMSProp
from pgpong.learning.policy import Policy
from pgpong.learning.returns import discounted_returns, standardise

GAME = find_game("ALE/Pong-v5")


class Noting(gymnasium.Wrapper):
    """Notes the policy's actions, 0 down and 1 up."""

    def __init__(self, env):
        super().__init__(env)
        self.ups = []

    def step(self, action):
        self.ups.append(EMULATOR_ACTIONS.index(action))
        return super().step(action)


def test_the_loop_of_2016_is_the_recipe_karpathy_on_the_same_game():
    loop = Loop2016(GAME, seed=1)
    loop.env = Noting(loop.env)
    steps = loop.play_episode(seed=5)
    ups = np.array(loop.env.ups)
    loop.env.close()

    env = pgpong.make()
    x, rewards = [env.reset(seed=5)[0]], []
    for up in ups:
        observation, reward, terminated, truncated, _ = env.step(up)
        x.append(observation)
        rewards.append(reward)
    env.close()
    assert terminated or truncated
    assert len(ups) == steps > 500

    policy = Policy(**{name: W.copy() for name, W in loop.parameters.items()})
    x = np.reshape(x[:-1], (steps, -1)).astype(float)
    h, z = policy.forward(x)
    A = standardise(discounted_returns(np.array(rewards), np.array(rewards) != 0, loop.config.gamma))
    gradients = policy.backward(x, h, A * (ups - 1 / (1 + np.exp(-z))))
    optimizer = RMSProp(policy.parameters, loop.config.decay, loop.config.epsilon)
    for name, g in gradients.items():
        np.testing.assert_allclose(loop.gradients[name], g, rtol=1e-9, atol=1e-9)

    loop.update()
    optimizer.step(policy.parameters, gradients, loop.config.learning_rate)
    for name, W in policy.parameters.items():
        np.testing.assert_allclose(loop.parameters[name], W, rtol=1e-9)
        assert not loop.gradients[name].any()


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_each_plays_on_and_its_speed_is_a_number(contender):
    if not contender.is_here:
        pytest.skip("needs pip install 'pgpong[bench]'")
    with closing(contender.play(GAME, 2)) as speeds:
        assert all(0 < next(speeds) < float("inf") for _ in range(2))


def test_ppo_learns_while_it_plays(monkeypatch):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3 import PPO

    trained = []
    learn = PPO.learn

    def noting(model, steps, **settings):
        before = model.policy.action_net.weight.detach().clone()
        learn(model, steps, **settings)
        changed = not bool((model.policy.action_net.weight == before).all())
        trained.append((model.num_timesteps, model.observation_space.shape, changed))

    monkeypatch.setattr(PPO, "learn", noting)
    with closing(play_ppo(GAME, 2)) as speeds:
        next(speeds), next(speeds)
    assert trained == [(1024, (4, 84, 84), True), (2048, (4, 84, 84), True)]


def test_envpool_plays_the_game_of_the_others(monkeypatch):
    envpool = pytest.importorskip("envpool")
    make, envs = envpool.make_gymnasium, []
    monkeypatch.setattr(envpool, "make_gymnasium", lambda *a, **k: envs.append(make(*a, **k)) or envs[0])
    with closing(play_envpool(GAME, 2)) as speeds:
        next(speeds)
        config = envs[0].spec.config
    assert (config.frame_skip, config.repeat_action_probability, config.num_envs) == (4, 0.25, 2)
    assert envs[0].observation_space.shape == (1, 210, 160)


def test_what_a_contender_needs_is_loaded_only_when_it_plays():
    code = (
        "import sys, pgpong.commands.bench;"
        "print({'torch', 'stable_baselines3', 'envpool'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
