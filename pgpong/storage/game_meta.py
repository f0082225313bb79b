"""A game's settings as flat metadata: what agents' and replays' files say of where they belong."""

from pathlib import Path
from typing import Any

from pgpong.envs.game import Game, find_game
from pgpong.errors import FileFormatError, SettingError
from pgpong.storage.arrays import Meta

GAME_KEYS = {"env": str, "frameskip_low": int, "frameskip_high": int, "sticky": float, "max_frames": int}


def pack_game(game: Game) -> Meta:
    """Return a game's settings; a fixed frameskip n is the range from n to n + 1, which is excluded."""
    skip = game.frameskip
    low, high = (skip, skip + 1) if isinstance(skip, int) else skip
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
        game = find_game(env, low if high == low + 1 else (low, high), sticky)
    except SettingError as error:
        raise FileFormatError(f"{path}: {error}") from error
    if game.max_frames != max_frames:
        raise FileFormatError(
            f"{path}: episodes end after {max_frames} frames, in {env} after {game.max_frames}"
        )
    if not low < high:
        raise FileFormatError(f"{path}: no step takes {low} to {high - 1} frames")
    return game
