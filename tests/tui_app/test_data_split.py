"""`finetui data split`: the files, the table, and what finetui reads of them afterwards."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from data.loading import Rows
from data.preparation import DataRequest, prepare
from data.sources import SourceSettings
from tui_app.cli import main


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(num_rows: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Q {number}", "completion": "A", "kind": "rare" if number % 10 == 0 else "usual", "by": number % 7}
        for number in range(num_rows)
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_keep_their_columns_and_every_value_its_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = write(tmp_path / "rows.jsonl", rows_of(100)), tmp_path / "out"
    shares = ["--eval", "0.2", "--test", "0.1", "--stratify-by", "kind"]
    assert main(["data", "split", rows, "-o", str(out), *shares]) == 0
    files = {name: read(out / f"{name}.jsonl") for name in ("train", "validation", "test")}
    assert {name: len(found) for name, found in files.items()} == {"train": 70, "validation": 20, "test": 10}
    assert sum(row["kind"] == "rare" for row in files["test"]) == 1
    assert sorted(
        (row for found in files.values() for row in found), key=lambda row: int(row["prompt"][2:])
    ) == rows_of(100)
    told = capsys.readouterr().out
    assert "rare: 7, 2, 1" in told
    assert "No request stands in more than one split." in told
    assert json.loads((out / "manifest.json").read_text())["strata"] == {"rare": [7, 2, 1], "usual": [63, 18, 9]}


def test_finetui_finds_the_splits_in_the_folder(tmp_path: Path) -> None:
    rows, out = write(tmp_path / "rows.jsonl", rows_of(50)), tmp_path / "out"
    assert main(["data", "split", rows, "-o", str(out), "--test", "0.1", "--shard-size", "7"]) == 0
    sizes = {name: sum(1 for _ in Rows(str(out), SourceSettings(split=name))) for name in ("train", "eval", "test")}
    assert sizes["train"] == 40
    assert sum(1 for _ in Rows(str(out))) == 40
    assert sum(1 for _ in Rows(str(out), SourceSettings(split="validation"))) == 5


@pytest.mark.parametrize(
    ("shares", "keys"),
    [
        (["--eval", "0.2", "--test", "0.1"], ["dataset", "eval_dataset", "test_dataset"]),
        (["--eval", "0.2"], ["dataset", "eval_dataset"]),
        (["--eval", "0", "--test", "0.1"], ["dataset", "test_dataset"]),
    ],
)
def test_the_lines_for_a_recipe_take_every_file_of_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shares: list[str], keys: list[str]
) -> None:
    rows, out = write(tmp_path / "rows.jsonl", rows_of(50)), tmp_path / "parts"
    assert main(["data", "split", rows, "-o", str(out), *shares]) == 0
    given = tomllib.loads(capsys.readouterr().out.split("In a recipe, under [data]:\n")[1])
    assert given == dict.fromkeys(keys, str(out))
    prepared = prepare(DataRequest(**given, eval_fraction=0, test_fraction=0), tmp_path / "prepared")
    files = {path.stem: len(read(path)) for path in out.glob("*.jsonl")}
    taken = {"train": len(prepared.train), "validation": len(prepared.eval), "test": len(prepared.test)}
    assert {name: number for name, number in taken.items() if number} == files


def test_a_leak_between_groups_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"Q {number % 3}", "completion": "A", "by": number} for number in range(30)]
    path = write(tmp_path / "rows.jsonl", rows)
    assert main(["data", "split", path, "-o", str(tmp_path / "out"), "--group-by", "by", "--eval", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "Leak: 3 requests stand in more than one split" in told
    assert "rows.jsonl, line " in told
    assert "Exact duplicates: 27 rows" in told


def test_by_hash_added_rows_move_no_old_one(tmp_path: Path) -> None:
    for name, num_rows in (("old", 60), ("new", 120)):
        rows = write(tmp_path / f"{name}.jsonl", rows_of(num_rows))
        assert main(["data", "split", rows, "-o", str(tmp_path / name), "--eval", "0.3", "--by-hash"]) == 0
    for split in ("train", "validation"):
        old, new = (read(tmp_path / name / f"{split}.jsonl") for name in ("old", "new"))
        assert new[: len(old)] == old


def test_rows_of_unknown_columns_are_split_by_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join(f"{number},1\n" for number in range(20)))
    assert main(["data", "split", str(path), "-o", str(tmp_path / "out"), "--kind", "csv", "--eval", "0.25"]) == 0
    assert "The format is not known" in capsys.readouterr().out
    assert len((tmp_path / "out" / "validation.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--by-hash", "--stratify-by", "kind"], 2, "no stratum can be counted"),
        (["--eval", "0.6", "--test", "0.5"], 3, "no row to train on"),
        (["--group-by", "author"], 3, "no column 'author'"),
    ],
)
def test_what_cannot_be_split_so_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    rows = write(tmp_path / "rows.jsonl", rows_of(10))
    assert main(["data", "split", rows, "-o", str(tmp_path / "out"), *words]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "train.jsonl").exists()
