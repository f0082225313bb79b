"""Games in a notebook: an inline player that needs no display, no browser extension and no event loop."""

import tempfile
from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from pgpong.agent import Agent
from pgpong.errors import SettingError
from pgpong.storage.replay import Replay
from pgpong.viewing.film import Look, agent_pictures, can_write_mp4, excerpt, replay_pictures, write_film
from pgpong.viewing.sources import load_subject


@dataclass(frozen=True)
class Player:
    """A film that Jupyter shows as a player."""

    film: bytes = field(repr=False)
    kind: str  # video/mp4 or image/gif
    title: str
    seconds: float

    def _repr_html_(self) -> str:
        source = f'src="data:{self.kind};base64,{b64encode(self.film).decode()}" style="max-width: 100%"'
        title = escape(self.title)
        if self.kind == "image/gif":
            player = f'<img {source} alt="{title}">'
        else:
            player = f"<video {source} controls autoplay loop muted playsinline></video>"
        return f"<figure>{player}<figcaption>{title}</figcaption></figure>"


def show(
    agent_or_replay: Agent | Replay | str | Path,
    seed: int = 0,
    *,
    greedy: bool = False,
    overlay: bool = True,
    scale: int = 2,
    seconds: float | None = 60,
) -> Player:
    """Play a game and return it as a player that Jupyter displays inline: a video, or without PyAV a GIF.

    Given are an agent, a replay, or what `pgpong watch` takes: a file, a run, RUN@500. Actions are sampled
    unless `greedy`; `seed` means nothing to a replay. The film becomes part of the notebook, so it ends after
    `seconds`; with None the whole game is shown.

    Raises:
        SettingError: there is no game of so many seconds.
        RunError: there is no such run, or the replay did not come out as it was played.
        FileFormatError: the file is damaged, or neither agent nor replay.
    """
    if seconds is not None and not seconds > 0:
        raise SettingError(f"expected more than 0 seconds, or None for the whole game, got {seconds}")
    title, subject = _load(agent_or_replay)
    look = Look(title=title, scale=scale, overlay=overlay)
    if isinstance(subject, Agent):
        pictures = agent_pictures(subject, seed, look, greedy=greedy)
        title += f" · seed {seed} · {subject.game}"
    else:
        pictures = replay_pictures(subject, look)
        title += f" · seed {subject.seed} · score {subject.score:+d} · {subject.game}"
    suffix, kind = (".mp4", "video/mp4") if can_write_mp4() else (".gif", "image/gif")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"game{suffix}"
        length = write_film(path, excerpt(pictures, seconds))
        return Player(path.read_bytes(), kind, title, length)


def _load(given: Agent | Replay | str | Path) -> tuple[str, Agent | Replay]:
    """Return what to call an agent or a replay, and itself."""
    if isinstance(given, Replay):
        return "replay", given
    if isinstance(given, Agent):
        run, episode = (given.provenance.get(key) for key in ("run", "episode"))
        return ("agent" if run is None else f"{run} · episode {episode}"), given
    return load_subject(str(given))
