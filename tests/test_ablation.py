"""The ablation: its variants are trainings that can be asked for, and the docs have its results."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pgpong.config import from_recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("ablation")


def test_each_variant_changes_the_settings_that_it_names_and_no_other(ablation):
    recipe = asdict(from_recipe("fast", seed=2, evaluate_every=0))
    for name, (_, flags) in ablation.VARIANTS.items():
        named = {
            f.removeprefix("--").removeprefix("no-").replace("-", "_") for f in flags if f.startswith("--")
        }
        settings = asdict(ablation.settings(name, seed=2))
        assert {setting for setting, value in settings.items() if value != recipe[setting]} == named, name


def test_the_table_in_the_docs_is_of_the_results_beside_it(ablation):
    table = json.loads((ROOT / "docs" / "ablation.json").read_text())
    rows = [ablation.row(name, results) for name, results in table.items()]
    assert "\n".join(rows) in (ROOT / "docs" / "ablation.md").read_text()
    assert [*table] == [name for name in ablation.VARIANTS if name in table]


def test_the_results_of_the_recipe_are_those_of_its_reference_runs(ablation, monkeypatch):
    monkeypatch.chdir(ROOT)
    for one in json.loads((ROOT / "docs" / "ablation.json").read_text())["fast"]:
        assert ablation.result("fast", one["seed"], one["updates"]) == one
