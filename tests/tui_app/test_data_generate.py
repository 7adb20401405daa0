"""`finetui data generate`: what it lists, writes, refuses and finds, seen from the command line."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from data.loading import Rows
from tui_app.cli import main

GRAMMAR = """
program = "box"
[[command]]
name = "push"
phrases = ["push <file>"]
weight = 3.0
[[command.option]]
name = "--force"
short = "-f"
phrases = ["by force"]
[[command.positional]]
name = "file"
kind = "path"
[[command]]
name = "pull"
help = "Pulls a file."
[[command.positional]]
name = "file"
kind = "path"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box.toml").write_text(GRAMMAR)
    return tmp_path


def generate(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["data", "generate", *words.split()])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def test_without_a_name_it_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = generate("", capsys)
    assert code == 0
    assert all(name in out for name in ("venvy", "wireless", "commands", "--as links or conversations"))
    assert [json.loads(line)["name"] for line in generate("--json", capsys)[1].splitlines()] == ["venvy", "wireless"]


@pytest.mark.parametrize("words", ["--help", "commands --help"])
def test_its_help_fits_a_small_screen(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        generate(words, capsys)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25
    assert max(map(len, lines)) <= 80
    assert ("--grammar" in "\n".join(lines)) == words.startswith("commands")


def test_links_are_written_as_a_table_that_is_found_to_be_true(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, _ = generate("wireless --rows 50 --seed 7 -o links.csv", capsys)
    assert code == 0
    assert "50 rows" in out
    with (here / "links.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 50
    assert generate("wireless --validate links.csv", capsys)[:2] == (
        0,
        "50 rows, 0 of them wrong; every derived value may differ by half its last decimal\n",
    )
    first = (here / "links.csv").read_bytes()
    generate("wireless --rows 50 --seed 7 -o links.csv --force", capsys)
    assert (here / "links.csv").read_bytes() == first


def test_a_row_that_was_edited_by_hand_is_found_with_its_number(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    generate("wireless --rows 20 -o links.csv", capsys)
    with (here / "links.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[12]["snr_db"] = f"{float(rows[12]['snr_db']) + 0.02:.2f}"
    with (here / "links.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, out, _ = generate("wireless --validate links.csv", capsys)
    assert code == 3
    assert "row 13 (line 14): snr_db is" in out
    assert "20 rows, 1 of them wrong" in out
    code, out, _ = generate("wireless --validate links.csv --json", capsys)
    assert code == 3
    assert json.loads(out.splitlines()[0])["row"] == 13
    assert json.loads(out.splitlines()[-1])["rows_with_faults"] == 1


def test_conversations_are_written_and_understood_as_messages(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert generate("wireless --rows 12 --as conversations -o talk.jsonl.gz --json", capsys)[0] == 0
    with gzip.open(here / "talk.jsonl.gz", "rt") as file:
        assert len(file.readlines()) == 12
    generate("wireless --rows 12 --as conversations -o talk.jsonl", capsys)
    assert Rows("talk.jsonl").detection.format == "messages"


def test_a_preview_writes_nothing(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    for words in ("wireless --preview 2", "commands --grammar box.toml --preview 2", "venvy --preview 2"):
        code, out, _ = generate(words, capsys)
        assert code == 0
        assert len([json.loads(line) for line in out.splitlines()]) == 2
    assert [path.name for path in here.iterdir()] == ["box.toml"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("wireless --rows 5", 2, "Nothing says where"),
        ("wireless --rows 0 -o x.csv", 3, "--rows is 0"),
        ("wireles -o x.csv", 3, "perhaps wireless"),
        ("wireless --as table -o x.csv", 3, "links or conversations"),
        ("wireless --as conversations --rows 3 -o x.csv", 3, "cannot hold"),
        ("wireless --rows 3 -o x.parquet", 3, "cannot be made into"),
        ("wireless --rows 3 -o box.toml.jsonl/x.csv", 3, "cannot be written"),
        ("wireless --rows 3 -o x.csv --share push=1", 2, "--share means nothing"),
        ("wireless --validate none.csv", 3, "no file"),
        ("venvy --validate box.toml", 3, "cannot be recomputed"),
        ("--rows 3 --grammar box.toml", 2, "--grammar means nothing"),
        ("commands -o x.jsonl", 2, "Nothing says which"),
        ("commands --grammar box.toml --help-text box.toml", 2, "Two command lines"),
        ("commands --grammar box.toml", 2, "Nothing says where"),
        ("commands --grammar box.toml --share push -o x.jsonl", 2, "COMMAND=SHARE"),
        ("commands --grammar box.toml --share psh=0.5 -o x.jsonl", 3, "'push' is meant"),
        ("commands --grammar box.toml --typos 3 -o x.jsonl", 2, "share of rows"),
        ("commands --from-click a:b -o x.jsonl", 2, "was not imported"),
        ("commands --from-help nothing-like-this -o x.jsonl", 3, "cannot be run"),
        ("commands --grammar box.toml --as links", 2, "--as means nothing"),
        ("commands --grammar box.toml --verify box.toml --rows 3", 2, "--rows means nothing"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    words: str, code: int, told: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    got, _, err = generate(words, capsys)
    assert got == code
    assert told in err
    assert [path.name for path in here.iterdir()] == ["box.toml"]


def test_a_file_that_is_there_is_replaced_only_by_force(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "rows.jsonl").write_text("mine")
    for words in ("venvy --rows 3 -o rows.jsonl", "commands --grammar box.toml --rows 3 -o rows.jsonl"):
        code, _, err = generate(words, capsys)
        assert (code, "--force" in err) == (3, True)
        assert (here / "rows.jsonl").read_text() == "mine"
    assert generate("venvy --rows 3 -o rows.jsonl --force", capsys)[0] == 0
    assert len((here / "rows.jsonl").read_text().splitlines()) == 3


def test_commands_are_made_in_their_shares_and_none_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    words = "commands --grammar box.toml --rows 40 --share pull=0.25 -o rows.jsonl"
    code, out, _ = generate(words, capsys)
    assert code == 0
    assert "made-up commands: 0 of 40 (0.0 %)" in out
    assert "pull                          10 rows  25.0%" in out
    report = json.loads(generate(words + " --force --json", capsys)[1])
    assert report["shares"][1] == {"command": "pull", "target": 10, "reached": 10}
    assert Rows("rows.jsonl").detection.format == "alpaca"
    assert generate("commands --grammar box.toml --verify rows.jsonl", capsys)[:2] == (
        0,
        "made-up commands: 0 of 40 (0.0%)\n",
    )


def test_made_up_commands_in_answers_are_found_with_their_rows(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    answers = ["$ box push a -f", "$ box push a --hard", "$ box pull b", "nothing"]
    (here / "answers.jsonl").write_text("".join(json.dumps({"answer": one}) + "\n" for one in answers))
    words = [
        "commands",
        "--grammar",
        "box.toml",
        "--verify",
        "answers.jsonl",
        "--field",
        "answer",
        "--pattern",
        r"^\$ (.+)",
    ]
    assert main(["data", "generate", *words]) == 3
    out = capsys.readouterr().out
    assert "row 2 (line 2): there is no option --hard: box push a --hard" in out
    assert "row 4 (line 4): the pattern finds no command" in out
    assert "made-up commands: 2 of 4 (50.0%)" in out


def test_a_grammar_out_of_a_help_page_is_written_and_used_again(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "tool.txt").write_text(
        "Usage: tool [OPTIONS] FILE\n\n  A tool.\n\nOptions:\n  -n, --count INTEGER  How many.\n  --loud  Shout it.\n"
    )
    assert "1 commands, 2 options" in generate("commands --help-text tool.txt --grammar-out tool.toml", capsys)[1]
    assert generate("commands --grammar tool.toml --rows 30 -o rows.jsonl", capsys)[0] == 0
    commands = [json.loads(line)["output"] for line in (here / "rows.jsonl").read_text().splitlines()]
    assert all(command.startswith("tool ") for command in commands)
    assert any("--count" in command for command in commands)
    assert generate("commands --grammar tool.toml --grammar-out tool.toml", capsys)[0] == 3


def test_rows_that_the_programs_own_parser_refuses_are_not_written(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "own_tool.py").write_text(
        "import argparse\nparser = argparse.ArgumentParser(prog='own')\n"
        "def even(text):\n    if int(text) % 2:\n        raise ValueError\n    return int(text)\n"
        "parser.add_argument('--size', type=even, required=True)\nparser.add_argument('--fast', action='store_true')\n"
    )
    words = "commands --from-argparse own_tool:parser --import --rows 20 -o rows.jsonl"
    code, _, err = generate(words, capsys)
    assert code == 3
    assert "are made up; nothing was written" in err
    assert "row " in err
    assert not (here / "rows.jsonl").exists()


HELP = """usage: shopctl refund [-h] [--amount AMOUNT] [--retries RETRIES] [--wait WAIT] [--port PORT] order copies

positional arguments:
  order              the order to refund
  copies             number of copies

options:
  -h, --help         show this help message and exit
  --amount AMOUNT    what is paid back
  --retries RETRIES  tries before giving up (default: 3)
  --wait WAIT        pause in seconds
  --port PORT        where the shop listens
"""


def test_values_whose_kind_a_help_page_does_not_say_are_named(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "refund.txt").write_text(HELP)
    words = "commands --help-text refund.txt --rows 20 -o rows.jsonl"
    code, out, _ = generate(words, capsys)
    assert code == 0
    assert "each parsed by the grammar read from the help, not by the program" in out
    assert "2 values of unknown kind (order, --amount) were made up as text" in " ".join(out.split())
    assert json.loads(generate(words + " --force --json", capsys)[1])["of_unknown_kind"] == ["order", "--amount"]
    assert "unknown kind" not in generate("commands --grammar box.toml --rows 3 -o box.jsonl", capsys)[1]


def test_rows_without_the_column_are_one_error_and_not_one_for_each_row(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "answers.jsonl").write_text('{"answer": "box push a", "id": 1}\n' * 30)
    code, out, err = generate("commands --grammar box.toml --verify answers.jsonl", capsys)
    assert (code, out) == (3, "")
    assert "No row of answers.jsonl has the column 'output'" in err
    assert "The columns are 'answer', 'id'." in err
    assert "--field NAME" in err
    (here / "answers.jsonl").write_text('{"answer": "x"}\n{"output": "box push a"}\n')
    assert "row 1 (line 1): has no output" in generate("commands --grammar box.toml --verify answers.jsonl", capsys)[1]
