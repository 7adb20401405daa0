"""What is asked of a run besides its own stages: read back, in turn, and a damaged one alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import requests
from engine.errors import RunDirError
from engine.event_log import EventWriter, read_events
from engine.events import RequestFailed
from engine.hardware import read_hardware
from engine.liveness import announce, take_lock
from engine.plan import plan
from engine.recipe import Recipe
from engine.run_dir import RunDir
from engine.supervisor import Supervisor

DAMAGED = ('{"stage": "exp', '{"title": "x"}', "[]", '{"stage":"dance","title":"x","arguments":{},"of_recipe":true}')


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_request_fails_alone_and_is_not_met_again(tmp_path: Path, text: str) -> None:
    run = RunDir.create(tmp_path, "tiny")
    run.requests.mkdir()
    (run.requests / "1.json").write_text(text)
    recipe = Recipe.from_values({"model": {"name_or_path": "none"}, "data": {"dataset": "rows.jsonl"}})
    writer = EventWriter(run.event_file("supervisor"))
    supervisor = Supervisor(run, writer, EventWriter(run.event_file("samples")), resumed=True)
    assert supervisor.carry_out_requests(plan(recipe, read_hardware(), None)) == RunDirError.exit_code
    (failed,) = [stamped.event for stamped in read_events(run.events)]
    assert isinstance(failed, RequestFailed)
    assert "1.json" in failed.happened
    assert requests.damaged(run) == []


def test_a_request_next_to_a_damaged_one_is_still_to_be_carried_out(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "tiny")
    requests.add(run, "export", "Export to gguf")
    (run.requests / "1.json").write_text("{")
    asked = requests.add(run, "export", "Export to merged")
    assert requests.pending(run) == [asked]


def test_what_somebody_asks_for_does_not_wait_for_an_export_of_the_recipe_that_may_fail_again(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "tiny")
    of_recipe = requests.add(run, "export", "Export to gguf", of_recipe=True)
    asked = requests.add(run, "export", "Export to merged")
    assert requests.pending(run) == [asked, of_recipe]


def test_two_who_ask_at_once_do_not_write_over_each_other(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "tiny")
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda number: requests.add(run, "export", f"export {number}"), range(40)))
    assert sorted(request.number for request in asked) == list(range(1, 41))
    assert {request.title for request in requests.pending(run)} == {f"export {number}" for number in range(40)}


def test_what_is_asked_of_a_run_at_work_is_refused_and_not_begun_later(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "tiny")
    held = take_lock(run)
    assert held is not None
    announce(run)
    with pytest.raises(RunDirError, match="is at work") as refused:
        requests.ask(run, "export", "Export to gguf", {})
    assert "Export to gguf" in refused.value.means
    assert requests.pending(run) == []
