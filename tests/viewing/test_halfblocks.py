"""Pictures in half blocks: against hand-worked ones, and on the screen of a terminal emulator."""

from dataclasses import replace

import numpy as np
import pyte
import pytest

from pgpong.envs.game import find_game
from pgpong.viewing.halfblocks import (
    Box,
    Canvas,
    Depth,
    bar,
    compose,
    encode,
    lay_out,
    nearest,
    pack,
    shrink,
    shrink_screen,
)
from pgpong.viewing.playback import Playback
from pgpong.viewing.watching import Controls

SIZES = [(20, 8), (40, 12), (60, 30), (80, 24), (80, 53), (120, 40), (200, 60), (240, 130)]
COURT, BALL, US, THEM = 0x904811, 0xECECEC, 0x5CBA5C, 0xD5824A


@pytest.fixture(scope="module")
def scenes():
    """A rally or two of a game that is played at random."""
    playback = Playback(find_game("ALE/Pong-v5"))
    playback.begin(0)
    rng = np.random.default_rng(0)
    return [replace(playback.step(int(rng.integers(2))), probability=float(rng.random())) for _ in range(160)]


class Emulated:
    """A terminal in memory."""

    def __init__(self, columns, rows):
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)

    def feed(self, data):
        self._stream.feed(data)
        return self

    @property
    def cells(self):
        """What is to be seen: of a space, its foreground is not."""
        buffer, size = self.screen.buffer, self.screen
        cells = [[buffer[y][x] for x in range(size.columns)] for y in range(size.lines)]
        return [[(c.data, c.bg, c.fg if c.data != " " else "") for c in row] for row in cells]


def test_a_cell_shows_two_pixels_and_equal_ones_as_a_space():
    canvas = Canvas(3, 2)
    red, blue = 0xFF0000, 0x0000FF
    canvas.paint(Box(1, 1, 1, 2), np.array([[red, red], [blue, red]], np.uint32), 0)
    data = encode(canvas, None, Depth.FULL)
    assert data == (
        b"\x1b[?2026h\x1b[m\x1b[2J\x1b[2;2H\x1b[38;2;255;0;0;48;2;0;0;255m\xe2\x96\x80"
        b"\x1b[48;2;255;0;0m \x1b[?2026l"
    )


def test_only_what_changed_is_sent():
    before, after = Canvas(10, 2), Canvas(10, 2)
    before.write(0, 0, "score 3")
    after.write(0, 0, "score 4")
    after.write(0, 9, "!")
    assert encode(after, before, Depth.NONE) == b"\x1b[?2026h\x1b[1;7H4\x1b[2C!\x1b[?2026l"
    assert encode(after, after, Depth.NONE) == b""


def test_text_is_cut_at_the_edge_and_cannot_command_the_terminal():
    canvas = Canvas(8, 1)
    canvas.write(0, 2, "ab\x1b[2J日x")
    assert bytes(canvas.cells[0, 0].astype(np.uint8)) == b"  ab?[2J"
    canvas.write(0, 9, "far outside")
    assert bytes(canvas.cells[0, 0].astype(np.uint8)) == b"  ab?[2J"


def test_the_pixel_of_most_contrast_stays_and_enlarging_repeats():
    pixels = np.full((4, 4), COURT, np.uint32)
    pixels[1, 1], pixels[1, 2], pixels[3, 0] = BALL, US, THEM
    assert shrink(pixels, 2, 2, COURT).tolist() == [[BALL, US], [THEM, COURT]]
    assert shrink(pixels, 1, 1, COURT).tolist() == [[BALL]]
    assert (shrink(pixels, 8, 8, COURT) == pixels.repeat(2, 0).repeat(2, 1)).all()


def test_without_colours_shapes_tell_what_is_there():
    canvas = Canvas(4, 1, colours=False)
    pixels = np.array([[0, BALL, 0, BALL], [0, 0, US, US]], np.uint32)
    canvas.paint(Box(0, 0, 1, 4), pixels, 0)
    assert "".join(map(chr, canvas.cells[0, 0])) == " ▀▄█"
    assert encode(canvas, None, Depth.NONE).count(b"m") == 1  # the reset


@pytest.mark.parametrize("size", SIZES)
def test_ball_and_paddles_are_always_there(scenes, size):
    game = lay_out(*size).game
    seen = dict.fromkeys((BALL, US, THEM), 0)
    for scene in scenes:
        small, background = shrink_screen(scene.screen, 2 * game.rows, game.columns)
        assert background == COURT
        block = -(-203 // len(small))  # rows of the screen in one here: so near, a wall hides a ball
        there = pack(scene.screen)[34 + block : 194 - block]
        court = small[-(-33 * len(small) // 203) : 193 * len(small) // 203]
        for thing in seen:
            if (there == thing).any():
                assert (court == thing).any()
                seen[thing] += 1
    assert min(seen.values()) > 30


def test_the_score_can_be_read_where_there_is_room(scenes):
    digit = pack(scenes[0].screen)[1:21, 116:132] == US
    small, _ = shrink_screen(scenes[0].screen, 203, 160)
    assert (small == pack(scenes[0].screen)[1:204]).all()
    assert 0 < digit.sum() < digit.size
    coarse, _ = shrink_screen(scenes[0].screen, 60, 80)
    assert 0 < (coarse[1:6, 58:64] != US).sum() < 20  # the hole in the zero is one


@pytest.mark.parametrize("size", SIZES)
def test_everything_has_its_place(size):
    columns, rows = size
    taken = np.zeros((rows, columns), int)
    taken[0] = taken[-1] = 1  # title and help
    for box in lay_out(columns, rows):
        assert min(box) >= 0
        assert box.row + box.rows < rows
        assert box.column + box.columns <= columns
        taken[box.row : box.row + box.rows, box.column : box.column + box.columns] += 1
    assert taken.max() == 1
    game = lay_out(columns, rows).game
    assert game.columns / game.rows == pytest.approx(2 * 4 / 3 * 210 / 203, rel=0.15)


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("size", [(80, 24), (80, 53)])
def test_after_any_sequence_the_screen_is_that_of_a_full_redraw(scenes, size, depth):
    shown, terminal = None, Emulated(*size)
    for i, scene in enumerate(scenes[:60]):
        controls = Controls(sees=i % 20 < 10, greedy=i % 7 < 3, paused=i % 5 == 0)
        canvas = compose(scene, f"game {i // 9}", controls, size, depth)
        terminal.feed(encode(canvas, shown, depth))
        shown = canvas
        if i % 6 == 0:
            assert terminal.cells == Emulated(*size).feed(encode(canvas, None, depth)).cells


def test_the_screen_of_the_emulator_holds_what_the_canvas_holds():
    rng = np.random.default_rng(1)
    canvas, shown, terminal = Canvas(13, 7), None, Emulated(13, 7)
    for _ in range(50):
        pixels = rng.choice(np.array([COURT, BALL, US], np.uint32), (14, 13))
        canvas = Canvas(13, 7)
        canvas.paint(Box(0, 0, 7, 13), pixels, COURT)
        terminal.feed(encode(canvas, shown, Depth.FULL))
        shown = canvas
        for y, row in enumerate(terminal.cells):
            for x, (data, below, above) in enumerate(row):
                expected = [f"{pixel:06x}" for pixel in pixels[2 * y : 2 * y + 2, x]]
                assert [below if data == " " else above, below] == expected


@pytest.mark.parametrize("depth", [Depth.MANY, Depth.SIXTEEN])
def test_few_colours_still_tell_everything_apart(depth):
    assert len({nearest(colour, depth) for colour in (COURT, BALL, US, THEM)}) == 4
    assert len({nearest(colour, depth) for colour in (0x262626, 0x56B4E9, 0xE69F00)}) == 3
    assert nearest(0xFFFFFF, depth) == {Depth.MANY: 231, Depth.SIXTEEN: 15}[depth]


def test_sixteen_colours_are_set_with_their_own_codes():
    canvas = Canvas(1, 1)
    canvas.paint(Box(0, 0, 1, 1), np.array([[0xFFFFFF], [0xAA0000]], np.uint32), 0)
    assert b"\x1b[97;41m" in encode(canvas, None, Depth.SIXTEEN)


def test_the_panel_says_what_was_promised(scenes):
    scene = replace(scenes[-1], probability=0.75, stay=0.15, score=(3, 12), step=160)
    terminal = Emulated(80, 24)
    controls = Controls(paused=True, speed_level=0, greedy=True)
    terminal.feed(encode(compose(scene, "night best", controls, (80, 24), Depth.MANY), None, Depth.MANY))
    text = "\n".join(terminal.screen.display)
    for expected in ("night best", "score 3 : 12", "step  160", "speed x0.125 paused", "up    0.75  greedy",
                     "█" * 15, "stay  0.15", "the network sees", controls.help):  # fmt: skip
        assert expected in text, expected


def test_a_terminal_that_is_too_small_says_so(scenes):
    for size in ((19, 24), (80, 7), (3, 2), (1, 1)):
        terminal = Emulated(*size)
        canvas = compose(scenes[0], "title", Controls(), size, Depth.FULL)
        terminal.feed(encode(canvas, None, Depth.FULL))
        assert terminal.screen.display[0].startswith("too small:"[: size[0]])


def test_bars_are_as_long_as_their_share():
    assert [bar(share, 4) for share in (0, 1 / 32, 0.5, 1)] == ["", "▏", "██", "████"]
