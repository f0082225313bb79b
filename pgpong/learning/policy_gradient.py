"""One update from one batch, by policy gradient.

Each step t of the batch contributes to the objective, with ρ the probability of its action now over the
probability when it was played, A its standardised advantage and H the policy's entropy there,

    min(ρ A, clip(ρ, 1-c, 1+c) A) + entropy · H

(J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv:1707.06347, equations 7 and 9; A is of
returns where there is no critic.) The 2016 algorithm is the case of one pass over one minibatch without a
clip: there ρ is 1, and the derivative by the logit is A (y - p), with y = 1 for up.
"""

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from pgpong.actions import DOWN, STAY, UP
from pgpong.config import TrainConfig
from pgpong.learning.ascent import ascend
from pgpong.learning.backend import NUMPY, Array, Arrays, Backend, Namespace
from pgpong.learning.batch import Batch
from pgpong.learning.court import fold
from pgpong.learning.critic import Critic
from pgpong.learning.finite import require_finite
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.pieces import add
from pgpong.learning.policy import Policy, entropy, log_probability, one_hot
from pgpong.learning.returns import discounted_returns, generalised_advantages, standardise


@dataclass(frozen=True)
class UpdateStats:
    """What one update did. Entropy, clip share and gradient norm are means over its minibatches."""

    entropy: float  # nats
    kl: float  # nats, of the policy that played from the one that the last minibatch met
    clip_share: float  # of steps whose gradient the clip took away, 0 to 1
    grad_norm: float  # before it is shortened
    passes: float  # done, of those that were asked for
    W1_norm: float  # Euclidean, of the weights that the update left
    W2_norm: float
    explained: float | None = None  # share of its returns' variance that the critic foretold, at most 1


def worth(
    batch: Batch, config: TrainConfig, values: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Return what the batch's steps are worth (n,): their returns.

    Or, given a critic's `values` (n,) of the steps, what came of each beyond that. Of a step that waits no
    more is known than its value.
    """
    if values is None:
        return discounted_returns(batch.rewards, batch.ends, config.gamma)
    waits = batch.waits
    rewards, ends = np.where(waits, values, batch.rewards), batch.ends | waits
    return generalised_advantages(rewards, ends, values, config.gamma, config.gae_lambda)


def advantages(batch: Batch, config: TrainConfig, worth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standardise what the batch's steps are worth (n,), over the batch or over each episode.

    A step that waits takes no part, and has 0.
    """
    known = ~batch.waits
    A = np.zeros(len(batch))
    A[known] = standardise(worth[known], batch.episode[known] if config.standardise == "episode" else None)
    return A


def explained_variance(returns: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float | None:
    """Return 1 - Var(R - V) / Var(R) of returns and values (n,), None where all returns are the same."""
    variance = float(np.var(returns))
    return 1 - float(np.var(returns - values)) / variance if variance else None


@dataclass(frozen=True)
class _Played:
    """What the policy learns from, where its weights are: frames (n, pixels), all others (n,)."""

    x: Array
    actions: Array
    logp: Array
    A: Array

    @classmethod
    def bring(cls, x: Array, batch: Batch, A: npt.NDArray[np.float64], policy: Policy) -> "_Played":
        """Bring a batch, whose frames x are there, and its advantages there."""
        bring, like = policy.backend.asarray, policy.W2
        return cls(x, bring(batch.actions), bring(batch.logp, like=like), bring(A, like=like))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # looked for here, and named
def update(
    policy: Policy,
    optimizer: Optimizer,
    batch: Batch,
    config: TrainConfig,
    rng: np.random.Generator,
    critic: Critic | None = None,
    beside: Executor | None = None,
) -> UpdateStats:
    """Improve `policy` in place by `config.passes` passes over `batch`; stop early at `config.max_kl`.

    Advantages are returns less what `critic`, which learns as well, foretold; without one, returns. The
    critic learns the returns that stand behind its advantages: with λ below 1 they are part forecast. Neither
    network needs the other meanwhile, so the critic may learn `beside` the policy; that changes no result.

    Raises:
        NonFiniteError: a reward, logit, gradient, weight or running mean is NaN or infinite.
    """
    require_finite("a reward", batch.rewards)
    require_finite("an observation", batch.frames.data)
    bring, x, known = policy.backend.asarray, policy.see(batch.frames), np.flatnonzero(~batch.waits)
    values = critic.values(x) if critic else None
    raw, explained = worth(batch, config, values), None
    played = _Played.bring(x, batch, advantages(batch, config, raw), policy)
    parts = [bring(known[rows]) for rows in minibatches(len(known), config, rng)]
    if critic and values is not None:
        returns = raw + values
        explained = explained_variance(returns[known], values[known])
        learn = partial(critic.learn, x, bring(returns, like=policy.W2), parts, config)
        finish = beside.submit(learn).result if beside else learn
    seen = climb(policy, optimizer, played, parts, config)
    _require_finite_learner(policy, optimizer)
    if critic:
        finish()
        _require_finite_learner(critic.network, critic.optimizer)
    mean_entropy, _, clip_share, norm = np.mean(seen, axis=0).tolist()
    kl = seen[-1][1]
    taken = len(seen) - (kl > config.max_kl)  # where the bound was met there was no step
    passes = config.passes * taken / len(parts)
    W1_norm, W2_norm = (norm_of({name: policy.parameters[name]}, policy.backend) for name in ("W1", "W2"))
    return UpdateStats(mean_entropy, kl, clip_share, norm, passes, W1_norm, W2_norm, explained)


def climb(
    policy: Policy, optimizer: Optimizer, played: _Played, parts: list[Array], config: TrainConfig
) -> list[tuple[float, float, float, float]]:
    """Take a step for each of `parts`, row numbers, until the policy has moved by `config.max_kl`.

    Return what each minibatch was met with: entropy, KL divergence, share of clipped steps, gradient norm.
    """
    seen: list[tuple[float, float, float, float]] = []
    for rows in parts:
        work = partial(minibatch_gradient, policy, played, config, rows.shape[0])
        gradients, means = policy.pieces.do(work, _add, rows)
        if config.mirror:
            gradients = fold(gradients, -1, policy.xp)
        norm = norm_of(gradients, policy.backend)
        require_finite("the gradient", norm)
        mean_entropy, kl, clip_share = means.tolist()
        seen.append((mean_entropy, kl, clip_share, norm))
        if kl > config.max_kl:
            break
        if norm > config.max_grad_norm:
            gradients = {name: g * (config.max_grad_norm / norm) for name, g in gradients.items()}
        ascend(policy, optimizer, gradients, config, sign=-1)
    return seen


def minibatch_gradient(
    policy: Policy, played: _Played, config: TrainConfig, steps: int, rows: Array
) -> tuple[Arrays, npt.NDArray[np.float64]]:
    """Return what `rows` add to the gradient of a minibatch of so many steps, and to `surrogate`'s means."""
    x = policy.backend.pick(played.x, rows)
    h, z = policy.forward(x)
    log_p = policy.log_probabilities(h, z)
    require_finite("a logit", log_p, policy.xp)
    columns = played.actions[rows], played.logp[rows], played.A[rows]
    dl, means = surrogate(log_p, *columns, config, policy.xp, steps)
    return policy.backward(x, h, *by_logits(dl)), policy.backend.to_numpy(means).astype(np.float64)


def _add(
    some: tuple[Arrays, npt.NDArray[np.float64]], others: tuple[Arrays, npt.NDArray[np.float64]]
) -> tuple[Arrays, npt.NDArray[np.float64]]:
    return add(some[0], others[0]), some[1] + others[1]


def _require_finite_learner(network: Policy, optimizer: Optimizer) -> None:
    for what, arrays in {"weights": network.parameters, **optimizer.state}.items():
        for name, array in arrays.items():
            require_finite(f"{what} of {name}", array, network.xp)


def minibatches(steps: int, config: TrainConfig, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the row numbers of each minibatch of each pass; every pass shuffles anew."""
    for _ in range(config.passes):
        yield from np.array_split(rng.permutation(steps), min(config.minibatches, steps))


def surrogate(
    log_p: Array,
    actions: Array,
    logp: Array,
    A: Array,
    config: TrainConfig,
    xp: Namespace = np,
    steps: int | None = None,
) -> tuple[Array, Array]:
    """Return the objective's derivative by the softmax's logits, and entropy, KL and share of clipped steps.

    These n steps may be a part of a minibatch of so many `steps`: all four are then their share in its.
    log_p and the derivative are (n, actions), actions, logp and A (n,): log-probabilities now, what was done,
    its log-probability when it was played, advantages. The KL divergence is estimated by the mean of
    ρ - 1 - log ρ (J. Schulman, "Approximating KL Divergence").
    """
    steps = steps or A.shape[0]
    P, H = xp.exp(log_p), entropy(log_p, xp)
    log_ratio = log_probability(log_p, actions, xp) - logp
    ratio = xp.exp(log_ratio)
    clipped = xp.where(A > 0, ratio > 1 + config.clip, ratio < 1 - config.clip)
    weight = xp.where(clipped, xp.zeros_like(A), ratio * A)  # of ∂ log π
    dl = weight[:, None] * (one_hot(actions, log_p, xp) - P)
    dl = dl - config.entropy * P * (log_p + H[:, None])  # ∂H/∂l = -P (log P + H)
    if config.reduction == "mean":
        dl = dl / steps
    columns = H, ratio - 1 - log_ratio, xp.astype(clipped, A.dtype)
    return dl, xp.stack([xp.sum(column) for column in columns]) / steps


def by_logits(dl: Array) -> tuple[Array, Array | None]:
    """Return the derivatives by z and s, (n,) each, from that by the softmax's logits -z/2, z/2 and s."""
    dz = (dl[:, UP] - dl[:, DOWN]) / 2
    return dz, dl[:, STAY] if dl.shape[1] > STAY else None


def norm_of(arrays: Arrays, backend: Backend = NUMPY) -> float:
    """Return the Euclidean length of all arrays taken as one vector."""
    # Transposed, W1 and its gradient lie in memory in one piece and are read without a copy.
    in_one_piece = (g.T if g.ndim == 2 else g for g in arrays.values())
    norms = backend.xp.stack([backend.xp.linalg.vector_norm(g) for g in in_one_piece])
    return math.hypot(*backend.to_numpy(norms).tolist())
