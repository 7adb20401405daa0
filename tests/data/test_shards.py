"""A folder of shards: names, going on after an end in the middle, refusals, and what a full disk leaves."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.writers import Columns, kind_named
from data.writing.manifest import changed_files, manifest_of, write_manifest, write_zip
from data.writing.shards import UNFINISHED, Folder, SingleFile

JSONL = kind_named("jsonl")


def filled(
    folder: Path, num_rows: int, shard_rows: int | None, *, stop_at: int | None = None, force: bool = False
) -> int:
    """Writes rows, in the middle of which KeyboardInterrupt may come; how many shards were there already."""
    with Folder(folder, JSONL, shard_rows, {"options": {"shard_size": shard_rows}}) as output:
        output.begin(force)
        output.with_columns(Columns())
        for number in range(num_rows):
            if number == stop_at:
                raise KeyboardInterrupt
            output.write("test" if number % 5 == 0 else "train", {"n": number})
        write_manifest(manifest_of("tests", {}, [], output.finish()), folder)
        output.close()
        return output.num_kept_shards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_shards_are_named_by_number_and_count(tmp_path: Path) -> None:
    filled(tmp_path / "out", 10, 3)
    names = ["test-00000-of-00001", "train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"]
    assert sorted(contents(tmp_path / "out")) == ["manifest.json", *(f"{name}.jsonl" for name in names)]
    assert changed_files(tmp_path / "out") == []


def test_one_file_a_split_without_a_shard_size(tmp_path: Path) -> None:
    filled(tmp_path / "out", 10, None)
    assert sorted(contents(tmp_path / "out")) == ["manifest.json", "test.jsonl", "train.jsonl"]


def test_an_output_that_ended_anywhere_is_gone_on_with_to_the_same_bytes(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 23, 4)
    places = iter(range(1000))

    @settings(max_examples=12)
    @given(st.lists(st.integers(0, 22), max_size=3))
    def ends_and_goes_on(stops: list[int]) -> None:
        folder = tmp_path / f"out-{next(places)}"
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                filled(folder, 23, 4, stop_at=stop)
            left = contents(folder)
            assert not [name for name in left if name.endswith(".part")]
        filled(folder, 23, 4)
        assert contents(folder) == contents(tmp_path / "whole")

    ends_and_goes_on()


def test_complete_shards_are_not_written_again_unless_they_have_changed(tmp_path: Path) -> None:
    for name in ("kept", "changed"):
        with pytest.raises(KeyboardInterrupt):
            filled(tmp_path / name, 20, 4, stop_at=15)
    shard = tmp_path / "changed" / UNFINISHED / "train-00001.jsonl"
    shard.write_bytes(shard.read_bytes().replace(b"6", b"7"))
    assert (filled(tmp_path / "kept", 20, 4), filled(tmp_path / "changed", 20, 4)) == (3, 2)
    assert contents(tmp_path / "kept") == contents(tmp_path / "changed")


def test_an_end_while_the_shards_get_their_names_is_gone_on_with(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 20, 4)
    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "out", 20, 4, stop_at=19)
    unfinished = tmp_path / "out" / UNFINISHED
    (unfinished / "train-00000.jsonl").replace(tmp_path / "out" / "train-00000-of-00004.jsonl")
    assert filled(tmp_path / "out", 20, 4) == 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_another_command_does_not_go_on_with_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "out", 20, 4, stop_at=15)
    with pytest.raises(DataError, match=r"options.shard_size: 4, now 5"):
        filled(tmp_path / "out", 20, 5)
    assert filled(tmp_path / "out", 20, 5, force=True) == 0


def test_what_is_there_is_replaced_only_by_force_and_strange_files_never(tmp_path: Path) -> None:
    filled(tmp_path / "out", 10, 3)
    with pytest.raises(DataError, match="holds rows already"):
        filled(tmp_path / "out", 10, 3)
    filled(tmp_path / "out", 4, 3, force=True)
    assert "train-00002-of-00003.jsonl" not in contents(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="no command of finetui"):
        filled(tmp_path / "mine", 10, 3, force=True)


def test_two_commands_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with Folder(tmp_path / "out", JSONL, 3, {}) as first, Folder(tmp_path / "out", JSONL, 3, {}) as second:
        first.begin()
        with pytest.raises(DataError, match="Another command"):
            second.begin()


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """A limit of this process on what a file may hold stands for a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "csv.gz"])
def test_a_full_disk_keeps_the_complete_shards_and_says_so(tmp_path: Path, kind: str) -> None:
    with Folder(tmp_path / "out", kind_named(kind), 5, {}) as output:
        output.begin()
        output.with_columns(Columns(("n",)))
        for number in range(7):
            output.write("train", {"n": str(number)})
        with files_of_at_most(1), pytest.raises(DataError, match=r"1 complete shard\(s\)") as told:
            output.finish()
    assert "Free some space" in told.value.remedy
    assert not [name for name in contents(tmp_path / "out") if name.endswith(".part")]


def test_a_full_disk_leaves_nothing_of_a_single_parquet_file(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    with SingleFile(tmp_path / "rows.parquet", kind_named("parquet")) as output:
        output.begin()
        output.with_columns(Columns(("n",), pa.schema([("n", pa.string())])))
        output.write("train", {"n": "1"})
        with files_of_at_most(1), pytest.raises(DataError, match="cannot be written"):
            output.finish()
    assert contents(tmp_path) == {}


def test_a_zip_of_the_same_folder_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        filled(tmp_path / name / "out", 10, 3)
        write_zip(tmp_path / name / "out", tmp_path / name / "out.zip")
        (tmp_path / name / "out" / "train-00000-of-00003.jsonl").touch()
    assert (tmp_path / "a" / "out.zip").read_bytes() == (tmp_path / "b" / "out.zip").read_bytes()


def test_the_manifest_tells_a_changed_file_from_a_missing_one(tmp_path: Path) -> None:
    filled(tmp_path, 10, None)
    (tmp_path / "train.jsonl").write_text("{}")
    (tmp_path / "test.jsonl").unlink()
    assert changed_files(tmp_path) == ["test.jsonl is missing", "train.jsonl has changed"]
    assert json.loads((tmp_path / "manifest.json").read_text())["files"][1]["rows"] == 8
