"""`finetui explain`: words, fields, rungs, metrics, checks and settings, found as they are spelled or nearly so."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys

import pytest

from engine.ladder import COSTLY, FREE
from engine.recipe import Recipe, field_names, field_sentence
from tui_app.cli import main
from tui_app.desk_commands.explaining import KINDS, everything, explained, words
from tui_app.desk_commands.words import WORDS
from tui_app.steps.glossary import GLOSSARY

SCREENS = ("compare", "evaluate_page", "examples", "chat", "runs", "queue", "export_page", "live_keys")
"""Modules whose page explains words in its help."""


def names_of(term: str) -> list[str]:
    return [entry.name for entry in explained(term)]


def told(capsys: pytest.CaptureFixture[str], *term: str) -> str:
    assert main(["explain", *term]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_word_is_explained_in_the_wizards_own_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    meaning, fields = GLOSSARY["LoRA rank (r)"]
    shown = told(capsys, "rank")
    assert meaning in shown
    assert all(field in shown for field in fields)


def test_a_field_is_explained_by_its_own_sentence_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    for term in ("training.learning_rate", "training.learning-rate", "TRAINING.LEARNING_RATE"):
        assert field_sentence("training.learning_rate") in told(capsys, term)
    assert "default: 0.0002" in told(capsys, "training.learning_rate")
    assert "default: unset" in told(capsys, "training.max_steps")
    assert "every recipe names it" in told(capsys, "model.name_or_path")


def test_whatever_has_a_sentence_of_its_own_is_found_by_its_name() -> None:
    names = [*field_names(), *(rung.name for rung in (*FREE, *COSTLY)), *Recipe.model_fields]
    assert [name for name in names if name not in names_of(name)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_entries_and_each_of_them_ends_its_sentence(kind: str) -> None:
    entries = [entry for entry in everything() if entry.kind == kind]
    assert entries
    assert [entry.name for entry in entries if not entry.text.endswith(".")] == []
    assert [entry.name for entry in entries if entry.name not in names_of(entry.name)] == []


def test_no_word_is_explained_twice_or_at_length() -> None:
    assert {word.casefold() for word in WORDS} & {word.casefold() for word in GLOSSARY} == set()
    assert [entry.name for entry in words() if len(entry.text) > 330] == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_word_that_a_screen_explains_is_explained_here_too(screen: str) -> None:
    module = importlib.import_module(f"tui_app.screens.{screen}")
    texts = [str(getattr(page, "GLOSSARY", "")) for page in (module, *vars(module).values())]
    lines = [line for text in texts for line in text.splitlines()]
    heads = {line.partition(": ")[0] for line in lines if ": " in line and "--" not in line.partition(": ")[0]}
    assert heads
    unknown = [head for head in heads if not any(explained(part) for part in (head, *re.split(r", | → | rises", head)))]
    assert unknown == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lerning rate", "learning rate"),
        ("perplexty", "perplexity"),
        ("training.learnin_rate", "training.learning_rate"),
        ("halve_rnk", "halve_rank"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_name(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *typed.split()]) == 2
    assert meant in capsys.readouterr().err


def test_a_part_of_a_name_or_a_word_of_a_text_finds_it() -> None:
    assert "full, LoRA, QLoRA" in names_of("LoRA")
    assert "learning rate" in names_of("learning_rate")
    assert "training.learning_rate" in names_of("learning_rate")
    assert "optimizer state" in names_of("paged")
    assert names_of("   ") == []


@pytest.mark.parametrize("seen", ["lr", "gn", "grad norm", "EMA .9", "RSS", "eta", "p95", "tok/s", "warmup"])
def test_what_the_live_view_and_the_log_abbreviate_is_explained_by_its_own_word(seen: str) -> None:
    found = explained(seen.partition(" .")[0])
    assert [entry.kind for entry in found][:1] == ["word"]
    assert "sign test" not in {entry.name for entry in found}


def test_everything_is_there_for_programs_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(objects) == len(everything())
    assert main(["explain", "--json", "halve_rank"]) == 0
    (rung,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (rung["kind"], rung["name"]) == ("rung", "halve_rank")


def test_without_a_word_the_words_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed == sorted(listed, key=str.casefold)
    assert {*WORDS, *GLOSSARY} == set(listed)


def test_what_was_typed_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "no\x1b[31msuch\nword"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_nothing_heavy_is_loaded_for_a_word() -> None:
    heavy = ("torch", "transformers", "textual", "numpy", "matplotlib", "sacrebleu", "rouge_score")
    code = (
        "import sys; from tui_app.cli import main; main(['explain', 'rank']);"
        f"raise SystemExit([name for name in {heavy} if name in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
