"""A viewer gathers a run from its real folder: events in slices, log, plan, ladder, liveness and commands."""

from __future__ import annotations

import os

import pytest

from engine import control
from engine.errors import RunDirError
from engine.events import CommandAcknowledged, DeviceSampled, RunFinished, RunStopped, StepLogged, WarningRaised
from tests.tui_app.live_runs import append, recorded_run, running_run
from tui_app.runs.log import TAIL_BYTES
from tui_app.runs.watch import RunWatch


def test_a_finished_run_is_read_whole_with_its_plan_and_what_it_logged() -> None:
    viewer = RunWatch(recorded_run("finished"))
    viewer.read_all()
    viewer.study()
    view = viewer.view()
    assert isinstance(view.state.final, RunFinished)
    assert view.loading is None
    assert view.plan is not None
    assert view.max_attempts == 8
    assert view.predictions[-1].plan_file == "plan-1.json"
    assert any(line.kind == "step" and line.text.startswith("step 40 ") for line in view.log)
    assert view.problem == ""


def test_slices_add_up_to_what_one_reading_gives() -> None:
    run = recorded_run("laddered")
    whole, sliced = RunWatch(run), RunWatch(run)
    whole.read_all()
    sliced.glimpse()
    while sliced.loading is not None:
        sliced.gather(0.0)
    assert sliced.state == whole.state
    assert list(sliced.trace.losses) == list(whole.trace.losses)
    assert sliced.view(now=0.0).log == whole.view(now=0.0).log


def test_a_glimpse_shows_a_run_before_its_history_is_read() -> None:
    viewer = RunWatch(recorded_run("finished"))
    viewer.glimpse()
    view = viewer.view()
    assert view.state.step == 40
    assert view.loading is not None


def test_the_rungs_taken_come_first_and_those_ahead_follow() -> None:
    run = running_run()
    viewer = RunWatch(run)
    viewer.read_all()
    viewer.study()
    steps = viewer.view().rungs
    assert [step.status for step in steps] == sorted((s.status for s in steps), key=("current", "next", "asks").index)
    ahead = [step for step in steps if step.status == "next"]
    assert ahead
    assert all(step.before_bytes and step.after_bytes and step.after_bytes < step.before_bytes for step in ahead)
    asked = {step.name for step in steps if step.status == "asks"}
    assert asked <= {"disable_dora", "halve_max_length", "halve_rank", "only_q_and_v"}


def test_rungs_of_a_run_that_is_over_are_done_and_tell_which_attempt_followed() -> None:
    viewer = RunWatch(recorded_run("laddered"))
    viewer.read_all()
    steps = viewer.view().rungs
    assert steps
    assert {step.status for step in steps} == {"done"}
    assert all(step.attempt is not None for step in steps)


def test_a_command_is_sent_then_accepted_then_done() -> None:
    run = running_run()
    viewer = RunWatch(run)
    viewer.read_all()
    assert viewer.send("save").status == "sent"
    (claimed,) = control.claim(run)
    told = []
    for status in ("accepted", "done"):
        append(run, CommandAcknowledged(command_id=claimed.command_id, command="save", status=status))
        viewer.gather()
        told.append(viewer.view().sent[-1].status)
    assert told == ["accepted", "done"]


def test_a_refusal_comes_with_its_reason() -> None:
    run = running_run()
    viewer = RunWatch(run)
    viewer.send("pause")
    (claimed,) = control.claim(run)
    why = "nothing is being trained at the moment"
    append(run, CommandAcknowledged(command_id=claimed.command_id, command="pause", status="refused", reason=why))
    viewer.read_all()
    assert (viewer.view().sent[-1].status, viewer.view().sent[-1].reason) == ("refused", why)


def test_a_second_stop_ends_the_run_at_once() -> None:
    run = running_run()
    viewer = RunWatch(run)
    assert [viewer.send("stop").command, viewer.send("stop").command] == ["stop", "abort"]
    assert {command.command for command in control.claim(run)} == {"stop", "abort"}


def test_a_stop_that_another_viewer_sent_counts_as_the_first() -> None:
    run = running_run()
    first, second = RunWatch(run), RunWatch(run)
    first.send("stop")
    (claimed,) = control.claim(run)
    append(run, CommandAcknowledged(command_id=claimed.command_id, command="stop", status="accepted"))
    second.read_all()
    assert second.is_stopping
    assert second.send("stop").command == "abort"


def test_what_nobody_answered_is_settled_when_the_run_ends() -> None:
    run = running_run()
    viewer = RunWatch(run)
    viewer.send("save")
    viewer.send("stop")
    append(run, RunStopped(kept="the checkpoint of step 10", step=10))
    viewer.read_all()
    assert [each.status for each in viewer.view().sent] == ["refused", "done"]


def test_pause_and_continue_take_turns_even_before_the_run_has_answered() -> None:
    viewer = RunWatch(running_run())
    viewer.read_all()
    assert not viewer.is_pausing
    viewer.send("pause")
    assert viewer.is_pausing
    viewer.send("continue")
    assert not viewer.is_pausing


def test_a_read_only_viewer_sends_nothing() -> None:
    run = running_run()
    with pytest.raises(RunDirError, match="read-only"):
        RunWatch(run, is_readonly=True).send("stop")
    assert control.claim(run) == []


def test_nobody_is_told_to_stop_a_run_that_is_not_running() -> None:
    with pytest.raises(RunDirError, match="not running"):
        RunWatch(recorded_run("died")).send("stop")


def test_two_viewers_of_one_run_see_the_same() -> None:
    run = running_run()
    viewers = [RunWatch(run), RunWatch(run, is_readonly=True)]
    for viewer in viewers:
        viewer.read_all()
    append(run, WarningRaised(text="something"))
    for viewer in viewers:
        assert viewer.gather()
        assert viewer.view().state.warnings == ("something",)
    assert viewers[0].state == viewers[1].state


def test_a_run_without_a_living_supervisor_is_dead() -> None:
    viewer = RunWatch(recorded_run("died"))
    viewer.read_all()
    assert viewer.view().liveness == "dead"
    assert not viewer.state.is_over


def test_a_plan_that_cannot_be_read_is_told_and_nothing_else_is_lost() -> None:
    run = running_run()
    run.plan(1).write_text("{", encoding="utf-8")
    viewer = RunWatch(run)
    viewer.read_all()
    viewer.study()
    view = viewer.view()
    assert "plan-1.json" in view.problem
    assert view.plan is None
    assert view.max_attempts == 8


def test_only_the_end_of_a_long_log_is_read_and_then_what_is_new() -> None:
    run = running_run()
    path = run.log_file("attempt-1")
    path.write_text("".join(f"line {number}\n" for number in range(20_000)), encoding="utf-8")
    viewer = RunWatch(run)
    viewer.read_all()
    output = [line.text for line in viewer.view().log if line.kind == "output"]
    assert output[-1] == "line 19999"
    assert sum(len(text) + 1 for text in output) <= TAIL_BYTES
    with path.open("a", encoding="utf-8") as file:
        file.write("a whole line\nhalf")
    viewer.gather()
    assert viewer.view().log[-1].text == "a whole line"
    with path.open("a", encoding="utf-8") as file:
        file.write(" a line\n 10%\r 99%\n")
    viewer.gather()
    assert [line.text for line in viewer.view().log[-2:]] == ["half a line", " 99%"]


def test_a_log_that_grows_faster_than_anybody_reads_is_shown_from_its_end_and_says_what_is_left_out() -> None:
    run = running_run()
    path = run.log_file("attempt-1")
    path.write_text("the beginning\n", encoding="utf-8")
    viewer = RunWatch(run)
    viewer.read_all()
    with path.open("a", encoding="utf-8") as file:
        file.write("x" * 3_000_000 + "\n" + "".join(f"line {number:>40}\n" for number in range(20_000)))
    viewer.gather()
    output = [line.text for line in viewer.view().log if line.kind == "output"]
    assert output[-1].endswith(" 19999")
    assert any("MiB of output left out; it is in attempt-1.txt" in text for text in output)


def test_files_of_events_that_cannot_be_read_are_told_of_and_the_rest_is_shown() -> None:
    run = recorded_run("finished")
    os.mkfifo(run.event_file("pipe"))
    run.event_file("folder").mkdir()
    run.event_file("garbage").write_bytes(b"\x00" * 100_000 + b"\n[]\n")
    viewer = RunWatch(run)
    viewer.glimpse()
    viewer.read_all()
    view = viewer.view()
    assert view.loading is None
    assert view.state.step == 40
    assert "pipe.jsonl cannot be read: it is no regular file" in view.problem
    assert "folder.jsonl cannot be read" in view.problem
    assert "garbage.jsonl: 2 damaged lines are left out" in view.problem


def test_who_leaves_a_long_run_does_not_wait_until_it_is_read() -> None:
    run = recorded_run("finished")
    run.event_file("attempt-9").write_bytes(b"no event\n" * 1_000_000)
    viewer = RunWatch(run)
    viewer.glimpse()
    viewer.gather(0.0)
    code, told = viewer.leave()
    assert code == 0
    assert any("finished" in line for line in told)
    assert viewer.loading is not None


def test_a_new_log_file_takes_the_place_of_the_old() -> None:
    run = running_run()
    viewer = RunWatch(run)
    viewer.read_all()
    path = run.log_file("attempt-2")
    path.write_text("second attempt\n", encoding="utf-8")
    viewer.gather()
    assert viewer.view().log[-1].text == "second attempt"
    assert viewer.view().log_file == str(path)


def test_device_samples_are_no_log_lines() -> None:
    run = running_run(until=lambda each: isinstance(each.event, StepLogged))
    sample = DeviceSampled(
        device="cpu", device_used_bytes=1, device_total_bytes=2, ram_used_bytes=1, ram_total_bytes=2, disk_free_bytes=3
    )
    viewer = RunWatch(run)
    viewer.read_all()
    before = viewer.view().log
    append(run, sample, writer="samples")
    viewer.gather()
    assert viewer.view().state.device == sample
    assert viewer.view().log == before


def test_what_a_worker_wrote_stands_behind_its_beginning_and_what_it_writes_later_where_it_was_read() -> None:
    run = running_run()
    for old in run.log.glob("*.txt"):
        old.unlink()
    log = run.log / "attempt-1.txt"
    log.write_text("a library says hello\n")
    viewer = RunWatch(run)
    viewer.glimpse()
    viewer.read_all()
    with log.open("a") as file:
        file.write("and again\n")
    viewer.read_all()
    texts = [line.text for line in viewer.view().log]
    began = next(at for at, text in enumerate(texts) if text.startswith("attempt 1"))
    assert began > 0
    assert texts[began + 1] == "a library says hello"
    assert texts.count("a library says hello") == 1
    assert texts[-1] == "and again"


def test_a_view_says_that_a_stop_is_under_way() -> None:
    viewer = RunWatch(running_run())
    assert not viewer.view().is_stopping
    viewer.send("stop")
    assert viewer.view().is_stopping
