"""What can be done at each step, by an agent or a person."""

DOWN, UP, STAY = 0, 1, 2  # the agent of 2016 only ever moves

IDLE = -1  # of one among many games: that it is not played


def number_of_actions(stay: bool) -> int:
    """Count the actions there are, with staying or without."""
    return 3 if stay else 2
