"""Thousands of malformed files of every kind, from one seed: each row is accounted for, or the file is refused.

More of them, from other seeds: python -P tests/data/test_fuzz.py 20000 1
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.loading import Rows
from data.readers import read_file
from data.rows import SourceRow

NUM_FILES = 2000
SECONDS_PER_FILE = 20.0
ROWS = [
    {"instruction": f"say {n} «größer»", "input": 'a,b;c\n"q"' if n % 3 == 0 else "", "output": f"line {n} 漢字\t|"}
    for n in range(40)
]


def _csv(delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def _columnar(kind: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nested = [
        row | {"messages": [{"role": "user", "content": "x"}] * (n % 3) or None, "n": n, "at": None, "raw": b"\xff"}
        for n, row in enumerate(ROWS)
    ]
    table, sink = pa.Table.from_pylist(nested), io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, sink, row_group_size=15)
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=15)
    return sink.getvalue()


def _zip(content: bytes, name: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"inner{name}", content)
    return sink.getvalue()


def _zstandard(content: bytes, _: str) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@cache
def good_files() -> dict[str, bytes]:
    """Whole files by their endings."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
    return {
        ".jsonl": lines,
        ".json": json.dumps(ROWS, indent=1).encode(),
        ".object.json": json.dumps({"version": 1, "data": ROWS, "more": {"a": [None]}}).encode(),
        ".lines.json": lines,
        ".csv": _csv(","),
        ".semicolon.csv": b"sep=;\r\n" + _csv(";"),
        ".tsv": _csv("\t"),
        ".txt": "\n\n".join(row["output"] for row in ROWS).encode(),
        ".md": b"\xef\xbb\xbf" + "\n".join(row["instruction"] for row in ROWS).encode(),
        ".parquet": _columnar("parquet"),
        ".arrow": _columnar("stream"),
        ".file.arrow": _columnar("file"),
    }


WRAPPERS: dict[str, Callable[[bytes, str], bytes]] = {
    "": lambda content, _: content,
    ".gz": lambda content, _: gzip.compress(content, 1, mtime=0),
    ".zst": _zstandard,
    ".bz2": lambda content, _: bz2.compress(content),
    ".xz": lambda content, _: lzma.compress(content, preset=0),
    ".zip": _zip,
}


@cache
def wrapped(kind: str, wrapper: str) -> bytes:
    return WRAPPERS[wrapper](good_files()[kind], kind)


NASTY = [
    b"[" * 5000,
    b'{"a":' * 3000,
    b'{"n": ' + b"9" * 5000 + b"}",
    b'{"n": 1e999999, "m": -Infinity, "k": NaN}',
    b'{"a": "\\ud800", "b": "\\udfff\\ud800"}',
    b'{"a": [null, {"b": null, "c": [null]}], "instruction": null, "output": null}',
    b'{"a": 1, "a": 2}',
    b'{"a": "\x00"}',
    b"\x00" * 50,
    b"caf\xe9 \xff\xfe \x80",
    "é".encode("utf-16"),
    b'"' * 7,
    b'a,b\n"c""d\n,,,"\r\r\n',
    b"a,a,a\n1,2,3\n",
    b"\xef\xbb\xbf",
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04\x14\x00",
    b"PAR1" * 5,
    b"ARROW1\x00\x00",
    b"\xff\xff\xff\xff\x10\x00\x00\x00",
    b"{}\n" * 3,
    b"-",
    b"\\",
    b"\r",
]


def damaged(content: bytes, random: random.Random) -> bytes:
    """The content with one to three things gone wrong."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        at = random.randrange(len(content) + 1)
        what = random.randrange(9)
        if what < 2:
            content = content[:at]
        elif what < 4:
            changed = bytearray(content)
            for _ in range(min(random.choice([1, 1, 4, 30]), len(changed))):
                changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            content = bytes(changed)
        elif what == 4:
            content = content[:at] + random.choice(NASTY) + content[at:]
        elif what == 5:
            content = content[:at] + content[at + random.randrange(1, 200) :]
        elif what == 6:
            content = content[:at] + content[max(at - random.randrange(1, 300), 0) :]
        elif what == 7:
            content = content[:at] + random.randbytes(random.randrange(1, 40)) + content[at:]
        else:
            text = content.decode("utf-8", errors="replace")
            content = text.encode(random.choice(["utf-16", "utf-16-le", "utf-32", "cp1252", "gb18030"]), "replace")
    return content


def malformed(random: random.Random) -> tuple[str, bytes]:
    """A file name and what is in the file."""
    kind, wrapper = random.choice(list(good_files())), random.choice(["", "", "", *WRAPPERS])
    what = random.randrange(10)
    if what == 0:
        content = random.choice([b"\n", b"", b","]).join(random.choices(NASTY, k=random.randrange(1, 6)))
        return f"rows{kind}", content
    if what < 4 and wrapper:
        return f"rows{kind}{wrapper}", WRAPPERS[wrapper](damaged(good_files()[kind], random), kind)
    if what == 4:
        other = random.choice(list(good_files()))
        return f"rows{other}", damaged(wrapped(kind, wrapper), random)
    return f"rows{kind}{wrapper}", damaged(wrapped(kind, wrapper), random)


def read_to_the_end(path: Path) -> list[SourceRow] | None:
    """All rows, each of them checked; None where the file is refused. Anything but a DataError comes through."""
    rows: list[SourceRow] = []
    try:
        for row in read_file(path):
            rows.append(row)
            assert row.line >= 1
            assert (row.value is None) == bool(row.problem)
            assert row.value is None or (isinstance(row.value, dict) and all(isinstance(key, str) for key in row.value))
    except DataError as error:
        return None if error.happened and error.remedy else pytest.fail(f"says not what to do: {error}")
    return rows


def check_many(folder: Path, seed: int, number: int) -> tuple[int, int]:
    """Read that many malformed files; how many were refused as a whole, and how many rows the others gave."""
    chance, num_refused, num_rows = random.Random(seed), 0, 0
    for place in range(number):
        name, content = malformed(chance)
        path = folder / name
        path.write_bytes(content)
        start = time.monotonic()
        try:
            rows = read_to_the_end(path)
            if place % 10 == 0:
                _understood(path)
        except Exception as error:
            raise AssertionError(f"file {place} of seed {seed} ({name}, {len(content)} bytes): {error!r}") from error
        assert time.monotonic() - start < SECONDS_PER_FILE, f"file {place} of seed {seed} ({name}) took too long"
        num_refused += rows is None
        num_rows += len(rows or ())
        path.unlink()
    return num_refused, num_rows


def _understood(path: Path) -> None:
    with contextlib.suppress(DataError):
        for row in Rows(str(path)):
            assert (row.example is None) != (row.rejection is None)


def test_malformed_files_of_every_kind_give_rows_problems_or_an_error_of_ours(tmp_path: Path) -> None:
    num_refused, num_rows = check_many(tmp_path, 42, NUM_FILES)
    # Both happen often, or the files would show little.
    assert num_refused > NUM_FILES / 20
    assert num_rows > NUM_FILES


def _bad_lines() -> list[bytes]:
    return [line for line in NASTY if b"\n" not in line and line.strip() and line != b"\xef\xbb\xbf"]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_line_of_json_lines_that_is_not_blank_is_a_row_or_a_problem_at_its_line(
    tmp_path: Path, wrapper: str
) -> None:
    chance = random.Random(1)
    good = good_files()[".jsonl"].splitlines()
    for _ in range(40):
        lines = [chance.choice([b"", b" \t", *_bad_lines()]) if chance.random() < 0.3 else line for line in good]
        lines[0] = good[0]
        path = tmp_path / f"rows.jsonl{wrapper}"
        path.write_bytes(WRAPPERS[wrapper](b"\n".join(lines), ".jsonl"))
        rows = read_to_the_end(path)
        assert rows is not None
        assert [row.line for row in rows] == [number for number, line in enumerate(lines, start=1) if line.strip()]
        by_line = {row.line: row.value for row in rows}
        assert all(by_line[place + 1] == ROWS[place] for place, line in enumerate(lines) if line == good[place])


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".object.json", ".csv", ".md"])
@pytest.mark.parametrize("wrapper", [".gz", ".zst", ".bz2", ".xz"])
def test_a_compressed_file_cut_anywhere_gives_the_rows_before_the_cut_and_one_problem(
    tmp_path: Path, kind: str, wrapper: str
) -> None:
    chance, path = random.Random(2), tmp_path / f"rows{kind}{wrapper}"
    path.write_bytes(wrapped(kind, wrapper))
    whole = read_to_the_end(path)
    assert whole is not None
    assert all(row.problem is None for row in whole)
    for _ in range(15):
        path.write_bytes(wrapped(kind, wrapper)[: chance.randrange(6, len(wrapped(kind, wrapper)))])
        rows = read_to_the_end(path)
        if rows is not None:
            assert rows[:-1] == whole[: len(rows) - 1]
            assert "cut short or damaged" in (rows[-1].problem or "")


@settings(max_examples=60)
@given(
    content=st.binary(max_size=300),
    ending=st.sampled_from(sorted([*good_files(), ".zip", ".tar"])),
    packed=st.booleans(),
)
def test_any_bytes_under_any_name_give_rows_problems_or_an_error_of_ours(
    content: bytes, ending: str, packed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ending}"
        path.write_bytes(gzip.compress(content, 1) if packed else content)
        read_to_the_end(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.text(), JSON, min_size=1, max_size=4), min_size=1, max_size=6),
    indent=st.sampled_from([None, 1]),
    form=st.sampled_from(["array", "object", "lines"]),
    is_ascii=st.booleans(),
)
def test_whatever_json_can_hold_comes_back_as_it_was_from_every_shape_of_file(
    rows: list[dict[str, Any]], indent: int | None, form: str, is_ascii: bool
) -> None:
    if form == "lines":
        text = "".join(json.dumps(row, ensure_ascii=is_ascii) + "\n" for row in rows)
    else:
        text = json.dumps(rows if form == "array" else {"n": 1, "data": rows}, indent=indent, ensure_ascii=is_ascii)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("rows.jsonl" if form == "lines" else "rows.json")
        path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
        found = read_to_the_end(path)
    assert found is not None
    assert [row.value for row in found] == rows


def _main(number: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        num_refused, num_rows = check_many(Path(folder), seed, number)
        seconds = time.process_time() - start
    print(f"{number} files from seed {seed}: {num_refused} refused, {num_rows} rows, {seconds:.1f} s of CPU")


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
