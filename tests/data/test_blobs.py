"""Bytes on their way in: compressions, archives, standard input, wrong names, and what is said about all of it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.loading import Rows
from data.sources import Part, SourceSettings, open_source

ROWS = [{"text": f"row {n}"} for n in range(500)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def zstandard(content: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def parts(dataset: Path | str, **settings: Any) -> list[Part]:
    return open_source(str(dataset), SourceSettings(**settings))


def values(dataset: Path | str, **settings: Any) -> list[Any]:
    return [row.value for part in parts(dataset, **settings) for row in part.rows()]


def notes(path: Path) -> tuple[str, ...]:
    (part,) = parts(path)
    list(part.rows())
    return part.notes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": zstandard,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", PACKERS)
def test_a_compressed_file_gives_its_rows_again_and_again_and_the_hash_of_what_lies_there(
    write: Any, ending: str
) -> None:
    path = write(f"rows.jsonl{ending}", PACKERS[ending](LINES))
    (part,) = parts(path)
    assert [row.value for row in part.rows()] == ROWS == [row.value for row in part.rows()]
    assert part.source_file().sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert part.source_file().num_bytes == path.stat().st_size
    assert part.notes() == ()


@pytest.mark.parametrize("ending", PACKERS)
def test_compressed_pieces_one_behind_another_are_one_file(write: Any, ending: str) -> None:
    pack = PACKERS[ending]
    assert values(write(f"rows.jsonl{ending}", pack(LINES) + pack(LINES))) == ROWS + ROWS


@pytest.mark.parametrize("ending", PACKERS)
def test_what_follows_a_compressed_piece_and_is_none_is_a_problem_not_a_loss(write: Any, ending: str) -> None:
    (part,) = parts(write(f"rows.jsonl{ending}", PACKERS[ending](LINES) + b"this is no compressed piece"))
    *before, last = part.rows()
    assert [row.value for row in before] == ROWS[: len(before)]
    assert "cut short or damaged" in (last.problem or "")


def test_a_wrong_checksum_is_one_problem_behind_the_rows(write: Any) -> None:
    content = bytearray(gzip.compress(LINES, mtime=0))
    content[-6] ^= 1
    (part,) = parts(write("rows.jsonl.gz", bytes(content)))
    *before, last = part.rows()
    assert [row.value for row in before] == ROWS
    assert (last.line, last.value) == (501, None)


def test_a_compressed_parquet_file_is_unpacked_to_be_read(write: Any) -> None:
    assert values(write("rows.parquet.gz", gzip.compress(parquet(), mtime=0))) == ROWS


def test_a_file_that_unpacks_to_very_much_is_read_with_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "rows.jsonl.xz"
    with lzma.open(path, "wb", preset=0) as file:
        for _ in range(25):
            file.write(b" " * 999_999 + b"\n")
        file.write(b'{"text": "x"}\n')
    tracemalloc.start()
    try:
        assert values(path) == [{"text": "x"}]
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "pack"), [("rows.zip", zipped), ("rows.tar.gz", tarred), ("rows.tgz", tarred)])
def test_an_archive_is_chosen_from_like_a_folder(
    write: Any, name: str, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    files = {
        "README.md": b"# rows",
        "__MACOSX/._train.jsonl": b"\0\0",
        "train.jsonl": LINES,
        "test.jsonl.gz": gzip.compress(b'{"text": "t"}', mtime=0),
        "../../evil.csv": b"text\nx\n",
    }
    path = write(name, pack(files | {"more/": b""} if pack is zipped else files))
    (part,) = parts(path)
    assert part.name == f"{path}/train.jsonl"
    assert [row.value for row in part.rows()] == ROWS
    assert values(path, split="test") == [{"text": "t"}]
    with pytest.raises(DataError, match=r"data\.revision is set"):
        parts(path, revision="main")


def test_a_zip_with_a_damaged_member_gives_the_rows_before_the_damage(write: Any) -> None:
    noise = [{"text": random.Random(n).randbytes(100).hex()} for n in range(2000)]
    content = bytearray(zipped({"rows.jsonl": "".join(json.dumps(row) + "\n" for row in noise).encode()}))
    content[len(content) // 2] ^= 0xFF
    (part,) = parts(write("rows.zip", bytes(content)))
    *before, last = part.rows()
    assert [row.value for row in before[:900]] == noise[:900]
    assert "cut short or damaged" in (last.problem or "")


def test_an_encrypted_zip_is_refused(write: Any) -> None:
    content = bytearray(zipped({"rows.jsonl": LINES}))
    content[6] |= 1  # the flag in the member's own header, and the one in the table of contents
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="is an encrypted zip archive"):
        parts(write("rows.zip", bytes(content)))


def test_an_archive_without_rows_is_refused_with_what_it_holds(write: Any) -> None:
    with pytest.raises(DataError, match="photo"):
        parts(write("rows.zip", zipped({"photo.png": b"x"})))


def test_a_folder_of_shards_may_be_compressed_and_a_packed_twin_is_not_read_twice(write: Any, tmp_path: Path) -> None:
    write("set/rows-00000-of-00002.jsonl", b'{"text": "a"}')
    write("set/rows-00000-of-00002.jsonl.gz", gzip.compress(b'{"text": "a"}', mtime=0))
    write("set/rows-00001-of-00002.jsonl.zst", zstandard(b'{"text": "b"}'))
    assert values(tmp_path / "set") == [{"text": "a"}, {"text": "b"}]
    assert "is taken for the same rows" in parts(tmp_path / "set")[0].notes()[0]


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("rows.txt", LINES, "read as jsonl, which its content is"),
        ("rows.csv", LINES, "read as jsonl"),
        ("rows.json", LINES, "read as jsonl"),
        ("rows.jsonl", json.dumps(ROWS, indent=1).encode(), "read as json,"),
        ("rows.jsonl", gzip.compress(LINES, mtime=0), "gzip-compressed, although"),
        ("rows.jsonl.gz", LINES, "not compressed, although"),
        ("rows.gz", gzip.compress(LINES, mtime=0), "judged by its content"),
        ("rows.csv", parquet(), "read as parquet"),
    ],
)
def test_content_decides_over_a_wrong_name_and_says_so(write: Any, name: str, content: bytes, note: str) -> None:
    path = write(name, content)
    assert values(path) == ROWS
    assert note in notes(path)[0]


class Piped:
    """What sys.stdin offers of a pipe."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        json.dumps(ROWS).encode(),
        b"text\n" + b"".join(row["text"].encode() + b"\n" for row in ROWS),
        b"n;text\n" + b"".join(b"1;" + row["text"].encode() + b"\n" for row in ROWS),
        parquet(),
        gzip.compress(LINES, mtime=0),
        zipped({"rows.jsonl": LINES}),
    ],
    ids=["jsonl", "json", "text", "csv", "parquet", "gz", "zip"],
)
def test_standard_input_is_read_more_than_once_and_its_kind_told_by_its_content(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(content))
    assert [value["text"] for value in values("-")][-500:] == [row["text"] for row in ROWS]
    assert len(values("-")) in (500, 501)  # the second time; a header alone is no different from a line of text
    if content is LINES:
        assert sum(row.example is not None for row in Rows("-")) == 500
        assert parts("-")[0].source_file().sha256 == hashlib.sha256(LINES).hexdigest()


def test_a_broken_line_of_json_lines_on_standard_input_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b'{"text": "a"}\n{broken\n{"text": "b"}\n'))
    assert values("-") == [{"text": "a"}, None, {"text": "b"}]


def test_standard_input_that_is_a_terminal_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Piped(b"")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(DataError, match="nothing is connected") as caught:
        parts("-")
    assert "finetui data inspect -" in caught.value.remedy
