"""Agents and runs made by hand, the same on every machine, for the tests of figures."""

import json

import numpy as np

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.learning.policy import Policy
from pgpong.pixels import PIXELS
from pgpong.storage.run import Run


def make_agent(hidden=12, inputs=1, seed=0, **provenance):
    """An agent whose weights are multiples of 1/16: its sums are exact, so that it plays alike everywhere."""
    rng = np.random.default_rng(seed)
    W1 = rng.integers(-8, 9, (hidden, inputs * PIXELS)) / 16
    W2 = rng.integers(-8, 9, hidden) / 16
    facts = {"run": "made", "episode": 1234, "score_mean": -3.5, **provenance}
    return Agent(
        Policy(np.asarray(W1, np.float32, order="F"), W2.astype(np.float32)), find_game("ALE/Pong-v5"), facts
    )


def make_run(folder, name="made", seed=0, updates=120, sessions=(1,), evaluated=()):
    """A run that learned from -21 to about +9 in steps of 8,000; `evaluated` are updates and mean scores."""
    rng = np.random.default_rng(seed)
    run = Run.create(folder / "runs" / name, from_recipe("fast", seed=seed), {"sessions": []})
    run.write_provenance({"sessions": [{"first_update": first} for first in sessions]})
    episodes, metrics = [], []
    for update in range(1, updates + 1):
        level = -21 + 30 * (update / updates) * (0.8 + 0.1 * seed)
        for _ in range(4 if update > 5 else 0):
            score = int(np.clip(rng.normal(level, 3), -21, 21))
            episode = {"episode": len(episodes) + 1, "update": update, "score": score, "steps": 2000}
            episodes.append({**episode, "frames": 8000, "seed": 2**31 + len(episodes)})
        scores = [episode["score"] for episode in episodes[-100:]]
        metrics.append(
            {
                "update": update, "episode": len(episodes), "step": 8000 * update, "frame": 32000 * update,
                "seconds": 1.6 * update, "score_mean": sum(scores) / len(scores) if scores else None,
                "entropy": 0.69 - 0.4 * update / updates + rng.normal(0, 0.01),
                "kl": 0.005 + rng.random() / 200, "clip_share": 0.02 + rng.random() / 100,
                "grad_norm": 0.05 + rng.random() / 20, "passes": 3.0 if update % 40 else 1.5,
                "W1_norm": 179.0 + update, "W2_norm": 1.0 - update / 1000, "batch_steps": 8000,
                "explained": None if update == 1 else 0.9 - 1 / update,
                "games_seconds": 1.4, "network_seconds": 0.1, "update_seconds": 0.1 + rng.random() / 5,
            }
        )  # fmt: skip
    evaluations = [
        {
            **{name: metrics[update - 1][name] for name in ("update", "episode", "step", "frame", "seconds")},
            "mean": mean, "low": mean - 2, "high": mean + 2, "games": 32, "won": 0, "first_seed": 2**30,
            "scores": [mean] * 32, "evaluation_seconds": 4.5,
        }
        for update, mean in evaluated
    ]  # fmt: skip
    for path, lines in ((run.metrics, metrics), (run.episodes, episodes), (run.evaluations, evaluations)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run
