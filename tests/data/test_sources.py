"""What a dataset string stands for: files, folders, generators, and the answers to strings that stand for nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.file_choice import choose, split_of, subset_of
from data.sources import SourceFile, SourceSettings, open_source


def names(dataset: str | Path, **settings: Any) -> list[str]:
    return [Path(part.name).name for part in open_source(str(dataset), SourceSettings(**settings))]


def refusal(dataset: str | Path, **settings: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        open_source(str(dataset), SourceSettings(**settings))
    return caught.value


def test_a_file_is_named_as_the_user_named_it_with_its_hash_and_size(write: Any) -> None:
    path = write("rows.jsonl", '{"a": 1}\n')
    (part,) = open_source(str(path), SourceSettings())
    assert part.source_file() == SourceFile(str(path), hashlib.sha256(b'{"a": 1}\n').hexdigest(), 9)
    assert [row.value for row in part.rows()] == [{"a": 1}]


def test_a_home_folder_sign_is_followed(own_machine: Path) -> None:
    (own_machine.parent / "home" / "rows.jsonl").write_text('{"a": 1}\n')
    assert names("~/rows.jsonl") == ["rows.jsonl"]


def test_a_folder_gives_its_train_files_and_the_split_that_is_asked_for(write: Any, tmp_path: Path) -> None:
    for name in (
        "train-1.jsonl",
        "train-0.jsonl",
        "test.csv",
        "dev.json",
        "LICENSE.txt",
        "dataset_info.json",
        ".x.csv",
    ):
        write(f"set/{name}", "{}")
    assert names(tmp_path / "set") == ["train-0.jsonl", "train-1.jsonl"]
    assert names(tmp_path / "set", split="test") == ["test.csv"]
    assert names(tmp_path / "set", split="validation") == names(tmp_path / "set", split="val") == ["dev.json"]
    assert names(tmp_path / "set", split="all") == ["dev.json", "test.csv", "train-0.jsonl", "train-1.jsonl"]


def test_a_folder_whose_names_say_no_split_gives_every_file(write: Any, tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "latest.json"):
        write(f"set/{name}", "{}")
    assert names(tmp_path / "set") == ["a.csv", "b.jsonl", "latest.json"]


def test_text_files_count_only_where_no_file_of_rows_stands_beside_them(write: Any, tmp_path: Path) -> None:
    write("set/b.txt", "x")
    write("set/a.TXT", "x")
    assert names(tmp_path / "set") == ["a.TXT", "b.txt"]
    write("set/rows.csv", "x")
    assert names(tmp_path / "set") == ["rows.csv"]


def test_a_folder_without_a_readable_file_is_refused_with_what_it_holds(write: Any, tmp_path: Path) -> None:
    write("set/rows.xlsx", b"PK")
    assert "'rows.xlsx'" in refusal(tmp_path / "set").means
    (tmp_path / "empty").mkdir()
    assert "It is empty" in refusal(tmp_path / "empty").means


def test_a_missing_file_is_answered_with_the_near_names_in_its_folder(write: Any, tmp_path: Path) -> None:
    write("rows_v2.jsonl", "{}")
    write("other.csv", "x")
    error = refusal(tmp_path / "rows_v3.jsonl")
    assert "There is no file or folder" in error.happened
    assert "'rows_v2.jsonl'" in error.means
    assert "'other.csv'" not in error.means
    write(".rows_v4.jsonl.part", "{}")  # a download or a result that was cut off: not what is meant
    assert ".part" not in refusal(tmp_path / "rows_v4.jsonl").means
    assert "does not exist either" in refusal(tmp_path / "no" / "rows.jsonl").means


def test_a_mistyped_local_folder_is_not_looked_for_on_the_hub(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("sets/chat/rows.jsonl", "{}")
    monkeypatch.chdir(tmp_path)
    error = refusal("sets/chta")
    assert "close to it: 'chat'" in error.means
    assert "hub:sets/chta" in error.remedy


def test_a_generator_gives_its_rows_and_their_hash_as_json_lines() -> None:
    (part,) = open_source("generator:venvy", SourceSettings(generator_rows=20, seed=1))
    rows = [row.value for row in part.rows()]
    assert [row.line for row in part.rows()] == list(range(1, 21))
    written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    assert part.source_file() == SourceFile("generator:venvy", hashlib.sha256(written).hexdigest(), len(written))


@pytest.mark.parametrize(
    ("dataset", "setting"),
    [
        ("generator:venvy", {"subset": "full"}),
        ("generator:venvy", {"split": "all"}),
        ("rows.jsonl", {"generator_rows": 10}),
        ("rows.jsonl", {"split": "train"}),
        ("rows.jsonl", {"subset": "full"}),
        (".", {"revision": "main"}),
        ("hub:owner/name", {"generator_rows": 10}),
    ],
)
def test_a_setting_that_means_nothing_for_the_source_is_refused_by_name(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, setting: dict[str, Any]
) -> None:
    write("rows.jsonl", "{}")
    monkeypatch.chdir(tmp_path)
    assert f"data.{next(iter(setting))} is set" in refusal(dataset, **setting).happened


def test_an_unknown_generator_is_answered_with_those_there_are() -> None:
    error = refusal("generator:venv")
    assert "no bundled generator named 'venv'" in error.happened
    assert "perhaps venvy" in error.remedy


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("full/validation-00000-of-00001.parquet", "validation"),
        ("my_dev_set.csv", "validation"),
        ("test/part.json", "test"),
        ("train/rows.jsonl", "train"),
        ("train/test.jsonl", "test"),
        ("full/prompt-00000-of-00001.parquet", "prompt"),
        ("training.csv", "train"),
        ("latest.csv", None),
        ("contestants.csv", None),
    ],
)
def test_a_split_is_a_word_in_a_name(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_a_subset_is_a_folder_that_is_neither_data_nor_a_split() -> None:
    folders = ["full/x.csv", "data/x.csv", "train/x.csv", "x.csv", "en/data/train/x.csv", "a/b/x.csv"]
    assert [subset_of(name) for name in folders] == ["full", "", "", "", "en", "a/b"]


def test_several_subsets_must_be_chosen_from_and_a_wrong_choice_names_them() -> None:
    files = ["full/train.parquet", "sanitized/train.parquet"]
    assert choose(files, "It", "full", None) == ["full/train.parquet"]
    for subset in (None, "ful"):
        with pytest.raises(DataError, match="full, sanitized") as caught:
            choose(files, "It", subset, None)
        assert "data.subset" in caught.value.remedy


def test_a_split_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(DataError, match="test, train, all") as caught:
        choose(["train.csv", "test.csv"], "It", None, "validation")
    assert "data.split" in caught.value.remedy
