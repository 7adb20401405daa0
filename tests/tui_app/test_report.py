"""`finetui report`: as a person and as a program calls it."""

from __future__ import annotations

import json
import shutil
import webbrowser
from pathlib import Path

import pytest

from engine.run_dir import RunDir
from tui_app.cli import main

RUNS = Path(__file__).parents[1] / "recorded" / "runs"


@pytest.fixture
def run(own_machine: Path) -> RunDir:
    return RunDir(Path(shutil.copytree(RUNS / "died", own_machine / "runs" / "died-1")).resolve())


def test_it_prints_the_files_it_wrote_and_opens_the_page(
    run: RunDir, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    assert main(["report", "died-1", "--open"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines()[:2] == [str(run.report / "report.md"), str(run.report / "report.html")]
    assert opened == [(run.report / "report.html").as_uri()]


def test_a_program_gets_one_object(run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "died-1", "--json", "-o", str(tmp_path / "new" / "page")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == "died-1"
    assert all(Path(path).is_file() and Path(path).parent == Path(told["folder"]) for path in told["files"])
    assert not run.report.exists()


def test_what_the_process_could_not_do_is_said_as_ours(
    run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["report", run.name, "-o", str(tmp_path)]) == 9
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "holds what no report wrote" in shown.err
    assert "-o" in shown.err


def test_an_unknown_run_is_answered_with_a_near_one(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "dide-1"]) == 9
    assert run.name in capsys.readouterr().err
