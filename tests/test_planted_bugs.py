"""Bugs that people make in policy gradients, put into a copy of the package: each turns a test red."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEARNING = ("tests/test_learning.py",)
UNIT = (
    "tests/learning",
    "tests/envs/test_preprocess.py",
    "tests/envs/test_single.py",
    "tests/test_rollout.py",
    # Backends agree with each other, bugs and all; these take their time.
    *(f"--ignore=tests/learning/test_{what}.py" for what in ("backend", "conv", "pieces")),
    "--deselect=tests/test_rollout.py::test_a_rollout_goes_on_from_its_books_as_if_it_had_not_stopped",
)
CLAIMS = {UNIT: "planted bugs", LEARNING: "planted bugs that spoil the learning"}

# What is wrong, the module, the code as it is, and as somebody might have written it.
BUGS = [
    (
        "sign of the advantage",
        "learning/policy_gradient.py",
        "bring(A, like=like)",
        "-bring(A, like=like)",
    ),
    (
        "discount off by one",
        "learning/returns.py",
        "reward + gamma * following",
        "gamma * (reward + following)",
    ),
    ("no reset at a point", "learning/returns.py", "reward if end else", "reward if False else"),
    (
        "actions swapped",
        "envs/game.py",
        "EMULATOR_ACTIONS = (3, 2, 0)",
        "EMULATOR_ACTIONS = (2, 3, 0)",
    ),
    (
        "stale weights: those of the batch before play",
        "rollout.py",
        "        stopped = False\n",
        "        stopped = False\n"
        "        policy, self._last = getattr(self, '_last', policy), policy.copy()\n",
    ),
    (
        "the probabilities of the step before",
        "rollout.py",
        "logp = log_probability(log_p, actions)",
        "logp = getattr(self, '_acted', [log_probability(log_p, actions)])[-1]",
    ),
    (
        "difference reversed",
        "envs/preprocess.py",
        "np.subtract(current, last)",
        "np.subtract(last, current)",
    ),
    (
        "returns not centred",
        "learning/returns.py",
        "centred = values - (np.bincount(groups, values) / count)[groups]",
        "centred = values - 0.0",
    ),
    ("ReLU forgotten backwards", "learning/policy.py", "dh * self.xp.astype(h > 0, h.dtype)", "dh"),
    (
        "staying as a way",
        "learning/policy_gradient.py",
        "dz = (dl[:, UP] - dl[:, DOWN]) / 2",
        "dz = (dl[:, UP] - dl[:, -1]) / 2",
    ),
    (
        "clip on the wrong side",
        "learning/policy_gradient.py",
        "ratio > 1 + config.clip, ratio < 1 - config.clip",
        "ratio < 1 - config.clip, ratio > 1 + config.clip",
    ),
    (
        "mean square without decay",
        "learning/optimizers.py",
        "m *= self.decay\n            m += (1 - self.decay) * (g * g)\n            parameters",
        "m += (1 - self.decay) * (g * g)\n            parameters",
    ),
    (
        "reset steps learnt from",
        "rollout.py",
        "active = (self._left > 0) & ~self._ended",
        "active = self._left > 0",
    ),
    (
        "open rallies dropped",
        "rollout.py",
        "steps = concatenate([*self._open, played])",
        "steps = concatenate([played])",
    ),
]


# Those that spoil the learning itself, as the test that learns sees: some of the above, and these.
SPOILERS = [
    *(bug for bug in BUGS if bug[0] in (
        "sign of the advantage",
        "the probabilities of the step before",
        "ReLU forgotten backwards",
        "clip on the wrong side",
    )),
    (
        "up and down exchanged",
        "learning/policy_gradient.py",
        "dz = (dl[:, UP] - dl[:, DOWN]) / 2",
        "dz = (dl[:, DOWN] - dl[:, UP]) / 2",
    ),
    (
        "the action of the game beside it",
        "rollout.py",
        "self._acted = x, actions.astype(np.uint8), logp",
        "self._acted = x, np.roll(actions, 1).astype(np.uint8), logp",
    ),
    (
        "the frame of the step after",
        "rollout.py",
        "self.rows.append((x, (active",
        "self.rows.append((sparse_frames(self._observations), (active",
    ),
    (
        "the critic away from the returns",
        "learning/critic.py",
        "(returns[some] - V)",
        "(V - returns[some])",
    ),
    (
        "values foretold beyond a point",
        "learning/returns.py",
        "np.where(ends, 0.0, np.append(values[1:], 0.0))",
        "np.append(values[1:], 0.0)",
    ),
    (
        "mirror images that say the same",
        "learning/court.py",
        "network.W2[half:] = sign * network.W2[:half]",
        "network.W2[half:] = network.W2[:half]",
    ),
]  # fmt: skip


def notices(tests, folder, module, code, bug):
    """Tell whether `tests` fail with `bug` in place of `code` in a copy of the package."""
    for part in ("pgpong", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    path = folder / "pgpong" / module
    text = path.read_text()
    assert text.count(code) == 1, f"{module} has changed: plant the bug anew"
    path.write_text(text.replace(code, bug))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    return run.returncode == 1 and " failed" in run.stdout


@pytest.mark.parametrize(
    ("tests", "bug"),
    [(tests, bug) for tests, bugs in ((UNIT, BUGS), (LEARNING, SPOILERS)) for bug in bugs],
    ids=lambda value: value[0],
)
def test_each_planted_bug_turns_a_test_red(tests, bug, tmp_path, tally):
    tally(CLAIMS[tests], int(notices(tests, tmp_path, *bug[1:])), 1)


def test_without_a_bug_none_is_red(tmp_path):
    assert not notices(UNIT, tmp_path, "rollout.py", "import math\n", "import math\n")
