"""One seed, the same game: singly and vectorised.

`AtariEnv.reset(seed=s)` seeds the emulator with the second word of `SeedSequence(s)` read as int32, while
`AtariVectorEnv.reset(seed=k)` seeds it with k itself and takes a negative k for "unseeded". Half of all
seeds therefore have no twin there. `usable_seed` replaces such a seed by one that has.
"""

import numpy as np


def usable_seed(seed: int) -> int:
    """Return the first of seed, seed + 2³², seed + 2·2³², ... whose emulator seed is not negative.

    >>> [usable_seed(seed) for seed in (0, 1, 2)]
    [4294967296, 1, 4294967298]
    """
    while emulator_seed(seed) >= 2**31:
        seed += 2**32
    return seed


def emulator_seed(seed: int) -> int:
    """Return the word, as unsigned, that `AtariEnv` hands to the emulator for `seed`."""
    return int(np.random.SeedSequence(seed).generate_state(2)[1])
