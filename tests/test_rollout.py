"""Rollouts on the real game, and on a scripted one whose every rally is known."""

from typing import ClassVar

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv

import pgpong
from pgpong.actions import IDLE
from pgpong.config import from_recipe
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.policy import Policy, log_probability
from pgpong.learning.policy_gradient import update
from pgpong.rollout import FIRST_TRAINING_SEED, Rollout
from tests.learning.test_policy_gradient import the_2016_update


class ScriptedGames(VectorEnv):
    """Games whose rallies and episodes have the lengths of a script; a frame's first pixels name the step.

    Game g repeats RALLIES[g]; an episode is two rallies. Pixel 0 is lit in game 0, pixel 1 in game 1; pixel
    2 + t in the t-th frame of the rally.
    """

    RALLIES: ClassVar = [(3, 5), (11, 4)]

    def __init__(self):
        self.num_envs = 2
        self.single_observation_space = Box(-1, 1, (8, 8), np.int8)
        self.single_action_space = Discrete(2)
        self.resets = []

    def observe(self):
        frames = np.zeros((2, 64), np.int8)
        for g in range(2):
            frames[g, g] = 1
            frames[g, 2 + self.t[g]] = 1
        return frames.reshape(2, 8, 8)

    def reset(self, *, seed=None, options=None):
        mask = (options or {}).get("reset_mask", np.ones(2, bool))
        self.resets.append(mask.tolist())
        if seed is not None:
            self.t, self.rally, self.over, self.frame = [0, 0], [0, 0], [False, False], np.zeros(2, int)
        for g in np.flatnonzero(mask):
            self.t[g] = self.rally[g] = self.frame[g] = 0
            self.over[g] = False
        return self.observe(), {}

    def step_async(self, actions, seed=None):
        self.actions = actions

    def step_wait(self):
        rewards, ended = np.zeros(2), np.zeros(2, bool)
        for g in range(2):
            if self.over[g]:
                self.t[g] = self.rally[g] = self.frame[g] = 0
                self.over[g] = False
                continue
            self.t[g] += 1
            self.frame[g] += 4
            if self.t[g] == self.RALLIES[g][self.rally[g]]:
                rewards[g] = 1 if self.rally[g] == 0 else -1
                self.t[g] = 0
                self.rally[g] += 1
                if self.rally[g] == 2:
                    ended[g] = self.over[g] = True
                    self.rally[g] = 0
        info = {"episode_frame_number": self.frame.copy(), "final_screen": np.zeros(2, int)}
        return self.observe(), rewards, ended, np.zeros(2, bool), info


def make_policy(pixels, seed=0, may_stay=False):
    return Policy.initialise(np.random.default_rng(seed), 10, pixels, fan_in=5, may_stay=may_stay)


def rallies_of(batch):
    """Return (game, [frame number of each step], reward) for each rally of a scripted batch."""
    frames = batch.frames.toarray()
    rallies, start = [], 0
    for end in np.flatnonzero(batch.ends):
        rows = frames[start : end + 1]
        assert (batch.rewards[start:end] == 0).all()
        assert len(set(batch.episode[start : end + 1])) == 1
        game = int(rows[0, 1])
        rallies.append((game, [int(np.flatnonzero(row[2:])[0]) for row in rows], batch.rewards[end]))
        start = end + 1
    assert start == len(batch)
    return rallies


@pytest.mark.parametrize("batch_steps", [1, 4, 7, 50])
def test_every_step_is_learnt_from_once_in_a_whole_rally_with_its_return(batch_steps):
    rollout = Rollout([ScriptedGames()], np.random.default_rng(0), batch_steps=batch_steps)
    policy = make_policy(64)
    found = {0: [], 1: []}
    total = 0
    for _ in range(400 // batch_steps):
        played = rollout.play(policy)
        total += played.steps
        for game, numbers, reward in rallies_of(played.batch):
            found[game].append((len(numbers), reward))
            assert numbers == list(range(len(numbers)))  # whole, from the serve on, in order
    for game, rallies in found.items():
        first, second = ScriptedGames.RALLIES[game]
        expected = [(first, 1.0), (second, -1.0)] * len(rallies)
        assert rallies == expected[: len(rallies)]
    learnt = sum(length for rallies in found.values() for length, _ in rallies)
    waiting = sum(len(b) for b in rollout._open)
    assert learnt + waiting == total
    assert waiting <= 8 + 15


@pytest.mark.parametrize("batch_steps", [1, 4, 7, 50])
def test_of_a_rally_that_is_cut_the_last_step_alone_waits_and_each_step_is_learnt_from_once(batch_steps):
    rollout = Rollout([ScriptedGames()], np.random.default_rng(0), batch_steps=batch_steps, cut=True)
    policy = make_policy(64)
    learnt = {0: [], 1: []}
    total = 0
    for _ in range(400 // batch_steps):
        played = rollout.play(policy)
        total += played.steps
        waits = played.batch.waits
        assert waits.sum() == len(rollout._open[0]) <= 2  # one a game at most
        assert not played.batch.ends[waits].any()
        frames = played.batch.frames.toarray()
        for row, waiting, end, reward in zip(
            frames, waits, played.batch.ends, played.batch.rewards, strict=True
        ):
            if not waiting:
                learnt[int(row[1])].append((int(np.flatnonzero(row[2:])[0]), bool(end), reward))
    for game, steps in learnt.items():
        lengths = ScriptedGames.RALLIES[game]
        expected = [
            (t, t == length - 1, points * (t == length - 1))
            for length, points in zip(lengths, (1.0, -1.0), strict=True)
            for t in range(length)
        ]
        assert steps == (expected * len(steps))[: len(steps)]  # in order, none missing, none twice
    assert sum(map(len, learnt.values())) + waits.sum() == total


def test_a_batch_of_steps_does_not_prefer_the_game_with_short_episodes():
    rollout = Rollout([ScriptedGames()], np.random.default_rng(0), batch_steps=1000)
    played = rollout.play(make_policy(64))
    game = played.batch.frames.toarray()[:, 1]
    # A reset step is lost for each episode: 8 of 9 and 15 of 16 steps count.
    assert (game == 0).sum() == pytest.approx(1000 * 8 / 9, abs=16)
    assert (game == 1).sum() == pytest.approx(1000 * 15 / 16, abs=16)


def test_a_batch_of_episodes_gives_each_game_the_same_number_of_whole_ones():
    env = ScriptedGames()
    rollout = Rollout([env], np.random.default_rng(0), episodes_per_game=2)
    for _ in range(3):
        played = rollout.play(make_policy(64))
        rallies = [(game, len(numbers), reward) for game, numbers, reward in rallies_of(played.batch)]
        assert sorted(rallies) == sorted([(0, 3, 1.0), (0, 5, -1.0)] * 2 + [(1, 11, 1.0), (1, 4, -1.0)] * 2)
        assert played.steps == len(played.batch) == 2 * (8 + 15)
        assert played.frames == 4 * played.steps
        assert (
            sorted((e.score, e.steps, e.frames) for e in played.episodes)
            == [(0, 8, 32)] * 2 + [(0, 15, 60)] * 2
        )
        assert len(rollout._open[0]) == 0
    assert env.resets[1:] == [[True, True]] * 2


def test_episodes_are_counted_once_and_each_has_a_seed_of_its_own():
    env = ScriptedGames()
    rollout = Rollout([env], np.random.default_rng(0), batch_steps=10)
    episodes = [e for _ in range(20) for e in rollout.play(make_policy(64)).episodes]
    assert [e.steps for e in episodes].count(8) == 200 // 9
    assert [e.steps for e in episodes].count(15) == 200 // 16
    seeds = [e.seed for e in episodes]
    assert len(set(seeds)) == len(seeds) == 34
    assert min(seeds) >= FIRST_TRAINING_SEED


def test_log_probabilities_are_those_of_the_policy_that_played():
    rollout = Rollout([ScriptedGames()], np.random.default_rng(0), batch_steps=6)
    first, second = make_policy(64, seed=1), make_policy(64, seed=2)
    rollout.play(first)
    waiting = rollout._open[0]
    batch = rollout.play(second).batch
    carried = len(waiting) - (batch.episode[-1] != waiting.episode[-1])
    assert carried > 0
    frames = batch.frames
    by_first = log_probability(first.log_probabilities(*first.forward(frames)), batch.actions)
    by_second = log_probability(second.log_probabilities(*second.forward(frames)), batch.actions)
    close = np.isclose(batch.logp, by_first, rtol=1e-5), np.isclose(batch.logp, by_second, rtol=1e-5)
    assert (close[0] | close[1]).all()
    # The long rally of game 1 began under the first policy and ended under the second.
    long = np.flatnonzero(batch.frames.toarray()[:, 1] == 1)[:11]
    assert close[0][long].tolist() == [True] * 6 + [False] * 5
    assert close[1][long].tolist() == [False] * 6 + [True] * 5


def test_a_stop_is_heeded_at_the_next_step():
    asked = iter([False] * 3 + [True])
    assert (
        Rollout([ScriptedGames()], np.random.default_rng(0), 100).play(make_policy(64), lambda: next(asked))
        is None
    )
    assert next(asked, "all asked") == "all asked"


class Onlooker:
    """Passes everything on to an environment and notes what was seen, done and answered."""

    def __init__(self, env):
        self.env, self.num_envs, self.notes = env, env.num_envs, []

    def reset(self, **arguments):
        self.last, info = self.env.reset(**arguments)
        return self.last, info

    def step_async(self, actions, seed=None):
        self.actions = actions
        self.env.step_async(actions, seed)

    def step_wait(self):
        answer = self.env.step_wait()
        self.notes.append((self.last, self.actions, answer[1:]))
        self.last = answer[0]
        return answer


def test_karpathy_rollout_and_update_equal_the_formulas_frame_by_frame():
    """The whole recipe on the real game: what an onlooker recorded, put through the 2016 formulas."""
    config = from_recipe("karpathy", num_envs=2, batch_episodes=2)
    onlooker = Onlooker(pgpong.make_vec(2))
    rollout = Rollout([onlooker], np.random.default_rng(0), episodes_per_game=1)
    policy = Policy.initialise(np.random.default_rng(1), 5, 6400, config.fan_in, dtype="float64")
    played = rollout.play(policy)
    start = {name: W.copy() for name, W in policy.parameters.items()}

    episodes = [[], []]
    for game, steps in enumerate(episodes):
        for seen, actions, (rewards, terminated, truncated, _) in onlooker.notes:
            steps.append((seen[game].reshape(-1).astype(float), actions[game] == 1, rewards[game]))
            if terminated[game] or truncated[game]:
                break
        assert {notes[1][game] for notes in onlooker.notes[len(steps) :]} <= {IDLE}
    assert sorted(e.score for e in played.episodes) == sorted(sum(r for *_, r in steps) for steps in episodes)
    assert min(map(len, episodes)) < len(onlooker.notes)  # so one did idle

    cache = {name: np.zeros_like(W) for name, W in start.items()}
    expected = the_2016_update(start["W1"], start["W2"], cache, episodes)
    update(policy, make_optimizer(policy, config), played.batch, config, np.random.default_rng(2))
    for name, W in expected.items():
        change = W - start[name]
        error = np.linalg.norm(policy.parameters[name] - W) / np.linalg.norm(change)
        assert error < 1e-6, name


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "Pong-v0"])
def test_real_games_are_played_in_batches_of_steps(env_id):
    env = pgpong.make_vec(4, env_id)
    rollout = Rollout([env], np.random.default_rng(0), batch_steps=150)
    policy = make_policy(6400)
    played = [rollout.play(policy) for _ in range(3)]
    for p in played:
        assert p.batch.ends[-1]
        assert set(np.unique(p.batch.rewards)) <= {-1.0, 0.0, 1.0}
        assert (p.batch.rewards[~p.batch.ends] == 0).all()
        assert p.steps == 600
    low, high = (4, 4) if env_id == "ALE/Pong-v5" else (2, 4)
    assert low * 600 <= played[1].frames <= high * 600
    env.close()


def columns_of(batch):
    """All of a batch as bytes."""
    frames = batch.frames
    columns = (batch.actions, batch.logp, batch.rewards, batch.ends, batch.episode)
    return [a.tobytes() for a in (frames.data, frames.indices, frames.indptr, *columns)]


@pytest.mark.parametrize(
    ("env_id", "all_there_is", "how"),
    [
        ("ALE/Pong-v5", True, {"batch_steps": 150}),
        ("Pong-v0", False, {"batch_steps": 150}),
        ("ALE/Pong-v5", False, {"episodes_per_game": 1}),
    ],
)
def test_a_rollout_goes_on_from_its_books_as_if_it_had_not_stopped(env_id, all_there_is, how):
    """Real games in two groups, some just ended, some in the middle of a rally."""
    policy = make_policy(12800 if all_there_is else 6400, may_stay=all_there_is)
    kind = {"current": all_there_is, "stay": all_there_is}
    envs = [pgpong.make_vec(2, env_id, **kind), pgpong.make_vec(3, env_id, **kind)]
    rollout = Rollout(envs, np.random.default_rng(0), **how)
    for _ in range(1 if "episodes_per_game" in how else 9):
        rollout.play(policy)
    state, packed = rollout.rng.bit_generator.state, {k: a.copy() for k, a in rollout.pack().items()}
    expected = rollout.play(policy)

    rng = np.random.default_rng(1)
    rng.bit_generator.state = state
    others = [pgpong.make_vec(n, env_id, num_workers=workers, **kind) for n, workers in ((2, 1), (3, 3))]
    again = Rollout(others, rng, **how, packed=packed)
    assert again.exact
    played = again.play(policy)
    assert columns_of(played.batch) == columns_of(expected.batch)
    assert played.episodes == expected.episodes
    assert (played.steps, played.frames) == (expected.steps, expected.frames)
    assert {k: a.tobytes() for k, a in again.pack().items()} == {
        k: a.tobytes() for k, a in rollout.pack().items()
    }
    for env in [*envs, *others]:
        env.close()


def test_games_that_do_not_come_out_as_they_were_begin_anew():
    policy = make_policy(6400)
    env = pgpong.make_vec(2)
    rollout = Rollout([env], np.random.default_rng(0), batch_steps=60)
    rollout.play(policy)
    packed = rollout.pack()
    packed["frame"] = packed["frame"] + 4  # as under an emulator that plays otherwise
    again = Rollout([env], np.random.default_rng(0), batch_steps=60, packed=packed)
    assert not again.exact
    played = again.play(policy)
    assert again.pack()["steps"].sum() == played.steps  # nothing from before
    env.close()
