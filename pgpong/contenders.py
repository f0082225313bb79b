"""What `pgpong bench --compare` sets beside a training: other ways to play and to learn the same game.

A contender is a generator of steps a second, as the bare emulator and the training are, and takes its turn
with them. A step is one decision, `game.frameskip` frames. What it needs is imported when it begins.
"""

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pgpong.config import from_recipe
from pgpong.envs.game import EMULATOR_ACTIONS, Game
from pgpong.envs.preprocess import SCREEN_SHAPE, picture
from pgpong.machine import available_cores
from pgpong.pixels import PIXELS

Floats = npt.NDArray[np.float64]

STEPS = 128  # of each game in a round of a bare environment


@dataclass(frozen=True)
class Contender:
    """One of them; `play` takes the game and, for a bare environment, the number of games at once."""

    name: str
    play: Callable[[Game, int], Generator[float]]
    modules: tuple[str, ...] = ()  # that it imports, of the extra `bench`
    libraries: tuple[str, ...] = ()  # whose versions its speed depends on

    @property
    def is_here(self) -> bool:
        """Whether all that it needs is installed."""
        return all(find_spec(module) for module in self.modules)


class Loop2016:
    """The experiment of 2016 as one writes it down first: one game, dense frames, float64.

    `gradients` is the sum over the episodes since the last `update`.
    """

    def __init__(self, game: Game, seed: int = 0) -> None:
        self.config = from_recipe("karpathy")
        self.env: gymnasium.Env[npt.NDArray[np.uint8], int] = gymnasium.make(
            gymnasium.spec(game.id),  # not the id: that warns of old versions
            frameskip=game.frameskip,
            repeat_action_probability=game.sticky,
            max_num_frames_per_episode=game.max_frames,
            obs_type="grayscale",
        )
        self.rng = np.random.default_rng(seed)
        hidden = self.config.hidden
        self.parameters: dict[str, Floats] = {
            "W1": self.rng.standard_normal((hidden, PIXELS)) / PIXELS**0.5,
            "W2": self.rng.standard_normal(hidden) / hidden**0.5,
        }
        self.gradients = {name: np.zeros_like(w) for name, w in self.parameters.items()}
        self.mean_squares = {name: np.zeros_like(w) for name, w in self.parameters.items()}

    def play_episode(self, seed: int | None = None) -> int:
        """Play a game to its end and add its gradient; return its steps."""
        W1, W2 = self.parameters["W1"], self.parameters["W2"]
        steps = []
        screen, _ = self.env.reset(seed=seed)
        current = last = picture(screen)
        ended = False
        while not ended:
            x = (current - last).ravel().astype(np.float64)  # (pixels,)
            h = np.maximum(W1 @ x, 0)  # (hidden,)
            p = 1 / (1 + np.exp(-(W2 @ h)))
            up = int(self.rng.random() < p)
            screen, reward, terminated, truncated, _ = self.env.step(EMULATOR_ACTIONS[up])
            last, current = current, picture(screen)
            steps.append((x, h, up - p, float(reward)))
            ended = terminated or truncated
        xs, hs, errors, rewards = (np.array(column) for column in zip(*steps, strict=True))
        dz = errors * self._advantages(rewards)  # (steps,)
        self.gradients["W1"] += (np.outer(dz, W2) * (hs > 0)).T @ xs
        self.gradients["W2"] += hs.T @ dz
        return len(steps)

    def update(self) -> None:
        """Take a step of RMSProp along the gradients, and forget them."""
        c = self.config
        for name, g in self.gradients.items():
            m = self.mean_squares[name]
            m[:] = c.decay * m + (1 - c.decay) * g**2
            self.parameters[name] += c.learning_rate * g / (np.sqrt(m) + c.epsilon)
            g[:] = 0

    def _advantages(self, rewards: Floats) -> Floats:
        """Discount each point back over its rally, and standardise."""
        returns = np.zeros_like(rewards)
        following = 0.0
        for t in reversed(range(len(rewards))):
            following = rewards[t] or self.config.gamma * following
            returns[t] = following
        return np.asarray((returns - returns.mean()) / returns.std())


def play_2016_loop(game: Game, num_envs: int) -> Generator[float]:
    """Yield steps a second over an episode, learning included.

    The update, which is due after ten episodes, is made after each, and a tenth of its time counts.
    """
    loop = Loop2016(game)
    with closing(loop.env):
        while True:
            with all_cores():
                began = time.perf_counter()
                steps = loop.play_episode()
                played = time.perf_counter()
                loop.update()
                updated = time.perf_counter()
            yield steps / (played - began + (updated - played) / loop.config.batch_episodes)


def play_ppo(game: Game, num_envs: int) -> Generator[float]:
    """Yield steps a second of Stable-Baselines3's PPO over a batch with its update, on the CPU.

    Preprocessing, network and settings, 8 games among them, are those that RL Baselines3 Zoo has for Atari.
    Its learning rate and clip fall to 0 in the course of a training; here they stay at their start.
    """
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    games = make_atari_env(
        game.id,
        n_envs=8,
        seed=0,
        wrapper_kwargs={"frame_skip": game.frameskip},
        env_kwargs={"frameskip": 1, "repeat_action_probability": game.sticky},  # the wrapper skips
    )
    with closing(VecFrameStack(games, n_stack=4)) as env:
        model = PPO(
            "CnnPolicy",
            env,
            n_steps=128,
            batch_size=256,
            n_epochs=4,
            learning_rate=2.5e-4,
            clip_range=0.1,
            ent_coef=0.01,
            seed=0,
            device="cpu",
        )
        steps = model.n_steps * env.num_envs
        while True:
            with all_cores():
                began = time.perf_counter()
                model.learn(steps, reset_num_timesteps=False)
                elapsed = time.perf_counter() - began
            yield steps / elapsed


def play_envpool(game: Game, num_envs: int) -> Generator[float]:
    """Yield steps a second of EnvPool's Pong, played at random: one untouched grayscale screen a step."""
    import envpool

    threads = available_cores()
    env = envpool.make_gymnasium(
        "Pong-v5",
        num_envs=num_envs,
        num_threads=threads,
        thread_affinity_offset=first_core(threads),
        frame_skip=game.frameskip,
        repeat_action_probability=game.sticky,
        img_height=SCREEN_SHAPE[0],
        img_width=SCREEN_SHAPE[1],
        stack_num=1,
        noop_max=1,  # it knows no fewer
        use_fire_reset=False,
    )
    env.reset()
    yield from play_at_random(env, num_envs, STEPS)


def play_at_random(env: Any, num_envs: int, steps: int) -> Generator[float]:
    """Step a vector environment with random ups and downs; yield steps a second over `steps` of each game."""
    actions = np.random.default_rng(0).choice(np.array(EMULATOR_ACTIONS[:2], np.int32), (steps, num_envs))
    with closing(env):
        while True:
            began = time.perf_counter()
            for row in actions:
                env.step(row)
            yield steps * num_envs / (time.perf_counter() - began)


def first_core(threads: int) -> int:
    """Return the core that thread 0 of a C++ vector environment is to stay on; -1 leaves them free.

    With a thread for each core of the machine, thread i stays on core i. Left free, Linux wakes two of them
    on the core that Python has just used while another is idle: a third of ale-py's speed was lost.
    """
    return 0 if threads == available_cores() == os.cpu_count() else -1


def all_cores() -> threadpool_limits:
    """Let BLAS and torch use all cores for a while: the training has set one, for the whole process."""
    return threadpool_limits(available_cores())


CONTENDERS = (
    Contender("2016 loop", play_2016_loop),
    Contender(
        "Stable-Baselines3 PPO", play_ppo, ("stable_baselines3", "cv2"), ("stable-baselines3", "torch")
    ),
    Contender("EnvPool, bare", play_envpool, ("envpool",), ("envpool",)),
)
