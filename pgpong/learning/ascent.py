"""A step uphill: the optimiser that the settings name, and what a step of it changes in a network."""

from pgpong.config import TrainConfig
from pgpong.learning.backend import Arrays
from pgpong.learning.court import learnt, pair
from pgpong.learning.optimizers import Adam, Optimizer, RMSProp
from pgpong.learning.policy import Policy


def make_optimizer(network: Policy, config: TrainConfig) -> Optimizer:
    """Make the optimiser that `config` names, with its running means at zero."""
    parameters = learnt(network, config.mirror)
    if config.optimizer == "adam":
        return Adam(parameters, config.momentum, config.decay, config.epsilon, network.xp)
    return RMSProp(parameters, config.decay, config.epsilon, network.xp)


def ascend(network: Policy, optimizer: Optimizer, gradients: Arrays, config: TrainConfig, sign: int) -> None:
    """Take one step along the gradients by what is learnt, after W1 has shrunk; pairs stay pairs.

    `sign` is that of `pair`. W1 shrinks beside the gradient, not by a term in it: I. Loshchilov and
    F. Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101.
    """
    parameters = learnt(network, config.mirror)
    if config.weight_decay:
        parameters["W1"] *= 1 - config.learning_rate * config.weight_decay
    optimizer.step(parameters, gradients, config.learning_rate)
    if config.mirror:
        pair(network, sign)
