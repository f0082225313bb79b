"""Stop conditions and the time they leave."""

import os
import signal

import pytest

from pgpong.state import Progress
from pgpong.stopping import Moment, Signals, StopConditions


def progress(update=0, episode=0, scores=()):
    p = Progress(update=update, episode=episode)
    p.scores.extend(scores)
    return p


@pytest.mark.parametrize(
    ("stop", "state", "seconds", "expected"),
    [
        (StopConditions(), progress(10**6, 10**6, [21] * 100), 1e9, None),
        (StopConditions(episodes=5), progress(episode=4), 0, None),
        (StopConditions(episodes=5), progress(episode=6), 0, "episode 6 reached"),
        (StopConditions(updates=5), progress(update=5), 0, "update 5 reached"),
        (StopConditions(minutes=2), progress(), 119.9, None),
        (StopConditions(minutes=2), progress(), 120, "2 minutes over"),
        (StopConditions(until=0), progress(scores=[3] * 99), 0, None),  # a hundred games are needed
        (StopConditions(until=0), progress(scores=[-1] + [0] * 99), 0, None),
        (StopConditions(until=0), progress(scores=[1, -1] * 50), 0, "mean score 0.0 reached"),
        (StopConditions(updates=5, minutes=9), progress(update=5), 0, "update 5 reached"),
    ],
)
def test_the_first_condition_met_stops(stop, state, seconds, expected):
    assert stop.reached(state, seconds) == expected


def test_time_left_is_extrapolated_from_the_second_half():
    # Slow at first, then a score point and ten episodes in 10 s.
    history = [
        Moment(seconds, update, episode, 0, score)
        for seconds, update, episode, score in (
            (0, 0, 0, -21),
            (100, 1, 5, -20),
            (110, 2, 15, -19),
            (120, 3, 25, -18),
        )
    ]
    assert StopConditions(until=-15).remaining(history, 0) == pytest.approx(3 * 20 / 2)
    assert StopConditions(episodes=45).remaining(history, 0) == pytest.approx(20 * 20 / 20)
    assert StopConditions(minutes=3).remaining(history, 60) == 120
    assert StopConditions(minutes=3, episodes=26).remaining(history, 0) == pytest.approx(1)
    assert StopConditions().remaining(history, 0) is None
    assert StopConditions(until=5).remaining(history[:1], 0) is None
    falling = [Moment(0, 0, 0, 0, -18), Moment(10, 1, 1, 0, -19)]
    assert StopConditions(until=0).remaining(falling, 0) is None


@pytest.fixture
def heard():
    """SIGINT is heard, even if these tests run in the background, where shells have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_signal_is_noted_and_the_second_has_its_way(heard):
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert not signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals()
        assert signals.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_ignored_stays_ignored():
    """As in a job that a script began with &: a Ctrl-C is for what runs in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert not stopped()
            signal.raise_signal(signal.SIGTERM)
            assert stopped.received == signal.SIGTERM
            signal.raise_signal(signal.SIGINT)  # still not
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
