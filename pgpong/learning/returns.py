"""Returns: what each step is worth, from the points that follow it."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def discounted_returns(rewards: Floats, ends: npt.NDArray[np.bool_], gamma: float) -> Floats:
    """Discount backwards within each rally: R_t = r_t + γ R_{t+1}, and R_t = r_t where a rally ends.

    `rewards` (n,) and `ends` (n,) are whole rallies one after the other; `ends` marks the last step of each.

    >>> discounted_returns(np.array([0.0, 0.0, -1.0, 0.0, 1.0]), np.array([0, 0, 1, 0, 1], bool), 0.5)
    array([-0.25, -0.5 , -1.  ,  0.5 ,  1.  ])
    """
    returns = []
    following = 0.0
    for reward, end in zip(rewards[::-1].tolist(), ends[::-1].tolist(), strict=True):
        following = reward if end else reward + gamma * following
        returns.append(following)
    return np.array(returns[::-1], np.float64)


def generalised_advantages(
    rewards: Floats, ends: npt.NDArray[np.bool_], values: Floats, gamma: float, lam: float
) -> Floats:
    """Measure returns from `values` (n,), which foretell them: δ_t + γλ δ_{t+1} + (γλ)² δ_{t+2} + ...

    There δ_t = r_t + γ V_{t+1} - V_t, within each rally, and nothing is expected after its end. With λ = 1
    it is R_t - V_t; with less, later rewards are taken from what the values say of them.

    Source: J. Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    arXiv:1506.02438, equation 16.

    >>> generalised_advantages(np.array([0.0, 1.0]), np.array([0, 1], bool), np.array([0.5, 0.5]), 1.0, 0.5)
    array([0.25, 0.5 ])
    """
    following = np.where(ends, 0.0, np.append(values[1:], 0.0))
    return discounted_returns(rewards + gamma * following - values, ends, gamma * lam)


def standardise(values: Floats, groups: npt.NDArray[np.int64] | None = None) -> Floats:
    """Shift and scale to mean 0 and standard deviation 1, over all values or within each group.

    A group whose values are all equal becomes zeros. `groups` (n,) is a number for each value's group.

    >>> standardise(np.array([1.0, 3.0, 5.0, 5.0]), np.array([7, 7, 9, 9]))
    array([-1.,  1.,  0.,  0.])
    """
    if groups is None:
        groups = np.zeros(len(values), np.int64)
    _, groups = np.unique(groups, return_inverse=True)
    count = np.bincount(groups)
    centred = values - (np.bincount(groups, values) / count)[groups]
    deviation = np.sqrt(np.bincount(groups, centred**2) / count)
    # Equal values leave rounding errors behind the mean: those are no deviation.
    noise = 1e-12 * np.max(np.abs(values), initial=0.0)
    scale = np.where(deviation > noise, deviation, np.inf)
    return centred / scale[groups]
