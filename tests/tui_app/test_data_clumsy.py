"""`finetui data …` in clumsy and hostile hands: it ends with a clear error, and leaves nothing half-made behind."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.writers import Columns, kind_named
from data.writing.shards import Folder, SingleFile
from tui_app import data_cli
from tui_app.cli import main
from tui_app.data_options.work_place import work_place


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write(tmp_path / "rows.jsonl", [{"prompt": f"Say {n}", "completion": f"It is {n}"} for n in range(20)])


def in_folder(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_command_that_fails_before_its_first_shard_leaves_no_folder_in_the_way(
    tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["data", "split", rows, "-o", out, "--stratify-by", "nope"]) == 3
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty.jsonl").touch()
    assert main(["data", "convert", str(tmp_path / "empty.jsonl"), "-o", out]) == 3
    assert main(["data", "split", rows, "-o", out]) == 0
    assert "no column 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["-", ""])
@pytest.mark.parametrize("command", ["convert", "split", "generate"])
def test_rows_are_not_written_to_a_folder_named_after_standard_output(
    rows: str, command: str, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(rows).parent)
    assert main(["data", command, "wireless" if command == "generate" else rows, "-o", output]) == 2
    assert "names no file or folder" in capsys.readouterr().err
    assert in_folder(Path(rows).parent) == ["rows.jsonl"]


def test_a_termination_ends_a_command_as_ctrl_c_does_and_nothing_of_the_output_is_left(
    tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_one = SingleFile.write

    def ended_at_the_fifth(output: SingleFile, split: str, row: Any) -> None:
        write_one(output, split, row)
        if row["prompt"] == "Say 5":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SingleFile, "write", ended_at_the_fifth)
    assert main(["data", "convert", rows, "-o", str(tmp_path / "out.jsonl")]) == 130
    assert "Nothing of it is kept" in capsys.readouterr().err
    assert in_folder(tmp_path) == ["rows.jsonl"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_closed_terminal_does_not_end_what_was_started_to_outlive_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with data_cli.ended_as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_command_does_not_write_into_the_file_that_another_is_writing(tmp_path: Path) -> None:
    kind, path = kind_named("jsonl"), tmp_path / "out.jsonl"
    with SingleFile(path, kind) as first:
        first.begin()
        first.with_columns(Columns())
        rejected = first.rejected()
        rejected.write(b"{}\n")
        rejected.close()
        first.write("train", {"a": 1})
        with SingleFile(path, kind) as second:
            second.begin()
            with pytest.raises(DataError, match="Another command is writing"):
                second.with_columns(Columns())
        first.finish()
    assert path.read_text() == '{"a": 1}\n'
    assert (tmp_path / "out.jsonl.rejected.jsonl").read_text() == "{}\n"


def test_a_file_that_came_up_while_the_columns_were_looked_at_is_not_overwritten(tmp_path: Path) -> None:
    kind, path = kind_named("jsonl"), tmp_path / "out.jsonl"
    with SingleFile(path, kind) as late:
        late.begin()
        path.write_text("of another command")
        with pytest.raises(DataError, match="is there already"):
            late.with_columns(Columns())
    assert in_folder(tmp_path) == ["out.jsonl"]
    assert path.read_text() == "of another command"


def test_the_list_of_bad_rows_is_that_of_the_file_beside_it(
    tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\nnot JSON\n')
    out, listed = tmp_path / "out.jsonl", tmp_path / "out.jsonl.rejected.jsonl"
    assert main(["data", "convert", str(bad), "-o", str(out), "--skip-bad"]) == 0
    assert "listed in out.jsonl.rejected.jsonl: 1" in capsys.readouterr().out
    assert main(["data", "convert", rows, "-o", str(out), "--force"]) == 0
    assert not listed.exists()
    listed.write_text("mine")
    out.unlink()
    assert main(["data", "convert", rows, "-o", str(out)]) == 3
    assert listed.read_text() == "mine"


def test_weights_beyond_all_measure_are_refused_or_shared_out(
    tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "other.jsonl", [{"prompt": f"Tell {n}", "completion": f"{n}"} for n in range(20)])
    out = str(tmp_path / "out.jsonl")
    assert main(["data", "mix", f"{rows}=1e-300", f"{other}=1", "-o", out, "--stopping-strategy", "all_exhausted"]) == 3
    assert "less than once in 1,000,000 rows" in capsys.readouterr().err
    assert main(["data", "mix", f"{rows}=1e308", f"{other}=1e308", "-o", out]) == 0
    assert "wanted 50.0%" in capsys.readouterr().out


def test_half_a_surrogate_pair_in_a_column_name_sets_its_row_aside_for_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": "1"}\n{"b\\ud800": "2", "a": "3"}\n')
    words = ["data", "convert", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.csv")]
    assert main(words) == 3
    assert "rows.jsonl, line 2" in capsys.readouterr().err
    assert main([*words, "--skip-bad"]) == 0
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


def test_a_number_that_is_none_is_told_of_when_its_cell_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": "1", "n": NaN}\n{"a": "2", "n": -Infinity}\n')
    assert main(["data", "convert", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.csv")]) == 0
    assert "'n': not a number, written as an empty cell: 2 rows" in capsys.readouterr().out


def test_a_link_to_nowhere_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").symlink_to("gone.jsonl")
    assert main(["data", "inspect", str(tmp_path / "rows.jsonl")]) == 3
    assert "what it points to is not there: gone.jsonl" in capsys.readouterr().err


def test_the_rows_found_are_not_written_over_a_folder(
    tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", rows, "--rows-out", str(tmp_path), "--force"]) == 2
    assert "is a folder" in capsys.readouterr().err


def program(folder: Path, text: str) -> str:
    path = folder / "prog"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_help_page_without_end_is_cut_and_its_program_ended(tmp_path: Path) -> None:
    endless = program(tmp_path, 'yes "usage: prog [--name NAME]"')
    assert main(["data", "generate", "commands", "--from-help", endless, "--preview", "1"]) == 3


def test_what_a_program_leaves_running_neither_holds_its_help_back_nor_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    # Opened before what stays is started: a reader of a FIFO that no writer has ever opened would wait for ever.
    forks = program(
        tmp_path, f'exec 9>{tmp_path}/held\nsleep 1000 &\necho "usage: prog [--size N]"; echo "  --size N  so many"'
    )
    words = ["data", "generate", "commands", "--from-help", forks, "--time-limit", "60"]
    assert main([*words, "--rows", "2", "-o", str(tmp_path / "rows.jsonl")]) == 0
    assert select.select([reader], [], [], 60)[0]
    assert os.read(reader, 1) == b""  # nobody holds it open any more
    os.close(reader)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "generate", "commands", "--from-help", "ls", "--time-limit", seconds, "--preview", "1"]) == 2
    assert "--time-limit is" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-o", "rows.csv"], ["--rows", "3"], ["--validate", "x.csv"], ["--as", "links"]])
def test_a_generator_that_is_not_named_makes_nothing_and_says_so(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "generate", *words]) == 2
    assert "means nothing for the list of generators" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["generate", "wireless"], ["generate", "commands", "--from-help", "ls"], ["convert"]]
)
@pytest.mark.parametrize("number", ["0", "-4"])
def test_a_preview_of_no_rows_is_refused(
    rows: str, words: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *words, *([rows] if words == ["convert"] else []), "--preview", number]) == 2
    assert f"--preview is {number}" in capsys.readouterr().err


def test_a_fix_command_with_the_oddest_file_name_mends_the_rows_when_it_is_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "sp ace\n\x1b[31m'q\"\\t\u202e\u00e9.jsonl"
    write(tmp_path / name, [{"prompt": f"Say {n // 2}", "completion": f"It is {n // 2} of them"} for n in range(8)])
    assert main(["data", "check", name]) == 0
    told = capsys.readouterr().out
    assert told.replace("\n", "").isprintable()
    (fix,) = [line.strip() for line in told.splitlines() if line.strip().startswith("finetui data convert")]
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {fix}"], capture_output=True, check=True).stdout
    assert main(words.decode().split("\0")[1:-1]) == 0
    assert len((tmp_path / "clean.jsonl").read_text().splitlines()) == 4


def test_a_folder_that_a_full_disk_refused_is_not_in_the_way_later(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", kind_named("jsonl"), None, {"a": "long" * 1000})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            folder.begin()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert in_folder(tmp_path) == []


def test_a_disk_that_gets_full_while_rows_are_sorted_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No space left") as told, work_place(tmp_path / "rows.jsonl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(tmp_path) in str(told.value)
    assert "Make room" in str(told.value)
    assert in_folder(tmp_path) == []
