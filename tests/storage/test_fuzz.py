"""Mutated files: whatever stands in a file, reading it ends with an agent or with our own error."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError
from pgpong.learning.policy import Policy
from pgpong.storage.arrays import DTYPES, parse
from tests.storage.forging import forge, header_text, model_file

ROUND = 5_000
LONG_ROUNDS = 200

POLICY = Policy.initialise(np.random.default_rng(0), 1, 6400, fan_in=40)
AGENT = Agent(POLICY, find_game("Pong-v0"), {"run": "night", "episode": 12}).pack()
CHECKPOINT = (
    {**AGENT[0], "training.update": 3, "training.rng": 1 << 127},
    {**AGENT[1], "m.W2": np.zeros(1, np.float32), "scores": np.arange(5), "none": np.empty((0, 3))},
)
FILES = [model_file(*contents) for contents in (AGENT, CHECKPOINT)]

# Signatures, words of the format, and numbers at which something overflows, turns negative or begins.
WORDS = [
    *(
        b"PK\1\2",
        b"PK\3\4",
        b"PK\5\6",
        b"PK\6\6",
        b"\x93NUMPY",
        b"|O",
        b"<f8",
        b"W1",
        b"header",
        b"training.",
    ),
    *(b'"', b"]", b"[[", b"}", b"null", b"NaN", b"1e999", b"-1", b"true", b"\\u001b", b"\\ud800", b"9" * 41),
    *(n.to_bytes(size, "little") for size in (2, 4, 8) for n in (0, 1, 8, 0x7FFF, (1 << 8 * size) - 1)),
]
PLACES = st.integers(0, 1 << 15)
BYTES = st.binary(min_size=1, max_size=64) | st.sampled_from(WORDS)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("overwrite"), PLACES, BYTES),
        st.tuples(st.just("insert"), PLACES, BYTES),
        st.tuples(st.just("cut"), PLACES, st.integers(1, 256)),
        st.tuples(st.just("cut off"), PLACES, st.none()),
        st.tuples(st.just("splice"), PLACES, st.tuples(st.sampled_from(FILES), PLACES, st.integers(1, 256))),
    ),
    min_size=1,
    max_size=4,
)

STRINGS = st.text(st.sampled_from("aW1.é雪 \x1b\n\x7f\u202e\ud800/\\\"'{"), max_size=42)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), STRINGS)
VALUES = SCALARS | st.sampled_from([10**40, "x" * 1001, [], [1], {}, "ALE/Pong-v5", *AGENT[0].values()])
KEYS = st.sampled_from([*CHECKPOINT[0], "provenance.x", "training.x"]) | STRINGS
SHAPES = st.lists(st.integers(-1, 3) | st.sampled_from([6400, 1 << 30, 1 << 63, True, 1.0, None]), max_size=5)
SPECS = st.tuples(
    st.sampled_from([*CHECKPOINT[1], "header"]) | STRINGS, st.sampled_from([*DTYPES, ">f4", "|O", 1]), SHAPES
)


def mutate(content, changes):
    """Apply `changes` to `content`; places are counted from both ends, where the structure is."""
    for kind, place, what in changes:
        at = (place // 2 if place % 2 else -place // 2) % (len(content) + 1)
        if kind == "overwrite":
            content = content[:at] + what + content[at + len(what) :]
        elif kind == "insert":
            content = content[:at] + what + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + what :]
        elif kind == "cut off":
            content = content[:at]
        else:
            source, begin, length = what
            content = content[:at] + source[begin : begin + length] + content[at + length :]
    return content


# In the latter three the JSON text is mutated and then framed anew, with the right lengths and checksums.
AGENTS = st.sampled_from([AGENT, CHECKPOINT])
MUTANTS = st.one_of(
    st.builds(mutate, st.sampled_from(FILES), CHANGES),
    st.builds(lambda agent, changes: forge(mutate(header_text(*agent), changes), agent[1]), AGENTS, CHANGES),
    st.builds(
        lambda agent, meta: forge(header_text({**agent[0], **meta}, agent[1]), agent[1]),
        AGENTS,
        st.dictionaries(KEYS, VALUES, min_size=1, max_size=3),
    ),
    st.builds(
        lambda agent, specs: forge(header_text(*agent, arrays=specs), agent[1]),
        AGENTS,
        st.lists(SPECS, max_size=4),
    ),
)


def read(content):
    """Read a file's content as all commands do; return whether it is a sound file."""
    try:
        meta, arrays = parse(content, "file")
    except FileFormatError:
        return False
    assert model_file(meta, arrays) == content
    with suppress(FileFormatError):
        Agent.unpack(Path("file"), meta, arrays)
    return True


def test_only_our_own_error_comes_out_of_mutated_files(long, tally, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))  # or it makes a folder where one works
    outcomes = []

    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTANTS)
    def check(content):
        outcomes.append(read(content))

    rounds = LONG_ROUNDS if long else 1
    for number in range(rounds):
        seed(number)(check)()
    assert 0.02 < sum(outcomes) / len(outcomes) < 0.5  # some reach the end, most do not
    tally("fuzz", len(outcomes), rounds * ROUND)
