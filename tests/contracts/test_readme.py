"""Pages whose commands need no trained run, carried out in their order as somebody types them.

Pages about runs, and the commands of these that load a model, are in tests/runs/test_documents.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.documents import CHECKOUT, Done, told_commands, walk
from tui_app.cli import main

DOCS = CHECKOUT / "docs"
ROWS = DOCS / "your-own-data.md"
WITHOUT_A_RUN = ("comfort", "glossary", "recipe", "speed", "trust")
BY_FORMULA = {"plan": ("--closed-form",)}
"""The dry run of `plan` loads the training stack; the pages about memory have one that is carried out as it stands."""
ABOUT_ROWS = {"catalog", "check", "convert", "generate", "inspect", "mix", "split", "stats"}


def faults(done: Sequence[Done]) -> list[Done]:
    return [each for each in done if each.code != each.expected]


@pytest.mark.parametrize("name", WITHOUT_A_RUN)
def test_a_page_that_needs_no_run_does_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = list(walk(DOCS / f"{name}.md", tmp_path, main, added=BY_FORMULA))
    assert done
    assert faults(done) == []


@pytest.mark.skipif(shutil.which("tar") is None, reason="one of the commands reads the help of tar")
def test_the_commands_about_rows_do_what_their_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    about_rows = [told.words for told in told_commands(ROWS) if told.words[0] == "data"]
    assert {words[1] for words in about_rows} == ABOUT_ROWS

    def without_a_model(words: Sequence[str]) -> int:
        return main(words) if words[0] == "data" and "--model" not in words else 0

    assert faults(list(walk(ROWS, tmp_path, without_a_model))) == []
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"links.csv", "rows.jsonl", "clean", "parts", "mixed.jsonl", "tar.toml", "tar.jsonl"}
