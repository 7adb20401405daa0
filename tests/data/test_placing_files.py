"""A finished file takes the place of a file of its name, never of a device or a pipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.file_modes import placed
from engine.errors import RunDirError
from engine.run_dir import write_atomic
from tui_app.cli import main


def test_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe, whole = tmp_path / "pipe", tmp_path / "whole"
    os.mkfifo(pipe)
    whole.write_text("rows")
    with pytest.raises(OSError, match="device or a pipe"):
        placed(whole, pipe)
    with pytest.raises(RunDirError, match="device or a pipe"):
        write_atomic(pipe, "values")
    assert pipe.is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pipe", "whole"]


@pytest.mark.parametrize("command", [["convert", "-o"], ["check", "--rows-out"]])
def test_a_pipe_named_for_rows_stays_one_even_when_forced(tmp_path: Path, command: list[str]) -> None:
    rows, pipe = tmp_path / "rows.jsonl", tmp_path / "pipe.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 2)
    os.mkfifo(pipe)
    name, option = command
    assert main(["data", name, str(rows), option, str(pipe), "--force"]) != 0
    assert pipe.is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pipe.jsonl", "rows.jsonl"]


def test_a_link_and_a_file_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_atomic(tmp_path / "link", "new")
    write_atomic(tmp_path / "file", "newer")
    assert [(tmp_path / name).read_text() for name in ("link", "file")] == ["new", "newer"]
