"""Which run a command without a name means, and what it says where the run is gone by the time it would be obeyed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import control
from engine.run_dir import RunDir
from tests.tui_app.live_runs import let_die, recorded_run, running_run
from tui_app.cli import main
from tui_app.commands.steering import wait_for
from tui_app.runs.following import Follower

RECORDED = Path(__file__).parents[1] / "recorded" / "runs"


@pytest.mark.parametrize(
    ("recorded", "command", "code"), [("died", "save", 9), ("died", "stop", 0), ("stopped", "stop", 0)]
)
def test_a_run_that_is_gone_is_told_with_its_true_state_and_the_way_on(
    tmp_path: Path, recorded: str, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "demo-1")
    shutil.copytree(RECORDED / recorded, run.path)
    (run.path / "supervisor.json").unlink(missing_ok=True)
    run.control.mkdir(exist_ok=True)
    assert wait_for(run, Follower.at_end(run), control.send(run, command)) == code
    told = capsys.readouterr().out
    assert f"run demo-1 is over ({recorded})" in told
    assert "Go on with: finetui resume " in told


def test_without_a_name_the_run_that_is_going_on_is_meant_though_another_is_newer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    going, over = running_run(called="going"), recorded_run("finished", called="over")
    (over.events / "later").touch()  # the newest: something in it was begun last
    (recorded_run("finished", called="damaged").supervisor).write_text("{")
    assert main(["pause", "--no-wait"]) == 0
    assert capsys.readouterr().out == "pause: sent to going\n"
    assert [command.command for command in control.claim(going)] == ["pause"]


def test_where_several_runs_go_on_none_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = running_run(called="first"), running_run(called="second")
    assert main(["continue"]) == 9
    told = capsys.readouterr().err
    assert "2 runs are going on: first, second." in told
    assert "finetui continue second" in told
    assert control.claim(first) == control.claim(second) == []
    let_die(first)
    assert main(["continue", "--no-wait"]) == 0
    assert [command.command for command in control.claim(second)] == ["continue"]
