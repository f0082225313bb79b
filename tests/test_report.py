"""pgpong report: one page about a run, read as HTML and opened in a real browser."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from pgpong import report, report_pictures
from pgpong.__main__ import main
from pgpong.config import RECIPES, TrainConfig, from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, RunError
from pgpong.report import provenance_of, result_of, sentence, settings_of, write_report
from pgpong.report_pictures import Figures, Image, draw_filters, last_scenes, make_film
from pgpong.storage.history import read_run
from pgpong.storage.replay import Replay
from pgpong.storage.run import Run
from tests.commands.test_commands import one_line_error
from tests.conftest import NO_EVALUATION

TRAINING = (
    "--updates", "6", "--num-envs", "2", "--batch-steps", "400", "--hidden", "12", "--seed", "1",
    *NO_EVALUATION,
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VOID = {"meta", "link", "img", "source", "br", "hr", "input"}


class Page(HTMLParser):
    """A page taken apart: its elements in order, its text; every element must be closed where it should."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def asks_for_nothing(html):
    """Assert that the page is whole in itself: no script, and no address but those of its own data."""
    page = Page(html)
    for tag, attrs in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "href", "poster", "action", "data", "background"):
                assert value.startswith("data:"), (tag, name, value[:80])
            assert "url(" not in (value or "")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    return page


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run that was really trained, until some games had been finished, and what `pgpong report` said."""
    folder = tmp_path_factory.mktemp("trained")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "--run", "tiny", *TRAINING]) == 0
        (folder / "runs" / "tiny" / "report.html").write_text("the report before")
        with redirect_stdout(said):
            assert main(["report"]) == 0
    return folder / "runs" / "tiny", said.getvalue()


@pytest.fixture(scope="module")
def trained(reported):
    """The folder of the run."""
    return reported[0]


@pytest.fixture(scope="module")
def html(trained):
    return (trained / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def run(trained, folder):
    """A copy of the run, to be damaged, in an empty working folder."""
    return Run(shutil.copytree(trained, folder / "runs" / "tiny", ignore=shutil.ignore_patterns("*.html")))


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def give_scores(run, scores):
    """Let the run have these scores, ten a update."""
    line = json.loads(run.metrics.read_text().splitlines()[0])
    episodes = [
        {"episode": n, "update": -(-n // 10), "score": score, "steps": 900, "frames": 3600, "seed": n}
        for n, score in enumerate(scores, start=1)
    ]
    updates = [
        {**line, "update": n, "episode": min(10 * n, len(scores)), "step": 1000 * n, "frame": 4000 * n,
         "seconds": 60.5 * n, "score_mean": None}
        for n in range(1, -(-len(scores) // 10) + 1)
    ]  # fmt: skip
    write_lines(run.metrics, updates)
    write_lines(run.episodes, episodes)
    return sentence(result_of(read_run(run)), read_run(run))


def test_the_page_is_whole_in_one_file_and_well_formed(html):
    page = asks_for_nothing(html)
    assert html.startswith("<!DOCTYPE html>")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert ids == ["curve", "game", "filters", "training", "settings", "provenance"]
    assert [tag for tag, _ in page.elements if tag in ("h1", "h2", "h3")] == ["h1"] + ["h2"] * 6
    assert "tiny" in page.text
    pictures = page.all("img")
    assert len(pictures) == 3
    assert all(len(picture["alt"]) > 60 for picture in pictures)
    (film,) = page.all("video")
    assert {"controls", "muted", "loop", "playsinline", "poster", "aria-label"} <= film.keys()
    assert page.all("html") == [{"lang": "en"}]


def test_figures_have_a_dark_and_a_narrow_form(html):
    media = [source["media"] for source in Page(html).all("source")]
    narrow, dark = "(max-width: 700px)", "(prefers-color-scheme: dark)"
    both = [f"{narrow} and {dark}", narrow, dark]
    assert media == [*both, narrow, *both]  # filters are on a dark ground for everybody


def test_the_command_says_what_it_wrote_and_replaces_it(reported):
    run, said = reported
    assert re.fullmatch(r"runs/tiny/report\.html: [01]\.\d MB\n", said)
    assert (run / "report.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert [path.name for path in run.iterdir() if path.suffix == ".tmp"] == []


def test_the_result_is_that_of_the_logs(trained, html):
    episodes = [json.loads(line) for line in (trained / "episodes.jsonl").read_text().splitlines()]
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    scores = [episode["score"] for episode in episodes]
    minutes, seconds = divmod(int(last["seconds"]), 60)
    won = sum(score > 0 for score in scores)
    assert won == 0
    expected = (
        f"After {len(episodes)} episodes in {minutes}:{seconds:02} of training ({last['step']:,} steps, "
        f"{last['frame']:,} frames) on ALE/Pong-v5 (frameskip 4, sticky 0.25), recipe fast, seed 1, the mean "
        f"score of its {len(scores)} games is {fmean(scores):+.1f}; of these none was won."
    )
    assert expected in Page(html).text


def test_the_result_of_a_long_run_is_that_of_its_last_100_games(run):
    scores = [int(score) for score in np.random.default_rng(0).integers(-21, 22, 1234)]
    means = [fmean(scores[n - 100 : n]) for n in range(100, 1235)]
    best = max(range(len(means)), key=means.__getitem__)
    won = sum(score > 0 for score in scores[-100:])
    assert give_scores(run, scores) == (
        "After 1,234 episodes in 2:05:02 of training (124,000 steps, 496,000 frames) on ALE/Pong-v5 "
        f"(frameskip 4, sticky 0.25), recipe fast, seed 1, the mean score of the last 100 games is "
        f"{means[-1]:+.1f}; the best mean was {means[best]:+.1f}, at episode {best + 100:,}; of the last 100 "
        f"games {won} were won."
    )


@pytest.mark.parametrize(
    ("scores", "end"),
    [
        ([-21], "After 1 episode in 1:00 of training (1,000 steps, 4,000 frames)"),
        ([-21], "the score of its only game is -21.0."),
        ([-21, 3], "the mean score of its 2 games is -9.0; of these 1 was won."),
        ([5] * 3, "the mean score of its 3 games is +5.0; of these 3 were won."),
        ([21] + [-1] * 99, "-0.8; the best mean was -0.8, at episode 100; of the last 100 games 1 was won."),
        ([0] * 100, "+0.0; the best mean was +0.0, at episode 100; of the last 100 games none was won."),
        ([21] * 30 + [-21] * 100, "best mean was -8.4, at episode 100; of the last 100 games none was won."),
    ],
)
def test_the_result_of_few_games(run, scores, end):
    assert end in give_scores(run, scores)


def test_what_comes_out_of_files_is_text_and_a_film_may_be_a_gif(folder, run, monkeypatch):
    evil = "<script>alert(1)</script>\"'&amp;<img src=https://evil.example onerror='x'>"
    name = evil.replace("/", "") + r" $\frac$"
    renamed = Run(run.folder.rename(run.folder.with_name(name)))
    settings = renamed.folder / "config.toml"
    settings.write_text(settings.read_text().replace('recipe = "fast"', f"recipe = {json.dumps(evil)}"))
    session = {"command": [evil], "start": evil, "end": {evil: evil}, "ending": evil, "first_update": evil}
    session |= {"versions": {evil: evil}, "machine": {evil: [evil]}, "git": evil}
    renamed.write_provenance({"seed": evil, "repeat": evil, "sessions": [{}, evil, session]})
    monkeypatch.setattr(report_pictures, "can_write_mp4", lambda: False)
    shutil.rmtree(renamed.folder / "checkpoints")
    html = write_report(renamed)
    page = asks_for_nothing(html)
    assert "<script" not in html
    assert name in page.text
    assert page.text.count(evil) > 10
    assert "this version knows no recipe" in page.text
    assert "There is no picture of the filters: the run's folder holds no agent." in page.text
    assert not page.all("video")
    (film,) = [picture for picture in page.all("img") if picture["src"].startswith("data:image/gif")]
    assert film["alt"].startswith("The last ")


STRANGE = ("[]", "{", '{"sessions": 3}', '{"sessions": [4, {"versions": [1], "machine": "x"}]}', None)


@pytest.mark.parametrize("content", STRANGE)
def test_a_strange_run_json_is_read_as_far_as_it_goes(run, content):
    path = run.folder / "run.json"
    path.unlink() if content is None else path.write_text(content)
    provenance = provenance_of(run.read_provenance(), 6)
    assert provenance.repeat == "not written down"
    assert provenance.versions == []
    assert all(session.command == "not written down" for session in provenance.sessions)


def test_a_run_that_is_training_is_repeated_as_far_as_it_has_come(run):
    session = {"command": ["pgpong", "train", "--run", "a b"], "start": "2026-11-25T02:18:45+00:00"}
    session["first_update"] = 1
    run.write_provenance({"repeat": "pgpong train --recipe=fast --updates=0", "sessions": [session]})
    provenance = provenance_of(run.read_provenance(), 6)
    assert provenance.repeat == "pgpong train --recipe=fast --updates=6"
    (session,) = provenance.sessions
    assert session.command == "pgpong train --run 'a b'"
    assert session.start == "2026-11-25 02:18:45 UTC"
    assert session.end == "not written down"
    assert session.ending == "not written down: it is training still, or was killed"
    assert session.updates == "from 1 on"


def test_damaged_files_are_said_in_a_sentence_and_the_page_is_written(cli, run, monkeypatch):
    empty = Image("data:,", 1, 1)
    for name in ("draw_curve", "draw_training"):  # they take their time, and are looked at in other tests
        monkeypatch.setattr(report, name, lambda history: Figures("a figure", empty, empty))
    name = os.fsdecode(b"caf\xe9")  # bytes that are no text
    with suppress(OSError):  # of a file system that has names of text only
        run = Run(run.folder.rename(run.folder.with_name(name)))
    (run.folder / "replays" / "best.replay").write_bytes(b"no replay")
    run.latest.write_bytes(run.latest.read_bytes()[:-10])
    assert cli("report", "--out", "page.HTML")[0] == 0
    page = asks_for_nothing(Path("page.HTML").read_text(encoding="utf-8"))
    assert re.search(r"There is no film: runs/\S+/replays/best\.replay .+?\.", page.text)
    assert re.search(r"There is no picture of the filters: runs/\S+/update-000006\.npz .+?\.", page.text)
    assert len(page.all("img")) == 2
    assert not page.all("video")


def test_a_replay_that_does_not_come_out_as_it_was_is_no_film(run):
    path = run.folder / "replays" / "best.replay"
    replay = Replay.load(path)
    replace(replay, screen=replay.screen ^ 1, ale_py="0.0.1").save(path)
    with pytest.raises(RunError, match=r"did not come out as it was played: made with ale-py 0\.0\.1"):
        make_film(run)
    replace(replay, actions=replay.actions[:0], screen=0).save(path)
    with pytest.raises((RunError, FileFormatError)):
        make_film(run)
    path.unlink()
    with pytest.raises(RunError, match="holds no replay"):
        make_film(run)


def test_the_film_is_the_end_of_the_game(trained):
    replay = Replay.load(trained / "replays" / "best.replay")
    scenes = last_scenes(replay)
    assert [scene.step for scene in scenes] == list(range(len(replay.actions) - 300, len(replay.actions) + 1))
    assert scenes[-1].ended


@pytest.mark.parametrize("columns", [4, 8])
def test_the_tiles_of_the_narrow_picture_are_those_of_the_wide_one_in_their_order(columns):
    for number in (8, 11, 12, 13, 40):
        rows = -(-number // columns)
        tiles = np.zeros((rows * 2, columns * 2, 3), np.uint8)
        for n in range(number):
            row, column = divmod(n, columns)
            tiles[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = n + 1
        narrow = report_pictures._in_half_the_columns(tiles, number, columns)[::2, ::2, 0].reshape(-1)
        assert narrow[:number].tolist() == list(range(1, number + 1))
        assert len(narrow) - number < columns // 2


def test_the_best_agent_is_drawn_where_there_is_one(run):
    shutil.copy(run.latest, run.best)
    figures, caption = draw_filters(run)
    assert "that matter most in the best agent of episode " in caption
    assert "(best.npz). Each tile is one unit's two pictures of the court" in caption
    assert "12 hidden units" in figures.alt
    assert figures.narrow.width < figures.wide.width
    assert figures.wide.width < 3 * figures.wide.height  # pairs, four in a row, with room for letters


def test_settings_that_differ_from_the_recipe_stand_out(html):
    page = Page(html)
    differ = "differ from it: seed, num_envs, hidden, batch_steps, evaluate_every."
    assert f"5 of {len(fields(TrainConfig))} settings {differ}" in page.text
    assert [attrs.get("class") for attrs in page.all("tr")].count("changed") == 5
    assert "400 changed, recipe: 64 steps a game in a batch" in page.text


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("env", ["ALE/Pong-v5", "Pong-v0"])
def test_a_recipe_as_it_is_has_no_changed_setting(recipe, env):
    settings = settings_of(from_recipe(recipe, env=env), find_game(env))
    assert [setting.name for setting in settings if setting.recipe] == ["env"] * (env != "ALE/Pong-v5")


def damage(path, content):
    path.write_text(content)


@pytest.mark.parametrize(
    ("arguments", "change", "message"),
    [
        (["nobody"], None, "no run at nobody"),
        (["tiny", "--out", "page.htm"], None, "expected the name of a .html file, got 'page.htm'"),
        (["tiny", "--out", "no/page.html"], None, "--out: there is no folder no"),
        (["tiny"], lambda run: run.episodes.unlink(), "tiny has no finished episode yet"),
        (["tiny"], lambda run: damage(run.metrics, '{"update": 1}\n'), "metrics.jsonl: line 1"),
        (["tiny"], lambda run: damage(run.metrics, "\0\0\n{}\n"), "metrics.jsonl"),
        (
            ["tiny"],
            lambda run: damage(run.metrics, run.metrics.read_text().replace("entropy", "x")),
            "has no 'en",
        ),
        (["tiny"], lambda run: damage(run.folder / "config.toml", "seed = x"), "cannot read settings"),
        (["tiny"], lambda run: damage(run.folder / "config.toml", "colour = 1"), "unknown setting 'colour'"),
    ],
)
def test_a_mistake_gets_one_line_and_nothing_is_written(cli, folder, run, arguments, change, message):
    if change:
        change(run)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert message in one_line_error(cli("report", *arguments))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_wrong_name_is_the_users_mistake(cli, run):
    assert cli("report", "--out", "page.pdf")[0] == 2


def test_the_report_knows_that_there_is_no_run_yet(cli):
    assert "no run here yet" in one_line_error(cli("report"))


def test_nobody_else_loads_the_template_engine():
    code = (
        "import sys, pgpong, pgpong.commands.train;"
        "print([m for m in ('jinja2', 'matplotlib') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def artifacts(pytestconfig):
    """The folder of the pictures that are kept to be looked at."""
    folder = pytestconfig.rootpath / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


# For each element with text of its own: its contrast with the ground it stands on, as WCAG 2 defines it.
CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.body.querySelectorAll("*")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim()));
  return texts.map((e) => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim().slice(0, 40)];
  });
}"""

LOADED = """async () => {
  const video = document.querySelector("video");
  if (!video.canPlayType('video/mp4; codecs="avc1.42E01E"')) return "no H.264";
  if (video.readyState < 1) await new Promise((done, failed) => {
    video.addEventListener("loadedmetadata", done);
    video.addEventListener("error", () => failed(new Error("the film cannot be played")));
    video.load();
  });
  return [video.videoWidth, video.videoHeight, video.duration];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height", "density"), [(360, 740, 2), (1440, 900, 1)])
def test_the_page_in_a_browser_that_has_no_network(
    browser, artifacts, trained, width, height, density, scheme
):
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=density,
        color_scheme=scheme,
        offline=True,
    )
    asked, errors = [], []
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((trained / "report.html").as_uri())
        page.screenshot(path=artifacts / f"report-{width}-{scheme}.png", full_page=True)

        assert [url[:60] for url in asked if not url.startswith(("file:", "data:"))] == []
        assert [url for url in asked if url.startswith("file:")] == [(trained / "report.html").as_uri()]
        pictures = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
        assert len(pictures) == 3
        for complete, pixels, shown in pictures:
            assert complete
            assert pixels >= 1.3 * shown  # sharp
            assert 0.75 * width < shown or width > 700
        film = page.evaluate(LOADED)
        assert film == "no H.264" or (film[:2] == [640, 420] and 20 < film[2] < 22)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 60
        assert [found for found in contrasts if found[0] < 4.5] == []
        assert errors == []
    finally:
        context.close()
