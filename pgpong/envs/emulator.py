"""One game of Pong on ale-py's emulator, seeded in milliseconds; the inside of the vector environment.

`AtariEnv` and `AtariVectorEnv` seed the emulator by loading the ROM again, which costs a tenth of a second,
a third of an episode. The emulator's state after that depends on the seed through one thing only: the
std::mt19937 generator that sticky actions draw from, which the state's serialisation spells out as text.
numpy's `RandomState` is the same generator, so a state of any seed can be written from one of them.
"""

import struct

import ale_py.roms
import numpy as np
import numpy.typing as npt
from ale_py import ALEInterface, ALEState

from pgpong.envs.game import Game

_TEMPLATE_SEED = 1
_STATE_LENGTH = 24  # offset of the length of the state proper, after six numbers


class Emulator:
    """A game that equals `make()`'s, bit for bit: the same seeds, frameskip and end."""

    def __init__(self, game: Game) -> None:
        skip = game.frameskip
        self._skip_range = (skip, skip + 1) if isinstance(skip, int) else skip
        self._ale = ALEInterface()
        self._ale.setInt("random_seed", _TEMPLATE_SEED)
        self._ale.setFloat("repeat_action_probability", game.sticky)
        self._ale.setInt("max_num_frames_per_episode", game.max_frames)
        rom = ale_py.roms.get_rom_path("pong")
        assert rom is not None, "ale-py's wheels bring it"
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        self._ale.reset_game()
        self._template = self._ale.cloneState(include_rng=True).serialize()
        self.reset(int(np.random.SeedSequence().generate_state(1)[0]))  # until somebody wants a seed

    def reset(self, seed: int | None = None) -> None:
        """Begin a game; without a seed the random generators go on from where they are."""
        self._ale.reset_game()  # forgets the action held for sticky actions, which no state includes
        if seed is None:
            return
        # As `AtariEnv.seed_game` has it: one word for the frameskip's generator, one for the emulator's.
        words = np.random.SeedSequence(seed).generate_state(2).tolist()
        self._skips = np.random.Generator(np.random.PCG64(words[0]))
        self._ale.restoreState(_reseed(self._template, words[1]))

    def step(self, action: int) -> int:
        """Play one step of the emulator's `action`, several frames; return the points won less those lost."""
        low, high = self._skip_range
        frames = low if high == low + 1 else int(self._skips.integers(low, high))
        ale, held = self._ale, self._actions[action]
        score = 0
        for _ in range(frames):
            score += ale.act(held)
            if ale.game_over():
                break
        return score

    @property
    def terminated(self) -> bool:
        """Whether someone has won."""
        return bool(self._ale.game_over(with_truncation=False))

    @property
    def truncated(self) -> bool:
        """Whether the game has used up its frames."""
        return bool(self._ale.game_truncated())

    @property
    def frame(self) -> int:
        """Frames since the game began."""
        return int(self._ale.getEpisodeFrameNumber())

    def read_screen(self, out: npt.NDArray[np.uint8]) -> None:
        """Copy the screen into `out` (210, 160), as numbers of the Atari's palette."""
        self._ale.getScreen(out)

    def read_colours(self, out: npt.NDArray[np.uint8]) -> None:
        """Copy the screen into `out` (210, 160, 3), as red, green and blue."""
        self._ale.getScreenRGB(out)


def _reseed(template: bytes, seed: int) -> ALEState:
    """Return the state `template`, of a game seeded with `_TEMPLATE_SEED`, as it is with `seed`."""
    old, new = _generator_text(_TEMPLATE_SEED), _generator_text(seed)
    before, found, after = template.partition(struct.pack("<I", len(old)) + old)
    if not found:
        raise RuntimeError("this version of ale-py serialises its states in a way that pgpong does not know")
    state = bytearray(before + struct.pack("<I", len(new)) + new + after)
    (length,) = struct.unpack_from("<I", state, _STATE_LENGTH)
    struct.pack_into("<I", state, _STATE_LENGTH, length + len(new) - len(old))
    return ALEState(bytes(state))


def _generator_text(seed: int) -> bytes:
    """Return a freshly seeded std::mt19937 as C++ streams it: its 624 words, and the place among them."""
    _, words, place, *_ = np.random.RandomState(seed).get_state(legacy=True)
    return b" ".join(b"%d" % word for word in [*np.asarray(words).tolist(), place])
