"""Rendered rows turned back into text to look at: nothing lost, nothing doubled, cut where training cuts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data.conversation import Conversation, Message
from engine.errors import DataError
from engine.recipe import Recipe
from engine.training.rendering import Renderer
from engine.training.row_previewing import previewed, previews, texts_between


def recipe(dataset: Path | str = "rows.jsonl", max_length: int = 1024, **data: Any) -> Recipe:
    return Recipe.from_values(
        {
            "model": {"name_or_path": "a/b"},
            "data": {"dataset": str(dataset), "eval_fraction": 0, "test_fraction": 0} | data,
            "training": {"max_length": max_length},
            "evaluation": {"enabled": False},
        }
    )


@pytest.fixture(scope="module")
def chatml(tiny_models: Any) -> Any:
    return tiny_models.tiny_tokenizer("chatml")


@settings(deadline=None)
@given(words=st.text(min_size=1, max_size=30), max_length=st.integers(8, 60))
def test_a_rows_pieces_are_its_text_whatever_it_says_and_wherever_it_is_cut(
    chatml: Any, words: str, max_length: int
) -> None:
    row = Renderer(chatml, "chat", completion_only_loss=True).render(
        Conversation((Message("user", words), Message("assistant", f"{words} 🙂")), 3)
    )
    shown = previewed(row, chatml, recipe(max_length=max_length))
    assert "".join(text for text, _ in shown.pieces) == chatml.decode(row.input_ids, skip_special_tokens=False)
    assert shown.is_cut == (len(row.input_ids) > max_length)
    assert (shown.line, shown.num_tokens, shown.num_trained) == (3, len(row.input_ids), row.num_trained)


def test_what_is_trained_ends_with_the_control_token_and_control_tokens_in_a_row_are_its_text(chatml: Any) -> None:
    row = Renderer(chatml, "chat", completion_only_loss=True).render(
        Conversation((Message("user", "is <|im_end|> a word?"), Message("assistant", "no")), 1)
    )
    assert previewed(row, chatml, recipe()).pieces == (
        ("<|im_start|>user\nis <|im_end|> a word?<|im_end|>\n<|im_start|>assistant\n", False),
        ("no<|im_end|>", True),
        ("\n", False),
    )


def test_a_row_that_training_leaves_out_is_shown_as_such(chatml: Any) -> None:
    row = Renderer(chatml, "chat", completion_only_loss=True).render(
        Conversation((Message("user", "why? " * 20), Message("assistant", "so")), 1)
    )
    assert previewed(row, chatml, recipe(max_length=20)).is_left_out, "its answer lies beyond the cut"
    long = len(row.input_ids) - 1
    assert not previewed(row, chatml, recipe(max_length=long)).is_left_out
    assert previewed(row, chatml, recipe(max_length=long, on_overflow="drop")).is_left_out


def test_a_tokenizer_that_swallows_the_first_space_of_a_text_loses_none_between_pieces() -> None:
    words = {"<unk>": 0, "▁one": 1, "▁two": 2, "▁three": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    assert texts_between([1, 2, 3], [0, 1, 2, 3], tokenizer) == ["one", " two", " three"]


def test_a_character_whose_bytes_lie_on_both_sides_of_a_border_belongs_to_the_later_piece(chatml: Any) -> None:
    ids = chatml("a漢b")["input_ids"]
    assert len(ids) > 3, "the character is several tokens"
    assert texts_between(ids, [0, 2, len(ids)], chatml) == ["a", "漢b"]


def written(path: Path, messages: Iterator[list[dict[str, str]]]) -> Path:
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in messages))
    return path


def conversations(*, with_system: int, without: int) -> Iterator[list[dict[str, str]]]:
    for number in range(with_system + without):
        system = [{"role": "system", "content": "short"}] if number < with_system else []
        yield [
            *system,
            {"role": "user", "content": f"say {number}"},
            {"role": "assistant", "content": f"yes {number}"},
        ]


def test_rows_that_the_chat_template_refuses_are_passed_over_and_counted_as_rejected(
    tmp_path: Path, tiny_model_of: Any
) -> None:
    rows = written(tmp_path / "rows.jsonl", conversations(with_system=2, without=3))
    _, first, last = previews(recipe(rows), tiny_model_of("gemma3"), 2)
    assert [row["line"] for row in first["rows"]] == [3, 4]
    assert last["receipt"]["num_train"] == 3
    assert [(note["what"], note["num_rows"]) for note in last["receipt"]["rejected"]] == [
        ("refused by the chat template", 2)
    ]


def test_a_template_that_refuses_every_row_is_at_fault(tmp_path: Path, tiny_model_of: Any) -> None:
    rows = written(tmp_path / "rows.jsonl", conversations(with_system=3, without=0))
    with pytest.raises(DataError, match="chat template refuses it"):
        list(previews(recipe(rows), tiny_model_of("gemma3"), 2))


def test_of_many_rows_only_the_first_are_read_and_that_is_said(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.training.row_previewing.MAX_ROWS", 5)
    monkeypatch.setattr("engine.training.row_previewing.COUNT_SECONDS", 0.0)
    rows = written(tmp_path / "rows.jsonl", conversations(with_system=0, without=9))
    _, first, last = previews(recipe(rows), tiny_model_folder, 2)
    assert first["note"] == "Only the first 5 rows were read."
    assert last["note"] == "Only the first 5 rows were read. Tokens were counted in 2 of 5 train rows."
    assert last["receipt"]["num_train"] == 5


def test_the_last_answer_alone_is_shown_as_trained_and_counted_where_that_is_asked(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    turns = [("user", "hi"), ("assistant", "first"), ("user", "and?"), ("assistant", "second")]
    messages = [{"role": role, "content": text} for role, text in turns]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": messages}) + "\n")
    shown = {}
    for which in ("every", "last"):
        *_, told = previews(recipe(path, trained_answers=which), tiny_model_folder, 1)
        pieces = told["rows"][0]["pieces"]
        shown[which] = "".join(text for text, is_trained in pieces if is_trained)
        assert told["receipt"]["num_trained_kept"] == told["rows"][0]["num_trained"]
    assert shown == {"every": "first<|im_end|>second<|im_end|>", "last": "second<|im_end|>"}
