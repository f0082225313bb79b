"""What agents' and replays' files both say, as flat metadata: their game, and how they came about."""

from pathlib import Path
from typing import Any

from pgpong.envs.game import Game, find_game
from pgpong.errors import FileFormatError, SettingError
from pgpong.storage.arrays import Meta

PROVENANCE = "provenance."  # keys that begin so are free: how an agent or a replay came about
GAME_KEYS = {"env": str, "frameskip_low": int, "frameskip_high": int, "sticky": float, "max_frames": int}


def pack_game(game: Game) -> Meta:
    """Return a game's settings; a fixed frameskip n is the range from n to n + 1, which is excluded."""
    low, high = game.skip_range
    return {
        "env": game.id,
        "frameskip_low": low,
        "frameskip_high": high,
        "sticky": float(game.sticky),
        "max_frames": game.max_frames,
    }


def unpack_game(path: Path, meta: Meta) -> Game:
    """Make a game of what `pack_game` returned and a file brought back; `path` is named in errors.

    Raises:
        FileFormatError: the settings are not whole, out of range, or not those of a Pong of today.
    """
    values: list[Any] = [meta.get(key) for key in GAME_KEYS]
    if [type(value) for value in values] != [*GAME_KEYS.values()]:
        raise FileFormatError(f"{path}: the settings of its game are not whole")
    env, low, high, sticky, max_frames = values
    try:
        game = find_game(env, (low, high), sticky)
    except SettingError as error:
        raise FileFormatError(f"{path}: {error}") from error
    if game.max_frames != max_frames:
        raise FileFormatError(
            f"{path}: episodes end after {max_frames} frames, in {env} after {game.max_frames}"
        )
    return game
