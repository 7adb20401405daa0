"""A run's folder tells which finetui made it: a newer one's is looked at, and never written to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.run_dir import RunDir, read_json
from engine.run_format import RUN_FORMAT, MadeBy, made_by, note_of
from tui_app.cli import main

RECORDED = Path(__file__).parents[1] / "recorded" / "runs"


def changed(run: RunDir, **values: Any) -> None:
    run.manifest.write_text(json.dumps(read_json(run.manifest) | values))


@pytest.fixture
def newer(own_machine: Path) -> RunDir:
    """A stopped run as a later version may write it: another format, a field and an event that nobody knows here."""
    shutil.copytree(RECORDED / "stopped", own_machine / "runs" / "new-1")
    run = RunDir.open("new-1")
    changed(run, version=RUN_FORMAT + 1, versions={"finetui": "9.1"})
    run.plan(1).write_text(json.dumps(read_json(run.plan(1)) | {"new_kind_of_number": 3}))
    line = {"v": 1, "seq": 0, "time": 1.0, "writer": "future", "event": "FutureTold", "bits": 5}
    run.event_file("future").write_text(json.dumps(line) + "\n")
    return run


def everything(run: RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [["status", "new-1"], ["attach", "new-1", "--plain"], ["compare", "new-1", "old-1", "--plain"]],
    ids=lambda words: words[0],
)
def test_a_run_of_a_newer_finetui_is_shown_with_a_line_that_says_so(
    newer: RunDir, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RECORDED / "finished", newer.path.parent / "old-1")
    main(words)
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == note_of(newer)
    assert "finetui 9.1" in shown.err
    assert "pip install --upgrade finetui" in shown.err
    assert "old-1 was made" not in shown.err
    assert "stopped" in shown.out or "30" in shown.out


@pytest.mark.parametrize(
    "words",
    [
        ["resume", "new-1", "--detach"],
        ["eval", "new-1"],
        ["export", "new-1", "--to", "merged"],
        ["replay", "new-1"],
        ["clean", "--runs", "new-1", "--yes"],
    ],
    ids=lambda words: words[0],
)
def test_nothing_is_written_to_it(newer: RunDir, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(newer)
    assert main(words) != 0
    assert everything(newer) == before
    shown = capsys.readouterr().err
    assert "newer finetui" in shown
    assert "pip install --upgrade finetui" in shown


def test_the_line_stays_out_of_what_programs_read(newer: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", newer.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "stopped"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", MadeBy(0, "")),
        ("[]", MadeBy(0, "")),
        ("[" * 100_000, MadeBy(0, "")),
        ('{"version": "2"}', MadeBy(0, "")),
        ('{"version": true, "versions": {"finetui": 3}}', MadeBy(0, "")),
        ('{"version": 1, "versions": {"finetui": "0.1.0"}}', MadeBy(1, "0.1.0")),
    ],
)
def test_a_manifest_that_tells_nothing_is_no_newer_one(text: str, expected: MadeBy, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.manifest.write_text(text)
    assert made_by(run) == expected
    assert note_of(run) == ""
