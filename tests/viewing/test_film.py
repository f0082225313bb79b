"""Films, decoded again: number of pictures, size, rate, length, and the pictures themselves."""

import json
import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pgpong.envs.game import find_game
from pgpong.errors import DiskError, RunError, SettingError
from pgpong.viewing.film import HOLD, Look, Picture, excerpt, game_pictures, write_film
from pgpong.viewing.overlay import screen
from pgpong.viewing.playback import Playback, play

ROOT = Path(__file__).parent.parent.parent
BARE = Look(overlay=False)


def scenes(env="ALE/Pong-v5", steps=60):
    """The beginning of a game."""
    return list(islice(play(Playback(find_game(env)), 0, lambda scene: (1, 0.75, None)), steps))


def read_mp4(path):
    """Times of the pictures in frames of the game, the pictures, and the stream."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [frame.pts * frame.time_base * 60 for frame in frames]
        facts = {
            "codec": stream.codec_context.name,
            "pixels": stream.codec_context.pix_fmt,
            "rate": stream.average_rate,
            "length": stream.duration * stream.time_base,
        }
        return times, [rgb(frame) for frame in frames], facts


def rgb(frame):
    """The colours that BT.709 makes of a picture, by its own formula; players follow the file's tag."""
    assert (frame.colorspace, frame.color_range) == (1, 1)
    planes = frame.to_ndarray()
    height, width = frame.height, frame.width
    y = (planes[:height] - 16.0) / 219
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    u, v = (chroma.repeat(2, axis=1).repeat(2, axis=2) - 128.0) / 224
    colours = np.stack((y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u), axis=-1)
    return np.rint(255 * colours.clip(0, 1)).astype(np.uint8)


def read_gif(path):
    """Durations of the pictures in milliseconds, and the pictures."""
    durations, pictures = [], []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
            pictures.append(np.asarray(image.convert("RGB")))
    return durations, pictures


def test_an_mp4_has_a_picture_a_step_at_the_games_rate(tmp_path):
    shown = scenes()
    length = write_film(tmp_path / "game.mp4", game_pictures(shown, BARE))
    times, pictures, facts = read_mp4(tmp_path / "game.mp4")
    assert times == [4 * n for n in range(59 + HOLD // 4)]
    assert facts["length"] == Fraction(59 * 4 + HOLD, 60)
    assert length == pytest.approx(float(facts["length"]))
    assert facts["rate"] == 15
    assert (facts["codec"], facts["pixels"]) == ("h264", "yuv420p")
    for scene, picture in zip(shown, pictures, strict=False):
        assert picture.shape == (420, 640, 3)
        error = np.abs(picture.astype(int) - screen(scene, 2))
        assert error.mean() < 2
        assert (error > 40).mean() < 0.002
    background = pictures[-1][200, 100].astype(int)
    assert np.abs(background - shown[-1].screen[100, 25]).max() <= 2  # the same brown


def test_an_mp4_begins_with_its_index_so_that_browsers_play_while_they_load(tmp_path):
    write_film(tmp_path / "game.mp4", game_pictures(scenes(steps=5), BARE))
    content = (tmp_path / "game.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_a_random_frameskip_gives_varying_times(tmp_path):
    shown = scenes("Pong-v0")
    assert len({b.frame - a.frame for a, b in pairwise(shown)}) == 3
    write_film(tmp_path / "game.mp4", game_pictures(shown, BARE))
    write_film(tmp_path / "game.gif", game_pictures(shown, Look()))
    times, _, facts = read_mp4(tmp_path / "game.mp4")
    assert times[: len(shown)] == [scene.frame for scene in shown]
    assert facts["length"] == Fraction(shown[-1].frame + HOLD, 60)
    durations, _ = read_gif(tmp_path / "game.gif")
    assert sum(durations) == pytest.approx((shown[-1].frame + HOLD) / 0.06, abs=10)


@pytest.mark.parametrize("overlay", [False, True])
def test_a_gif_has_the_games_exact_colours_and_length(tmp_path, overlay):
    shown, look = scenes(), Look("who", "how", overlay=overlay)
    length = write_film(tmp_path / "game.gif", game_pictures(shown, look))
    durations, pictures = read_gif(tmp_path / "game.gif")
    assert sum(durations) == pytest.approx(1000 * length, abs=10)
    drawn = [look.draw(scene) for scene in shown]
    moved = [a for a, b in zip(drawn, [None, *drawn], strict=False) if not np.array_equal(a, b)]
    assert len(pictures) == len(moved)  # a picture that stays is stored once
    np.testing.assert_array_equal(pictures, moved)
    assert set(durations[:-1]) >= {60, 70} if overlay else True
    with Image.open(tmp_path / "game.gif") as image:
        assert image.info["loop"] == 0


def test_a_gif_of_sixty_pictures_a_second_leaves_some_out_and_keeps_the_time(tmp_path):
    pictures = [Picture(np.full((2, 2, 3), n, np.uint8), 1) for n in range(60)]
    write_film(tmp_path / "fast.gif", pictures)
    durations, shown = read_gif(tmp_path / "fast.gif")
    assert min(durations) >= 20  # what is shorter, browsers make 100
    assert sum(durations) == 1000
    assert shown[-1].max() == 59


def test_a_gif_takes_the_nearest_colours_when_it_has_no_more(tmp_path):
    pictures = [Picture(np.full((2, 2, 3), (n % 256, 0, n // 2), np.uint8), 4) for n in range(300)]
    write_film(tmp_path / "many.gif", pictures)
    _, shown = read_gif(tmp_path / "many.gif")
    np.testing.assert_array_equal(shown[:255], [picture.pixels for picture in pictures[:255]])
    assert len(shown) > 255


def test_a_film_with_overlay_is_wider_by_the_panel(tmp_path):
    write_film(tmp_path / "game.mp4", game_pictures(scenes(steps=3), Look(scale=1)))
    assert read_mp4(tmp_path / "game.mp4")[1][0].shape == (210, 496, 3)


def test_an_excerpt_ends_in_time():
    pictures = [Picture(np.zeros((2, 2, 3), np.uint8), 4)] * 100
    assert len(list(excerpt(pictures, 2))) == 30
    assert len(list(excerpt(pictures, None))) == 100


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("error", [RunError("another version"), KeyboardInterrupt()])
def test_what_goes_wrong_leaves_nothing_behind(tmp_path, suffix, error):
    def pictures():
        yield from game_pictures(scenes(), BARE)
        raise error

    with pytest.raises(type(error)):
        write_film(tmp_path / f"game{suffix}", pictures())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"game{suffix}").write_text("the film before")
    with pytest.raises(type(error)):
        write_film(tmp_path / f"game{suffix}", pictures(), overwrite=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the film before"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("room", [0, 2000, 20000])
def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path, suffix, room):
    noise = np.random.default_rng(0)
    pictures = (Picture(60 * noise.integers(0, 4, (210, 320, 3), np.uint8), 4) for _ in range(20))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        with pytest.raises(DiskError, match=f"cannot write .*game{suffix}: "):
            write_film(tmp_path / f"game{suffix}", pictures)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_is_refused_before_anything_is_played(tmp_path):
    def never():
        pytest.fail("played")
        yield

    with pytest.raises(SettingError, match=r"expected the name of a \.mp4 or \.gif file, got '.*game\.avi'"):
        write_film(tmp_path / "game.avi", never())
    (tmp_path / "old.gif").touch()
    with pytest.raises(RunError, match=r"old\.gif exists: choose another --out, or give --overwrite"):
        write_film(tmp_path / "old.gif", never())
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(RunError, match="is a folder"):
        write_film(tmp_path / "folder.gif", never(), overwrite=True)
    with pytest.raises(DiskError, match="No such file or directory"):
        write_film(tmp_path / "nowhere" / "game.gif", never())


def test_names_with_signs_that_ffmpeg_knows_are_only_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pipe:1.mp4", "-%d.MP4", "ü 夜.mp4"):
        write_film(Path(name), game_pictures(scenes(steps=2), BARE))
        assert Path(name).stat().st_size > 1000


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_memory_stays_flat_whatever_the_length(tmp_path, long, suffix):
    """At full size in the long form; in the short one fewer steps and smaller pictures."""
    steps, most = (27000, 100e6) if long else (6000, 50e6)
    size = [] if long else ["--scale", "1", "--no-overlay"]
    command = [
        sys.executable,
        ROOT / "benchmarks" / "film.py",
        "--film",
        suffix,
        "--steps",
        str(steps),
        *size,
    ]
    answer = subprocess.run(
        command,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    result = json.loads(answer.stdout)
    assert result["seconds"] > 0.95 * steps / 15
    assert result["memory_bytes"] < most
