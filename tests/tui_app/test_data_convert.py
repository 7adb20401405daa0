"""`finetui data convert`: what it writes, says and refuses, and that others can load what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data.loading import Rows
from tui_app.cli import main

ALPACA = [{"instruction": f"Say {number}", "input": "", "output": f"It is {number}"} for number in range(10)]


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_csv_becomes_shards_of_json_lines_with_manifest_card_and_zip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(
        "question,n\n" + "".join(f'"a ""{number}""\nb",{number}\n' for number in range(7))
    )
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "rows.csv"), "-o", str(out), "--shard-size", "3", "--zip"]) == 0
    names = [f"train-0000{number}-of-00003.jsonl" for number in range(3)]
    assert sorted(contents(out)) == ["dataset_card.json", "dataset_card.md", "manifest.json", *names]
    rows = [json.loads(line) for name in names for line in (out / name).read_text().splitlines()]
    assert rows[6] == {"question": 'a "6"\nb', "n": "6"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert [file["rows"] for file in manifest["files"]] == [3, 3, 1]
    assert manifest["inputs"][0]["name"].endswith("rows.csv")
    assert "7 of 7 rows written" in capsys.readouterr().out
    before = contents(out), (tmp_path / "out.zip").read_bytes()
    again = ["data", "convert", str(tmp_path / "rows.csv"), "-o", str(out), "--shard-size", "3", "--zip"]
    assert main(again) == 3
    assert "--force" in capsys.readouterr().err
    assert main([*again, "--force"]) == 0
    assert (contents(out), (tmp_path / "out.zip").read_bytes()) == before


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "csv.zst"])
def test_rows_go_to_every_kind_of_file_and_back(tmp_path: Path, ending: str) -> None:
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    assert main(["data", "convert", rows, "-o", str(tmp_path / f"there.{ending}")]) == 0
    assert main(["data", "convert", str(tmp_path / f"there.{ending}"), "-o", str(tmp_path / "back.jsonl")]) == 0
    assert (tmp_path / "back.jsonl").read_text() == (tmp_path / "rows.jsonl").read_text()


def test_the_preview_shows_rows_before_and_after_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(
        tmp_path / "rows.jsonl", [{"prompt": "[red]\x1b[1m", "completion": "b"}, {"prompt": "", "completion": "c"}]
    )
    assert main(["data", "convert", rows, "--to", "messages", "--preview", "5"]) == 0
    shown = capsys.readouterr().out
    assert '"role": "user", "content": "[red]' in shown
    assert "\x1b" not in shown
    assert "cannot be written: 'prompt' is empty" in shown
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.jsonl"]


def test_bad_rows_end_it_with_code_three_and_are_listed_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.jsonl", [*ALPACA, {"instruction": "a", "output": 3}, 5])
    out = tmp_path / "out"
    command = ["data", "convert", rows, "--to", "messages", "-o", str(out), "--json"]
    assert main(command) == 3
    told = capsys.readouterr().err
    assert "2 of 12 rows cannot be written" in told
    assert "rows.jsonl, line 11" in told
    assert not out.exists()
    assert main([*command, "--skip-bad"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["rows_written"] == {"train": 10}
    assert sum(shown["rejected"].values()) == 2
    listed = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [one["line"] for one in listed] == [11, 12]
    assert "left out" in (out / "dataset_card.md").read_text()


def test_duplicates_are_dropped_and_control_characters_cleaned_on_request(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [ALPACA[0], ALPACA[0], {"instruction": "a\x07", "output": "b"}])
    out = tmp_path / "out"
    mended = ["--drop", "duplicates", "--clean", "control-characters"]
    assert main(["data", "convert", rows, "--to", "prompt_completion", "-o", str(out), *mended]) == 0
    written = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in written] == ["Say 0", "a"]
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert (counts["dropped"], counts["repaired"]) == ({"duplicates": 1}, {"control-characters": 1})


def test_a_killed_command_is_gone_on_with_to_the_same_bytes(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"n": number} for number in range(10000)])
    command = ["data", "convert", rows, "--shard-size", "300", "-o"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    program = [sys.executable, "-c", f"from tui_app.cli import main; main({[*command, str(tmp_path / 'out')]!r})"]
    unfinished = tmp_path / "out" / ".unfinished"
    with subprocess.Popen(program, cwd=Path(__file__).parents[2]) as process:
        while not (unfinished / "train-00003.jsonl").exists() and process.poll() is None:
            pass
        process.kill()
    assert (
        main([*command, str(tmp_path / "out"), *(["--force"] if (tmp_path / "out/manifest.json").exists() else [])])
        == 0
    )
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "out")
    assert resumed == whole


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out.csv", "--shard-size", "3"], "--shard-size is for a folder"),
        (["-o", "out", "--shard-size", "0"], "--shard-size is 0"),
        (["-o", "out", "--system", "Be kind."], "--system says what the rows mean"),
        (["-o", "out", "--clean", "control-charcters"], "control-characters"),
        (["-o", "out", "--clean", "control-charcters"], "finetui data check --list"),
        (["-o", "out", "--drop", "duplicate"], "Perhaps duplicates. There are: boilerplate, "),
        (["-o", "out.xlsx"], ".csv opens in Excel"),
        (["-o", "out", "--max-rows", "0"], "--max-rows is 0"),
        ([], "No output is named"),
    ],
)
def test_options_that_have_no_effect_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "convert", write(tmp_path / "rows.jsonl", ALPACA), *words]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_renamed_columns_are_written_under_the_names_that_are_told_without_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faq, out = tmp_path / "faq.csv", tmp_path / "clean.jsonl"
    faq.write_text("n,Frage,Antwort\n" + "".join(f"{number},Was {number}?,Das {number}.\n" for number in range(5)))
    columns = ["--column", "prompt=Frage", "--column", "completion=Antwort"]
    assert main(["data", "convert", str(faq), *columns, "-o", str(out)]) == 0
    assert "columns Frage -> prompt, Antwort -> completion\n" in capsys.readouterr().out
    first = json.loads(out.read_text().splitlines()[0])
    assert list(first.items()) == [("n", "0"), ("prompt", "Was 0?"), ("completion", "Das 0.")]
    assert Rows(str(out)).detection.format == "prompt_completion"
    assert main(["data", "split", str(faq), *columns, "--eval", "0.4", "-o", str(tmp_path / "parts")]) == 0
    assert "columns Frage -> prompt" in capsys.readouterr().out
    assert Rows(str(tmp_path / "parts")).detection.format == "prompt_completion"


def test_rows_put_into_words_keep_their_columns_and_it_says_how_to_read_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"a": "b", "c": "d"}, {"a": "b", "c": "d"}])
    words = ["--template", "{a}\\n{c}", "--drop", "duplicates", "-o", str(tmp_path / "out.jsonl")]
    assert main(["data", "convert", rows, *words]) == 0
    assert "read it with --template '{a}\\n{c}', or write it with --to prompt_completion" in capsys.readouterr().out


def test_a_folder_s_name_may_hold_a_dot_where_a_slash_says_that_it_is_one(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    assert main(["data", "convert", rows, "-o", f"{tmp_path}/out.v2/"]) == 0
    assert (tmp_path / "out.v2" / "train.jsonl").exists()


def test_conversations_are_not_put_into_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    assert main(["data", "convert", rows, "--to", "messages", "-o", str(tmp_path / "out.csv")]) == 3
    assert "--to prompt_completion" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_zip_and_a_card_that_are_there_are_kept_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    (tmp_path / "out.zip").write_text("mine")
    (tmp_path / "dataset_card.md").write_text("mine")
    assert main(["data", "convert", rows, "-o", str(tmp_path / "out"), "--zip"]) == 3
    assert main(["data", "convert", rows, "-o", str(tmp_path / "out.jsonl"), "--card"]) == 3
    assert "out.zip is there already" in capsys.readouterr().err
    assert (tmp_path / "out.zip").read_text() == (tmp_path / "dataset_card.md").read_text() == "mine"
    assert main(["data", "convert", rows, "-o", str(tmp_path / "out.jsonl"), "--card", "--force"]) == 0
    assert "out.jsonl" in (tmp_path / "dataset_card.md").read_text()


@pytest.mark.parametrize("command", ["convert", "split", "mix"])
def test_the_help_fits_a_small_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["data", command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25
    assert max(map(len, lines)) <= 80


LOADED = """
import sys
from datasets import load_dataset
folder = sys.argv[1]
streamed = load_dataset("json", data_files=folder + "/jsonl/train-*.jsonl", streaming=True, split="train")
print(sum(1 for _ in streamed))
for kind in ("jsonl", "parquet", "csv"):
    loaded = load_dataset(folder + "/" + kind)
    print(kind, {name: len(rows) for name, rows in loaded.items()}, sorted(loaded["train"].features))
"""


@pytest.mark.slow
def test_written_folders_load_as_datasets_of_the_hub_s_library(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [*ALPACA, {"instruction": "bad"}])
    for kind in ("jsonl", "parquet", "csv"):
        out = ["--shard-size", "3", "--kind", kind, "-o", str(tmp_path / kind), "--test", "0.2", "--skip-bad"]
        assert main(["data", "split", rows, "--to", "alpaca", *out]) == 0
    program = [sys.executable, "-c", LOADED, str(tmp_path)]
    told = subprocess.run(program, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    assert told[0] == "7"
    for line in told[1:]:
        assert "{'train': 7, 'validation': 1, 'test': 2} " in line
        assert "'instruction'" in line
