"""`finetui data check`: what it prints, what it writes, and the exit code that a script goes by."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from data.checks import all_checks
from tui_app.cli import main

GOOD = [{"prompt": f"What is {n} and one?", "completion": f"It is {n + 1}."} for n in range(4)]
SECRET = "hf_" + "q" * 34


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def written(name: str, rows: list[dict[str, object]] | list[dict[str, str]]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_clean_rows_end_with_zero_and_advice_on_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", written("rows.jsonl", GOOD)]) == 0
    told = capsys.readouterr().out
    assert "4 rows" in told
    assert "Too few to learn from" in told
    assert told.endswith("No fault found.\n")


def test_warnings_end_with_three_only_when_strict(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("rows.jsonl", [*GOOD, GOOD[0]])
    assert main(["data", "check", name]) == 0
    assert main(["data", "check", name, "--strict"]) == 3
    told = capsys.readouterr().out
    assert "first: rows.jsonl, line 5 (as line 1)" in told
    assert "finetui data convert rows.jsonl --drop duplicates -o clean.jsonl" in told
    assert told.endswith("1 warning.\n")


def test_errors_end_with_three_and_stand_first(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("rows.jsonl", [*GOOD, GOOD[0], {"prompt": "", "completion": "x"}])
    assert main(["data", "check", name]) == 3
    lines = capsys.readouterr().out.splitlines()
    levels = [line.split()[0] for line in lines if line.startswith(("error", "warning", "info"))]
    assert levels == ["error", "warning", "info"]
    # Commands are there to be copied: they are not folded.
    assert max(len(line) for line in lines if "finetui data convert" not in line) < 80


def test_several_findings_are_mended_by_one_command_that_really_mends_them(capsys: pytest.CaptureFixture[str]) -> None:
    bad = [GOOD[0], {"prompt": "", "completion": "x"}, {"prompt": "What is\x07 it?", "completion": "It is nothing."}]
    name = written("rows.jsonl", [*GOOD, *bad])
    assert main(["data", "check", name, "--card", "card"]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    fix = "finetui data convert rows.jsonl --drop duplicates,rejected --clean control-characters -o clean.jsonl"
    assert last == f"all of it: {fix}"
    assert json.loads(Path("card/dataset_card.json").read_text())["fix_all"] == fix
    assert fix in Path("card/dataset_card.md").read_text()
    assert main(fix.split()[1:]) == 0
    capsys.readouterr()
    assert main(["data", "check", "clean.jsonl", "--strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fix_all"] == ""


def test_one_finding_needs_no_second_line_for_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", written("rows.jsonl", [*GOOD, GOOD[0]])]) == 0
    assert "all of it" not in capsys.readouterr().out


def test_what_came_through_a_pipe_is_to_be_saved_before_it_is_mended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"prompt;completion\n" + b"".join(b"What is %d?;It is it %d.\n" % (n % 3, n % 3) for n in range(6))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(rows)))
    assert main(["data", "check", "-"]) == 0
    told = capsys.readouterr().out
    assert "Standard input is used up: save it to a file first, named saved.csv" in told
    assert "finetui data convert saved.csv --drop duplicates -o clean.jsonl" in told
    assert "convert -" not in told


def test_how_a_file_was_guessed_to_be_read_is_told_near_the_top_and_in_the_card(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("faq.csv").write_bytes("prompt;completion\nWie?;Schön so.\nWo?;Über dem Haus.\n".encode("cp1252"))
    assert main(["data", "check", "faq.csv"]) == 0
    told = capsys.readouterr().out
    assert told.index("faq.csv: fields are separated by ';'") < told.index("2 rows")
    assert told.count("Windows-1252") == 1
    assert main(["data", "check", "faq.csv", "--json", "--card", "card"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert notes[1] == "faq.csv: fields are separated by ';'"
    assert json.loads(Path("card/dataset_card.json").read_text())["notes"] == notes
    assert main(["data", "stats", "faq.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == notes[:2]
    assert main(["data", "convert", "faq.csv", "-o", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == notes[:2]
    assert "separated by ';'" in Path("out/dataset_card.md").read_text()


def test_the_list_names_every_check_with_the_options_that_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "warning  control-characters  (--drop, --clean)" in lines
    assert max(map(len, lines)) < 80
    assert main(["data", "check", "--list", "--json"]) == 0
    assert {told["check"] for told in json.loads(capsys.readouterr().out)} == set(all_checks())
    assert main(["data", "check"]) == 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["convert", "a", "--skipbad"], "--skip-bad"), (["stats", "a", "--colunm", "a=b"], "--column")],
)
def test_a_mistyped_option_shows_the_command_s_own_usage_and_what_is_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["data", *words])
    told = capsys.readouterr().err
    assert told.startswith(f"usage: finetui data {words[0]} [OPTIONS] ROWS")
    assert f"perhaps {meant} is meant" in told


def test_the_fix_names_the_rows_as_they_were_named(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("my rows.jsonl", [{"a": row["prompt"], "b": row["completion"]} for row in [*GOOD, GOOD[0]]])
    assert main(["data", "check", name, "--template", "{a}\\n{b}"]) == 0
    assert "convert 'my rows.jsonl' --template '{a}\\n{b}' --drop duplicates" in capsys.readouterr().out


def test_eval_rows_that_are_trained_on_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", written("train.jsonl", GOOD), "--eval", written("eval.jsonl", GOOD[2:3])]) == 3
    assert "first: train.jsonl, line 3 (as eval.jsonl, line 1)" in capsys.readouterr().out


def test_json_is_one_object_with_the_rows_and_without_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("rows.jsonl", [*GOOD, {"prompt": "How do I log in?", "completion": f"Use {SECRET} for it."}])
    assert main(["data", "check", name, "--json", "--rows-out", "found.jsonl", "--card", "card"]) == 0
    out = capsys.readouterr().out
    found = {finding["check"]: finding for finding in json.loads(out)["findings"]}
    assert found["secrets"]["rows"] == [["rows.jsonl", 5]]
    assert found["secrets"]["kinds"] == {"Hugging Face token": 1}
    lines = [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]
    assert {"check": "secrets", "level": "warning", "file": "rows.jsonl", "line": 5} in lines
    card = json.loads(Path("card/dataset_card.json").read_text())
    assert (card["num_read"], card["inputs"][0]["name"]) == (5, "rows.jsonl")
    assert card["made_by"] == "finetui data check rows.jsonl"
    written_texts = "".join(path.read_text() for path in (Path("found.jsonl"), *Path("card").iterdir()))
    assert SECRET not in out + written_texts


def test_a_file_of_found_rows_is_replaced_only_when_forced(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("rows.jsonl", GOOD)
    Path("found.jsonl").write_text("mine")
    assert main(["data", "check", name, "--rows-out", "found.jsonl"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("found.jsonl").read_text() == "mine"
    assert main(["data", "check", name, "--rows-out", "found.jsonl", "--force"]) == 0
    assert Path("found.jsonl").read_text() == ""


def test_control_characters_of_a_row_and_a_file_name_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = written("ro\x1b[31mws.jsonl", [*GOOD, {"prompt": "x\x1b[31m", "completion": "\x1b]0;title\x07 and text"}])
    assert main(["data", "check", name]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_the_help_fits_a_small_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "check", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25
    assert max(map(len, lines)) <= 80
