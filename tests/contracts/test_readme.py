"""The README's commands about rows, in its order, as somebody types them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tui_app.cli import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("finetui data ")
]


ROWS = ["data", "generate", "wireless", "--rows", "200", "--as", "conversations", "-o", "rows.jsonl"]
NAMES = {"catalog", "check", "convert", "generate", "inspect", "mix", "split", "stats"}


@pytest.mark.skipif(shutil.which("tar") is None, reason="one of the commands reads the help of tar")
def test_the_commands_about_rows_do_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {words[1] for words in COMMANDS} == NAMES
    assert ROWS in COMMANDS
    for words in COMMANDS:
        if "--model" not in words:
            assert main(words) == 0, (words, capsys.readouterr())
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"links.csv", "rows.jsonl", "clean", "parts", "mixed.jsonl", "tar.toml", "tar.jsonl"}


@pytest.mark.slow(seconds=23)
def test_those_that_name_a_model_do_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(ROWS) == 0
    with_model = [words for words in COMMANDS if "--model" in words]
    assert with_model
    for words in with_model:
        assert main(words) == 0, (words, capsys.readouterr())
