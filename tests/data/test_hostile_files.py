"""Datasets made by somebody who means harm: nothing is written, followed or obeyed, and nothing takes all day."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.reading import archives, compression
from data.rows import SourceRow
from data.sources import SourceSettings, open_source

ROW = b'{"prompt": "a", "completion": "b"}\n'


def rows_of(dataset: object) -> list[SourceRow]:
    return [row for part in open_source(str(dataset), SourceSettings()) for row in part.rows()]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, len(ROW) if kind == tarfile.REGTYPE else 0
    return found


HOSTILE_NAMES = ("../../up.jsonl", "/abs/up.jsonl", "a/../../up.jsonl", "C:\\up.jsonl", "new\nline\x1b[2J.jsonl")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_no_name_in_an_archive_becomes_a_path(tmp_path: Path, kind: str) -> None:
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    archive = inside / f"rows.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name in HOSTILE_NAMES:
                file.writestr(name, ROW)
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as file:
            for name in HOSTILE_NAMES:
                file.addfile(member(name), io.BytesIO(ROW))
    assert all(row.value == json.loads(ROW) for row in rows_of(archive))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [archive.name]


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_bytes(b'{"secret": 1}\n')
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    with tarfile.open(tmp_path / "rows.tar", "w") as file:
        for number, kind in enumerate(kinds):
            file.addfile(member(f"{number}.jsonl", kind, str(tmp_path / "secret.jsonl")))
        file.addfile(member("rows.jsonl"), io.BytesIO(ROW))
    assert [row.value for row in rows_of(tmp_path / "rows.tar")] == [json.loads(ROW)]


def test_an_archive_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("rows.jsonl", ROW)
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as file:
        file.writestr("rows.zip", inner.getvalue())
        file.writestr("rows.jsonl", ROW)
    assert len(rows_of(tmp_path / "rows.zip")) == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_entries_without_an_end_is_refused_while_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 100)
    path = tmp_path / f"rows.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for number in range(101):
                zipped.writestr(f"{number}.jsonl", ROW)
    else:
        with tarfile.open(path, "w") as tarred:
            for number in range(101):
                tarred.addfile(member(f"folder-{number}", tarfile.DIRTYPE))
    with pytest.raises(DataError, match="holds more than 100"):
        rows_of(path)


LONG_ROW = json.dumps({"prompt": "a", "completion": "b" * 2**20}).encode() + b"\n"
BOMB = LONG_ROW * 12


def zipped(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rows.jsonl", content)
    return made.getvalue()


def zstandard(content: bytes) -> bytes:
    import pyarrow as pa

    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, "zstd") as file:
        file.write(content)
    return bytes(made.getvalue())


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "rows.jsonl.gz": gzip.compress,
    "rows.jsonl.xz": lzma.compress,
    "rows.jsonl.zst": zstandard,
    "rows.zip": zipped,
    "rows.parquet.gz": gzip.compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_a_small_file_that_unpacks_without_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(compression, "BELIEVED_BYTES", 2**22)
    path = tmp_path / name
    content = b"PAR1" + BOMB if "parquet" in name else BOMB
    path.write_bytes(PACKERS[name](content))
    assert path.stat().st_size < len(BOMB) / compression.MAX_RATIO
    try:
        rows = rows_of(path)
    except DataError as refused:
        told = str(refused)
    else:
        assert len(rows) < 12
        told = rows[-1].problem or ""
    assert "unpacks to more than" in told


def test_rows_that_shrink_as_much_as_rows_do_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "BELIEVED_BYTES", 2**16)
    lines = [json.dumps({"prompt": f"question {number}", "completion": "the same"}) for number in range(5000)]
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert len(rows_of(tmp_path / "rows.jsonl.gz")) == 5000


@pytest.mark.parametrize("dataset", ["/dev/zero", "/dev/full", "/proc/self/environ", "/proc/kmsg", "PIPE", "LINK"])
def test_what_never_ends_or_is_no_file_is_refused_without_being_opened(tmp_path: Path, dataset: str) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    (tmp_path / "link.jsonl").symlink_to("/dev/zero")
    named = {"PIPE": tmp_path / "rows.jsonl", "LINK": tmp_path / "link.jsonl"}.get(dataset, Path(dataset))
    with pytest.raises(DataError, match="is no ordinary file"):
        rows_of(named)


def test_pipes_and_devices_in_a_folder_are_passed_over_and_links_out_of_it_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (tmp_path / "private.jsonl").write_bytes(ROW)
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "zero.jsonl").symlink_to("/dev/zero")
    (folder / "again").symlink_to("..")
    (folder / "train.jsonl").symlink_to("../private.jsonl")
    (part,) = open_source(str(folder), SourceSettings())
    assert len(list(part.rows())) == 1
    assert f"it is a link out of the folder, to {tmp_path / 'private.jsonl'}" in part.notes()


DEEP: dict[str, bytes] = {
    "rows.json": b"[" * 100_000,
    "rows.jsonl": b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n" + ROW,
    "numbers.jsonl": b'{"a": ' + b"9" * 100_000 + b"}\n" + ROW,
    "field.csv": b'prompt,completion\na,"' + b"x" * 2**20,
}


@pytest.mark.parametrize("name", DEEP)
def test_a_row_made_to_exhaust_its_reader_is_a_problem_of_that_row(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DEEP[name])
    begun = time.process_time()
    rows = rows_of(tmp_path / name)
    assert any(row.problem for row in rows)
    assert time.process_time() - begun < 2


def test_a_folder_with_a_dataset_script_runs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    canary = tmp_path / "canary"
    for name in ("rows.py", "dataset.py", "__init__.py", "conftest.py"):
        (folder / name).write_text(f"open({str(canary)!r}, 'w')")
    (folder / "dataset_infos.json").write_text('{"default": {"builder_name": "rows"}}')
    (folder / "rows.jsonl").write_bytes(ROW)
    assert len(rows_of(folder)) == 1
    assert not canary.exists()


def test_what_a_commands_lines_show_of_names_and_texts_is_not_obeyed_by_a_terminal(tmp_path: Path, capsys: Any) -> None:
    from tui_app.cli import main

    name = tmp_path / "rows\x1b]0;owned\x07\u202e.jsonl"
    row = {"prompt": "a\x1b[31m\u202eb\u200b", "x\x1b[2J": 1, "completion": "\x9b31mc\x00\x08\r\x1b]52;c;aGk=\x07"}
    name.write_text("".join(json.dumps({**row, "id": number}) + "\n" for number in range(30)))
    for command in ("inspect", "check", "stats"):
        main(["data", command, str(name)])
    main(["data", "inspect", str(name), "--column", "prompt=x\x1b[2J"])
    main(["data", "inspect", f"{name}.absent\x1b[2J"])
    shown = "".join(capsys.readouterr())
    assert shown
    assert not set(shown) & {"\x1b", "\x9b", "\x07", "\x08", "\x00", "\r", "\u202e", "\u200b"}
