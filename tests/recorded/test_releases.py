"""Runs that each released version recorded, opened by this one: by `record_runs.py --release`, then never changed.

A recorded recipe names every field that has a value, and `recipe-fields.json` every field there was: one that is
removed or renamed without a migration fails here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.carrying import to_continue
from engine.checkpoints import equal
from engine.event_log import EventReader
from engine.hardware import Hardware
from engine.migrations import MIGRATIONS
from engine.plan import Plan
from engine.recipe import Recipe, field_names
from engine.replaying import is_edited
from engine.report.facts import read_facts
from engine.run_dir import RunDir, read_json
from engine.run_format import RUN_FORMAT, made_by
from engine.salvage import result_fault
from tui_app.cli import main

RELEASES = Path(__file__).with_name("releases")
VERSIONS = sorted(path.name for path in RELEASES.iterdir() if path.is_dir())
MAX_BYTES = 150_000


@pytest.fixture(params=VERSIONS)
def runs(request: pytest.FixtureRequest, own_machine: Path) -> dict[str, RunDir]:
    """What one version recorded, as if it had been made on this machine."""
    (own_machine / "runs").mkdir(parents=True, exist_ok=True)
    for path in (each for each in (RELEASES / request.param).iterdir() if each.is_dir()):
        shutil.copytree(path, own_machine / "runs" / path.name)
    return {name: RunDir.open(name) for name in ("finished", "stopped")}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_release_is_recorded_with_its_own_version_and_is_small(version: str) -> None:
    files = [path for path in (RELEASES / version).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    assert {made_by(RunDir(RELEASES / version / name)).finetui for name in ("finished", "stopped")} == {version}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_a_recipe_had_is_there_or_was_migrated(version: str) -> None:
    had = json.loads((RELEASES / version / "recipe-fields.json").read_text())
    gone = frozenset().union(*(migration.fields for migration in MIGRATIONS))
    assert sorted(set(had) - set(field_names()) - gone) == []


def test_its_runs_are_read_whole(runs: dict[str, RunDir]) -> None:
    for name, run in runs.items():
        reader = EventReader(run.events)
        assert reader.poll()
        assert (reader.num_bad_lines, reader.num_unknown_events) == (0, 0)
        assert made_by(run).format <= RUN_FORMAT
        facts = read_facts(run)
        assert (facts.state.phase, facts.recipe is not None, facts.receipt is not None) == (name, True, True)
        assert facts.plans
        assert Hardware.from_json(facts.manifest["hardware"])
    assert read_facts(runs["finished"]).state.scores


def test_its_runs_are_shown_by_every_command_that_looks_at_runs(
    runs: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    listed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert listed == {name: name for name in runs}
    for words, code in (
        (["status", "finished"], 0),
        (["status", "stopped", "--json"], 0),
        (["attach", "finished", "--plain"], 0),
        (["attach", "stopped", "--plain"], 7),
        (["compare", "finished", "stopped", "--plain"], 0),
        (["clean"], 0),
    ):
        assert main(words) == code, words
        shown = capsys.readouterr()
        assert "note:" not in shown.err
        assert "damaged" not in shown.out


@pytest.mark.parametrize("name", ["finished", "stopped"])
def test_a_replay_takes_its_recipe_as_it_was(
    name: str, runs: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", name, "--dry-run"]) == 0
    assert "nothing was started" in capsys.readouterr().out
    assert not is_edited(runs[name], read_json(runs[name].manifest))
    text = runs[name].recipe.read_text()
    runs[name].recipe.write_text(text.replace("learning_rate = ", "learning_rate = 1"))
    assert is_edited(runs[name], read_json(runs[name].manifest))


def test_a_manifest_without_the_recipe_says_nothing_of_edits_once_a_field_has_come(runs: dict[str, RunDir]) -> None:
    """Before 0.1.0 was out manifests had a hash alone; the fields that came since are in it today."""
    run = runs["finished"]
    manifest = {key: value for key, value in read_json(run.manifest).items() if key != "recipe"}
    assert not is_edited(run, manifest | {"recipe_sha256": Recipe.load(run.recipe).sha256()})
    assert is_edited(run, manifest | {"recipe_sha256": "another"})
    lines = run.recipe.read_text().splitlines(keepends=True)
    run.recipe.write_text("".join(line for line in lines if not line.startswith("packing")))
    assert not is_edited(run, manifest | {"recipe_sha256": "another"})


def test_resume_decides_as_it_would_for_a_run_of_its_own(
    runs: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights were not recorded, so that what it would go on from is known by its lists."""
    stopped, finished = runs["stopped"], runs["finished"]
    plan = Plan.from_json(read_json(stopped.newest_plan_file()))
    lists = sorted(stopped.checkpoints.glob("*/finetui-checkpoint.json"))
    assert lists
    assert all(equal(read_json(path)["key"], plan.checkpoint_key()) for path in lists)
    found, passed_over = to_continue(stopped.checkpoints, plan)
    assert found is None
    assert all(why.endswith("is missing") for why in passed_over)
    assert len(passed_over) == len(lists)
    assert result_fault(finished.adapter) == "adapter_model.safetensors is missing"
    (finished.adapter / "finetui-checkpoint.json").unlink()
    assert main(["resume", "finished"]) == 9
    assert "there is nothing to go on with" in capsys.readouterr().err
