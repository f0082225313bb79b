"""One game of Pong on ale-py's emulator, seeded in milliseconds; the inside of the vector environment.

`AtariEnv` and `AtariVectorEnv` seed the emulator by loading the ROM again, which costs a tenth of a second,
a third of an episode. The emulator's state after that depends on the seed through one thing only: the
std::mt19937 generator that sticky actions draw from, which the state's serialisation spells out as text.
numpy's `RandomState` is the same generator, so a state of any seed can be written from one of them.

No state includes the action held for sticky actions, or the screen. `ALEInterface.reset_game` sees to both,
but plays 60 frames and more for it, after which every game looks the same. One frame without action will do.
"""

import struct

import ale_py.roms
import numpy as np
import numpy.typing as npt
from ale_py import Action, ALEInterface, ALEState

from pgpong.envs.game import Game
from pgpong.envs.preprocess import SCREEN_SHAPE

_TEMPLATE_SEED = 1
_UNSTICKY_SEED = 4284  # in its first frame an action does not stick, whatever the probability up to 0.99
_STATE_LENGTH = 24  # offset of the length of the state proper, after six numbers


class Emulator:
    """A game that equals `make()`'s, bit for bit: the same seeds, frameskip and end."""

    def __init__(self, game: Game) -> None:
        self._skip_range = game.skip_range
        self._ale = ALEInterface()
        self._ale.setInt("random_seed", _TEMPLATE_SEED)
        self._ale.setFloat("repeat_action_probability", game.sticky)
        self._ale.setInt("max_num_frames_per_episode", game.max_frames)
        rom = ale_py.roms.get_rom_path("pong")
        assert rom is not None, "ale-py's wheels bring it"
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        self._ale.reset_game()
        self._is_first = False  # whether the first screen is to be shown, which the emulator does not have
        self._first_screen = np.zeros(SCREEN_SHAPE, np.uint8)
        self._first_colours = np.zeros((*SCREEN_SHAPE, 3), np.uint8)
        self.read_screen(self._first_screen)
        self.read_colours(self._first_colours)
        self._template = _Template(self._ale.cloneState(include_rng=True).serialize())
        self._unsticky = self._template.seeded(_UNSTICKY_SEED) if game.sticky <= 0.99 else None
        self.reset(int(np.random.SeedSequence().generate_state(1)[0]))  # until somebody wants a seed

    def reset(self, seed: int | None = None) -> None:
        """Begin a game; without a seed the random generators go on from where they are."""
        self._is_first = False
        if seed is None or self._unsticky is None:
            self._ale.reset_game()
        else:
            self._ale.restoreState(self._unsticky)
            self._ale.act(Action.NOOP)  # this is the action held from now on
            self._is_first = True
        if seed is None:
            return
        # As `AtariEnv.seed_game` has it: one word for the frameskip's generator, one for the emulator's.
        words = np.random.SeedSequence(seed).generate_state(2).tolist()
        self._skips = np.random.Generator(np.random.PCG64(words[0]))
        self._ale.restoreState(self._template.seeded(words[1]))

    def step(self, action: int) -> int:
        """Play one step of the emulator's `action`, several frames; return the points won less those lost."""
        low, high = self._skip_range
        frames = low if high == low + 1 else int(self._skips.integers(low, high))
        self._is_first = False
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
        if self._is_first:
            out[:] = self._first_screen
        else:
            self._ale.getScreen(out)

    def read_colours(self, out: npt.NDArray[np.uint8]) -> None:
        """Copy the screen into `out` (210, 160, 3), as red, green and blue."""
        if self._is_first:
            out[:] = self._first_colours
        else:
            self._ale.getScreenRGB(out)


class _Template:
    """A serialised state of a game seeded with `_TEMPLATE_SEED`, cut where its random generator stands."""

    def __init__(self, state: bytes) -> None:
        generator = _generator_text(_TEMPLATE_SEED)
        self._before, found, self._after = state.partition(generator)
        if not found:
            raise RuntimeError("this ale-py serialises its states in a way that pgpong does not know")
        (length,) = struct.unpack_from("<I", state, _STATE_LENGTH)
        self._rest = length - len(generator)

    def seeded(self, seed: int) -> ALEState:
        """Return the state as it is with `seed`."""
        generator = _generator_text(seed)
        state = bytearray(self._before + generator + self._after)
        struct.pack_into("<I", state, _STATE_LENGTH, self._rest + len(generator))
        return ALEState(bytes(state))


def _generator_text(seed: int) -> bytes:
    """Return a freshly seeded std::mt19937 as C++ streams it, its 624 words and the place among them.

    Before the text stands its length, as in the serialised state.
    """
    _, words, place, *_ = np.random.RandomState(seed).get_state(legacy=True)
    text = b" ".join(b"%d" % word for word in [*np.asarray(words).tolist(), place])
    return struct.pack("<I", len(text)) + text
