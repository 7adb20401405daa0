"""`finetui data mix`: several datasets in one format, and an account of what came from which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui_app.cli import main


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    rows = [{"prompt": f"Q {number}", "completion": "A"} for number in range(400)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.csv").write_text("question,answer\n" + "".join(f"Q {number},B\n" for number in range(395, 600)))
    return str(tmp_path / "a.jsonl"), str(tmp_path / "b.csv")


def test_two_datasets_become_one_of_messages_with_their_names(
    tmp_path: Path, two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [f"{two[0]}=0.75", f"{two[1]}=0.25", "-o", str(out), "--rows", "400", "--source-column", "source"]
    assert main(["data", "mix", *words, "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows_written"] == {"train": 400}
    assert told["sources"][two[0]]["rows"] == pytest.approx(300, abs=30)
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert {row["source"] for row in rows} == set(two)
    assert all([turn["role"] for turn in row["messages"]] == ["user", "assistant"] for row in rows)
    first = (out / "train.jsonl").read_bytes()
    assert main(["data", "mix", *words, "--seed", "3", "--force"]) == 0
    assert (out / "train.jsonl").read_bytes() == first


def test_requests_of_several_datasets_are_counted_and_a_short_mixture_says_why(
    tmp_path: Path, two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{two[0]}=2", f"{two[1]}=1", "-o", str(tmp_path / "mixed.parquet")]
    assert main(["data", "mix", *words, "--stopping-strategy", "all_exhausted"]) == 0
    assert "Same request in several datasets: 5" in capsys.readouterr().out
    assert main(["data", "mix", *words, "--rows", "5000", "--force"]) == 0
    assert "of the 5,000 rows asked for: a dataset had no row left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["a.jsonl", "b.csv=1"], 2, "a.jsonl is not ROWS=WEIGHT"),
        (["a.jsonl=1"], 2, "two different datasets"),
        (["a.jsonl=1", "b.csv=0"], 3, "The weight of b.csv is 0"),
        (["a.jsonl=1", "b.csv=1", "--to", "same"], 2, "no common format"),
        (["a.jsonl=1", "b.csv=1", "--rows", "0"], 2, "--rows is 0"),
    ],
)
@pytest.mark.usefixtures("two")
def test_mixtures_that_mean_nothing_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "mix", *words, "-o", "out"]) == code
    assert said in capsys.readouterr().err


def test_columns_that_nobody_knows_are_told_with_their_dataset_and_the_command_that_helps(
    tmp_path: Path, two: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("support.csv").write_text("Frage,Antwort\n" + "".join(f"Was {n}?,Das {n}.\n" for n in range(5)))
    assert main(["data", "mix", f"{two[0]}=1", "support.csv=1", "-o", "mixed.jsonl"]) == 3
    told = capsys.readouterr().err
    assert told.startswith("finetui: support.csv: ")
    assert "recipe" not in told
    command = next(line.strip() for line in told.splitlines() if line.startswith("  finetui data convert support.csv"))
    assert command.endswith("--to messages -o support.jsonl")
    assert main(command.split()[1:]) == 0
    assert main(["data", "mix", f"{two[0]}=1", "support.jsonl=1", "-o", "mixed.jsonl"]) == 0
