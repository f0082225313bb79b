"""Films: scenes in, an .mp4 or a .gif file out, whole or not at all.

    write_film(Path("game.mp4"), agent_pictures(agent, 0, Look("my agent")))

Every picture is encoded as it comes, so that memory stays flat however long the film.
"""

import math
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.GifImagePlugin import getdata

from pgpong.agent import Agent
from pgpong.envs.game import Game
from pgpong.errors import RunError, SettingError
from pgpong.storage.files import opened, replacing
from pgpong.storage.replay import Replay
from pgpong.viewing.overlay import RGB, screen, title_card, with_caption, with_panel
from pgpong.viewing.playback import FRAMES_PER_SECOND, Playback, Scene, agent_player, play, play_replay

if TYPE_CHECKING:
    import av

Indices = npt.NDArray[np.uint8]  # (height, width), numbers of a palette

_ENCODER: Final = "libx264"
SHORTEST_DELAY = 2  # hundredths of a second: what is shorter in a GIF, browsers make a tenth
LONGEST_DELAY = 65535
_PALETTE_PLACE = 13  # of the palette in a GIF
_FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # play it again and again

HOLD = FRAMES_PER_SECOND  # frames that the last picture of a game stays
CARD = 3 * FRAMES_PER_SECOND // 2  # frames that a title card stays


class Picture(NamedTuple):
    """A picture and how long it is shown, in frames of the game's time (60 a second)."""

    pixels: RGB
    frames: int


@dataclass(frozen=True)
class Look:
    """How a game is drawn: with a panel of who plays and what the network sees, or the screen alone."""

    title: str = ""
    detail: str = ""
    scale: int = 2
    overlay: bool = True
    caption: bool = False  # whether the title is written over the screen where there is no panel

    def draw(self, scene: Scene) -> RGB:
        """Draw a scene."""
        if self.overlay:
            return with_panel(scene, self.title, self.detail, self.scale)
        if self.caption:
            return with_caption(scene, f"{self.title} · {self.detail}", self.scale)
        return screen(scene, self.scale)

    def card(self, *lines: str) -> RGB:
        """Draw a title card of the same size."""
        return title_card((496 if self.overlay else 320) * self.scale, self.scale, *lines)


def agent_pictures(agent: Agent, seed: int, look: Look, *, greedy: bool = False) -> Iterator[Picture]:
    """Film an agent that plays the game of a seed.

    Actions are sampled, unless `greedy`, from a generator of the same seed: the same call, the same film.
    """
    rng = None if greedy else np.random.default_rng(seed)
    look = replace(look, detail=f"{look.detail}seed {seed} · {'greedy' if greedy else 'sampled'}")
    return game_pictures(play(Playback(agent.game), seed, agent_player(agent, rng)), look)


def games_pictures(
    agent: Agent, seeds: range, look: Look, *, greedy: bool, seconds: float | None
) -> Iterator[Picture]:
    """Film the games of the seeds, behind title cards if they are several."""
    for number, seed in enumerate(seeds, start=1):
        if len(seeds) > 1:
            which = f"game {number} of {len(seeds)} · seed {seed}"
            yield from card_pictures(look, agent.game, look.title, which, str(agent.game))
        yield from excerpt(agent_pictures(agent, seed, look, greedy=greedy), seconds)


def replay_pictures(replay: Replay, look: Look) -> Iterator[Picture]:
    """Film a replay; its last picture is followed by a `RunError` if it did not come out as it was played."""
    look = replace(look, detail=f"replay · seed {replay.seed} · score {replay.score:+d}")
    return game_pictures(play_replay(Playback(replay.game), replay), look)


def card_pictures(look: Look, game: Game, *lines: str) -> Iterator[Picture]:
    """Show a title card before a game."""
    shortest, _ = game.skip_range
    return hold(look.card(*lines), CARD, shortest)


def game_pictures(scenes: Iterable[Scene], look: Look) -> Iterator[Picture]:
    """Draw a game, a picture a step, each shown until the next step; the last one is held."""
    last: Scene | None = None
    frames = 1
    for scene in scenes:
        if last is not None:
            frames = scene.frame - last.frame
            yield Picture(look.draw(last), frames)
        last = scene
    if last is not None:
        yield from hold(look.draw(last), HOLD, frames)


def hold(pixels: RGB, frames: int, step: int) -> Iterator[Picture]:
    """Show a picture for so many frames.

    It is repeated at the game's pace: phones and messengers handle an even rate best, and it costs nothing.
    """
    for begin in range(0, frames, step):
        yield Picture(pixels, min(step, frames - begin))


def excerpt(pictures: Iterable[Picture], seconds: float | None) -> Iterator[Picture]:
    """Take the pictures of the first `seconds`; all with None."""
    left = math.inf if seconds is None else seconds * FRAMES_PER_SECOND
    for picture in pictures:
        if left <= 0:
            return
        yield picture
        left -= picture.frames


def write_film(path: Path, pictures: Iterable[Picture], *, overwrite: bool = False) -> float:
    """Write a film of pictures of one size; return its length in seconds.

    What is raised while the pictures are made, Ctrl-C too, leaves neither a film nor a part of one behind.

    Raises:
        SettingError: the name ends in no known suffix, or PyAV is needed and not installed.
        RunError: there is something at `path`, and it is not to be overwritten.
        DiskError: the system refused to write.
    """
    check_target(path, overwrite)
    frames = 0
    with _whole(path) as temporary, _WRITERS[path.suffix.lower()](temporary) as film:
        for pixels, shown in pictures:
            film.add(pixels, shown)
            frames += shown
    return frames / FRAMES_PER_SECOND


def check_target(path: Path, overwrite: bool) -> None:
    """Check that a film may be written at `path`.

    Raises:
        SettingError: its name ends in no known suffix, or PyAV is needed and not installed.
        RunError: there is something already, and it is not to be overwritten.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise SettingError(f"expected the name of a {' or '.join(_WRITERS)} file, got {str(path)!r}")
    if suffix == ".mp4" and not can_write_mp4():
        raise SettingError(".mp4 films need PyAV: pip install 'pgpong[video]', or write a .gif")
    if path.is_dir():
        raise RunError(f"{path} is a folder: choose another --out")
    if os.path.lexists(path) and not overwrite:
        raise RunError(f"{path} exists: choose another --out, or give --overwrite")


def can_write_mp4() -> bool:
    """Tell whether PyAV is here, with the encoder that makes H.264."""
    try:
        import av
    except ImportError:
        return False
    return _ENCODER in av.codecs_available


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Name a new file beside `path` that takes its place after the block, and vanishes if the block fails.

    Raises:
        DiskError: the system refused.
    """
    with replacing(path) as temporary:
        with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
            pass
        yield temporary
        with opened(temporary, os.O_RDWR) as handle:
            os.fsync(handle)


class _Writer(Protocol):
    """Writes one film, complete once it is left without an error."""

    def __init__(self, path: Path) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, pixels: RGB, frames: int) -> None:
        """Show a picture for so many frames."""


class _Mp4:
    """H.264 in an .mp4 that browsers and phones play while they still load it."""

    def __init__(self, path: Path) -> None:
        import av
        from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

        self._av = av
        # An absolute path, for FFmpeg takes "name:" at the beginning for a protocol.
        self._container = av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"})
        # Without B-frames pictures leave in the order they came, and the first is at time zero everywhere.
        # A ball in a straight line needs no finer search for motion.
        options = {"preset": "veryfast", "crf": "18", "bf": "0", "g": "120", "x264-params": "me=dia:subme=0"}
        self._stream = self._container.add_stream(_ENCODER, rate=FRAMES_PER_SECOND, options=options)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        # Not one a core: memory and bytes are the same on every machine.
        context.thread_count = 2
        # Said in the file; else players guess from the picture's size, and some show other colours.
        self._colours = Colorspace.ITU709
        context.color_primaries = context.color_trc = context.colorspace = self._colours
        context.color_range = ColorRange.MPEG
        self._nearest = Interpolation.POINT  # of the four pixels that share a colour in yuv420p
        self._reformatter = VideoReformatter()
        self._frame = 0
        self._waiting: deque[int] = deque()  # frames of each picture that is in the encoder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._encode(None)
            self._container.close()
        else:
            with suppress(self._av.FFmpegError):  # what went wrong first is said
                self._container.close()

    def add(self, pixels: RGB, frames: int) -> None:
        """Show a picture for so many frames."""
        if not self._frame:
            self._stream.height, self._stream.width, _ = pixels.shape
        picture = self._reformatter.reformat(
            self._av.VideoFrame.from_ndarray(pixels, "rgb24"),
            format="yuv420p",
            dst_colorspace=self._colours,
            interpolation=self._nearest,
        )
        picture.pts = self._frame
        self._frame += frames
        self._waiting.append(frames)
        self._encode(picture)

    def _encode(self, picture: "av.VideoFrame | None") -> None:
        """Give the encoder a picture, None after the last; write what it has done."""
        for packet in self._stream.encode(picture):
            packet.duration = self._waiting.popleft()
            self._container.mux(packet)


class _Gif:
    """A GIF of exact colours, as long as there are no more than 255, in which only what changes is written.

    Pillow compresses the pictures; its own writer of moving GIFs keeps them all in memory until the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The palette's number of each of the 2**24 colours, 0 for those not met: memory that is never touched
        # costs nothing. 0 also stands for transparent, "as before", in the pictures.
        self._numbers = np.zeros(1 << 24, np.uint8)
        self._palette = np.zeros((256, 3), np.uint8)
        self._colours = 1
        self._frame = 0
        self._shown: Indices | None = None  # the picture that stands after all that is written
        self._next: Indices | None = None  # the one that is written once it is known how long it stays
        self._since = 0  # when it begins, in hundredths of a second

    def __enter__(self) -> Self:
        self._file = self._path.open("r+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._flush(max(self._now - self._since, SHORTEST_DELAY))
                self._file.write(b";")
                self._file.seek(_PALETTE_PLACE)
                self._file.write(self._palette.tobytes())

    def add(self, pixels: RGB, frames: int) -> None:
        """Show a picture for so many frames."""
        picture = self._index(pixels)
        if self._next is None:
            height, width = picture.shape
            self._file.write(struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF7, 0, 0))
            self._file.write(self._palette.tobytes() + _FOR_EVER)
            self._next = picture
        elif not np.array_equal(picture, self._next):
            if (delay := self._now - self._since) >= SHORTEST_DELAY:
                self._flush(delay)
                self._since = self._now
            self._next = picture
        self._frame += frames

    @property
    def _now(self) -> int:
        """The time, in hundredths of a second, rounded, so that errors do not add up."""
        return round(100 * self._frame / FRAMES_PER_SECOND)

    def _flush(self, delay: int) -> None:
        """Write the picture that is next: the rectangle that differs, and of that, what differs."""
        assert self._next is not None
        picture, self._shown, before = self._next, self._next, self._shown
        top = left = 0
        if before is not None:
            changed = picture != before
            rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
            # Nothing differs where a picture that was too short came between two that are the same.
            top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, 1)
            left, right = (columns[0], columns[-1] + 1) if len(columns) else (0, 1)
            picture = np.where(changed, picture, np.uint8(0))[top:bottom, left:right]
        height, width = picture.shape
        image = Image.frombytes("P", (width, height), picture.tobytes())
        milliseconds = 10 * min(delay, LONGEST_DELAY)
        for piece in getdata(image, (int(left), int(top)), duration=milliseconds, transparency=0, disposal=1):
            self._file.write(piece)

    def _index(self, pixels: RGB) -> Indices:
        """Replace colours by their numbers in the palette, which takes up new ones."""
        red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
        colours = red << 16 | green << 8 | blue
        numbers: Indices = self._numbers[colours]
        if not numbers.all():
            for colour in np.unique(colours[numbers == 0]).tolist():
                self._numbers[colour] = self._number(colour)
            numbers = self._numbers[colours]
        return numbers

    def _number(self, colour: int) -> int:
        """Return the number of a new colour, or, where there is no more room, of the nearest."""
        channels = np.array((colour >> 16, colour >> 8 & 255, colour & 255))
        if self._colours == len(self._palette):
            return 1 + int(np.square(self._palette[1:] - channels).sum(axis=1).argmin())
        self._palette[self._colours] = channels
        self._colours += 1
        return self._colours - 1


_WRITERS: dict[str, type[_Writer]] = {".mp4": _Mp4, ".gif": _Gif}
