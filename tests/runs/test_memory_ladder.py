"""Running out of memory for real: a RAM cap makes the CPU allocator raise, a control group makes the kernel kill.

The models are small, the processes, caps and files real. Caps stand where one plan has far too little and the next
far enough. One of the runs is watched at a terminal. The whole protocol of a preset is in test_seed_protocol.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.hardware import read_hardware
from engine.plan import Plan
from engine.recipe import Recipe
from engine.replaying import recipe_of
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold_all
from engine.starting import create_run, prospect
from tests.runs.one_long_row import LATE, ONE_BY_ONE, write_rows
from tests.tmux import finetui

pytestmark = pytest.mark.slow(seconds=270)
CAP = "memory.limit=290MiB"
"""Too little for the long row beside a short one, and for it alone; enough with recomputed activations."""
PATIENCE_SECONDS = 240.0
WASTEFUL = ("training.per_device_train_batch_size=1", "training.gradient_checkpointing=true")
"""What the free rungs would do is done already."""


def watched(shop: Any, name: str, *overrides: str) -> tuple[RunDir, RunState, Any]:
    """A run of the heavy recipe to its end."""
    run = shop.begin(name, *overrides, source="heavy.toml")
    done = shop.finetui("attach", run.name, seconds=600)
    return run, fold_all(read_events(run.events)), done


def events_of(run: RunDir, kind: type[ev.Event]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


def last_plan(run: RunDir) -> Plan:
    return Plan.from_json(read_json(run.newest_plan_file()))


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that somebody watched to its end, and what the screen showed."""

    run: RunDir
    during: str
    """When the first rung was in use."""
    after: str
    """When the run was finished."""
    exit_code: int
    left_behind: str
    """What stood in the terminal when the screen was left."""


@pytest.fixture(scope="module")
def on_screen(heavy: Any) -> Watched:
    """The long row comes at a later step, and only with recomputed activations is there room for it."""
    sets = [word for each in ("run.name=long", CAP, LATE, *ONE_BY_ONE) for word in ("--set", each)]
    with finetui("replay", "heavy.toml", *sets, cwd=heavy.folder, env={"FINETUI_HOME": str(heavy.home)}) as terminal:
        terminal.wait(r"OOM ladder +not needed so far", PATIENCE_SECONDS)
        terminal.wait(r"RUNNING +[12]/6", PATIENCE_SECONDS)
        terminal.keys("4")
        terminal.wait(r"\[4 Ladder\]")
        during = terminal.wait(r"▸ 1 halve micro batch.* in use", PATIENCE_SECONDS)
        terminal.wait(r"▸ 2 gradient checkpointing.* in use", PATIENCE_SECONDS)
        terminal.wait(r"FINISHED +6/6", PATIENCE_SECONDS)
        after = terminal.wait(r"✓ 2 gradient checkpointing|▸ 2 gradient checkpointing")
        terminal.keys("q")
        exit_code = terminal.exit_code()
        return Watched(heavy.run("long-1"), during, after, exit_code, terminal.lines())


@pytest.fixture(scope="module")
def laddered(on_screen: Watched) -> RunDir:
    assert on_screen.exit_code == 0, on_screen.left_behind
    return on_screen.run


def test_an_oom_in_a_later_step_takes_exactly_the_rungs_it_needs_and_loses_no_step(laddered: RunDir) -> None:
    ooms = events_of(laddered, ev.OomHit)
    assert [oom.phase for oom in ooms] == ["step", "first step"], "the second is the first step of its attempt"
    assert [oom.step for oom in ooms] == [2, 2]
    assert {oom.cause for oom in ooms} == {"cpu allocator"}
    rungs = events_of(laddered, ev.RungTaken)
    assert [rung.rung for rung in rungs] == ["halve_micro_batch", "gradient_checkpointing"]
    assert {rung.kept for rung in rungs} == {f"continues from step {ooms[0].step}"}
    starts = [event.resumed_from_step for event in events_of(laddered, ev.AttemptStarted)]
    assert starts == [0, ooms[0].step, ooms[0].step]
    assert [event.step for event in events_of(laddered, ev.StepLogged)] == [1, 2, 3, 4, 5, 6]
    assert {event.effective_batch_size for event in events_of(laddered, ev.TrainingStarted)} == {2}
    assert not any(rung.changes_objective for rung in rungs)


def test_who_watches_sees_memory_run_out_the_rungs_taken_and_the_run_finish(on_screen: Watched) -> None:
    assert "memory ran out once, in step after step 2 (attempt 1)" in on_screen.during
    ooms = events_of(on_screen.run, ev.OomHit)
    size = r"[\d.]+ [MG]iB"
    words = " ".join(on_screen.after.split())
    assert re.search(rf"✓ 1 halve micro batch {size} → {size}", words)
    assert re.search(rf". 2 gradient checkpointing .*{size} → {size}", words)
    assert len(re.findall(f"went on from step {ooms[0].step}", words)) == 2
    assert f"memory ran out 2 times, last in first step after step {ooms[-1].step}" in words
    assert on_screen.exit_code == 0
    assert on_screen.run.name in on_screen.left_behind


def test_it_ends_with_the_weights_of_an_uncapped_run_under_the_last_plan_from_the_same_step(
    heavy: Any, laddered: RunDir
) -> None:
    step = events_of(laddered, ev.OomHit)[0].step
    recipe = Recipe.parse(recipe_of(laddered).to_toml(), overrides=("memory.limit=", "run.name=uncapped"))
    found = prospect(recipe, read_hardware(), base_dir=laddered.path)
    uncapped = create_run(found, name="uncapped")  # in a home of this test alone: named by its path below
    shutil.copytree(laddered.checkpoints / f"checkpoint-{step}", uncapped.checkpoints / f"checkpoint-{step}")
    done = heavy.finetui("resume", str(uncapped.path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"from step {step}" in done.stdout
    assert heavy.adapter_bytes(uncapped) == heavy.adapter_bytes(laddered)
    losses, expected = heavy.losses(laddered), heavy.losses(uncapped)
    assert expected
    assert all(losses[number] == expected[number] for number in expected)


def test_the_settled_recipe_meets_no_oom(heavy: Any, laddered: RunDir) -> None:
    (settled,) = events_of(laddered, ev.RecipeSettled)
    assert settled.rungs == last_plan(laddered).rungs
    again = heavy.finetui("replay", str(laddered.path / settled.path), "--set", "run.name=settled")
    assert again.returncode == 0, again.stdout + again.stderr
    run = heavy.run("settled-1")
    assert events_of(run, ev.OomHit) == []
    assert events_of(run, ev.RungTaken) == []
    assert len(events_of(run, ev.AttemptStarted)) == 1
    straight, laddered_losses = heavy.losses(run), heavy.losses(laddered)
    assert straight[6][0] == pytest.approx(laddered_losses[6][0], rel=1e-3)
    shown = heavy.finetui("status", laddered.name).stdout
    assert "ran out     2 times" in shown
    assert "gradient_checkpointing" in shown


def test_a_cap_below_the_weights_ends_at_once_without_an_attempt(heavy: Any) -> None:
    run, state, done = watched(heavy, "nothing", "memory.limit=3MiB")
    assert done.returncode == 5, done.stdout
    assert isinstance(state.final, ev.RunFailed)
    assert "needs at least" in done.stdout
    assert events_of(run, ev.AttemptStarted) == []
    assert events_of(run, ev.ModelReady) == [], "not even the preparation was begun"


def test_a_fit_that_needs_a_rung_without_consent_is_refused_by_name_without_an_attempt(heavy: Any) -> None:
    run, state, done = watched(heavy, "consent", "memory.limit=225MiB", "adapter.method=qlora", *WASTEFUL)
    assert done.returncode == 5, done.stdout
    assert isinstance(state.final, ev.RunFailed)
    assert "fits only with halve_max_length" in done.stdout
    assert "would save" in state.final.means
    assert "--set 'ladder.costly=[\"halve_max_length\"]'" in done.stdout
    assert events_of(run, ev.AttemptStarted) == []


@pytest.mark.long
def test_with_consent_the_costly_rung_is_taken(heavy: Any) -> None:
    allowed = ("memory.limit=225MiB", "adapter.method=qlora", 'ladder.costly=["halve_max_length"]')
    run, _, done = watched(heavy, "consenting", *WASTEFUL, *allowed)
    assert done.returncode == 0, done.stdout
    assert {rung.rung for rung in events_of(run, ev.RungTaken)} >= {"halve_max_length"}
    assert last_plan(run).max_length < 4096


def anonymous_bytes(pid: int) -> int:
    """RAM of a process that no file can stand in for."""
    told = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in told if line.startswith("RssAnon")) * 1024


@pytest.mark.long
def test_a_worker_that_the_kernel_kills_for_its_memory_goes_down_the_ladder(
    heavy: Any, tiny_models: Any, control_group: Callable[[int], Path]
) -> None:
    write_rows(heavy.folder / "short.jsonl", 12)
    model = tiny_models.write_heavy_model(heavy.folder / "deeper", "llama", layers=12)
    # Without a cap of its own a run holds memory back for speed, so the two plans must be far apart: twelve layers.
    deep = (*ONE_BY_ONE, f"model.name_or_path={model}", "training.per_device_train_batch_size=1")
    endless = (*deep, "training.max_steps=4000", "data.dataset=short.jsonl")
    roomy = heavy.begin("roomy", *endless, source="heavy.toml")
    heavy.wait_for_step(roomy, 3)
    used = sum(
        anonymous_bytes(heavy.worker_pid(roomy, f"engine.{name}")) for name in ("supervisor", "training.attempt")
    )
    assert heavy.finetui("stop", roomy.name).returncode == 0
    group = control_group(used + 500 * 2**20)
    sets = ("run.name=killed", *deep, LATE, "training.save_steps=1")
    words = [part for each in sets for part in ("--set", each)]
    done = heavy.finetui("replay", "heavy.toml", *words, inside=group, seconds=600)
    run = heavy.run("killed-1")
    assert done.returncode == 0, done.stdout + done.stderr
    ooms = events_of(run, ev.OomHit)
    assert ooms
    assert {oom.cause for oom in ooms} == {"host"}
    assert "its control group ran out of RAM" in ooms[0].message
    assert {oom.phase for oom in ooms} <= {"first step", "step"}
    assert [rung.rung for rung in events_of(run, ev.RungTaken)] == ["gradient_checkpointing"]
    last = {event.step for event in events_of(run, ev.StepLogged)}
    assert last == {1, 2, 3, 4, 5, 6}
