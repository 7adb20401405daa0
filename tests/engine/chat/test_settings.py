"""How tokens are chosen, which turns fit, and text that comes out whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.conversation import Message
from engine.chat.detokenizing import GrowingText
from engine.chat.settings import Settings, fitting
from engine.errors import DataError, RecipeError


def words(messages: tuple[Message, ...]) -> list[int]:
    return [0 for message in messages for _ in message.content.split()]


TURNS = (
    Message("system", "s"),
    Message("user", "a b c"),
    Message("assistant", "d e"),
    Message("user", "f g"),
)


def test_a_conversation_that_fits_is_asked_whole() -> None:
    ids, dropped, room = fitting(TURNS, words, 12, 4)
    assert (len(ids), dropped, room) == (8, 0, 4)


def test_the_oldest_turns_go_first_and_the_system_message_stays() -> None:
    seen: list[tuple[Message, ...]] = []

    def count(messages: tuple[Message, ...]) -> list[int]:
        seen.append(messages)
        return words(messages)

    ids, dropped, room = fitting(TURNS, count, 10, 4)
    assert (len(ids), dropped, room) == (3, 2, 4)
    assert seen[-1] == (TURNS[0], TURNS[3])


def test_a_long_question_shortens_its_answer_and_a_longer_one_is_refused() -> None:
    assert fitting(TURNS, words, 5, 4)[1:] == (2, 2)
    with pytest.raises(DataError, match="3 tokens with its system prompt, and the model reads 3"):
        fitting(TURNS, words, 3, 4)


@pytest.mark.parametrize(
    "values",
    [{"temperature": -1}, {"top_p": 0.0, "temperature": 1}, {"max_new_tokens": 0}, {"top_p": 0.5}, {"seed": -1}],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(RecipeError):
        Settings(**values)  # type: ignore[arg-type]


def test_greedy_needs_no_chooser_and_the_same_seed_chooses_the_same_tokens() -> None:
    assert Settings().chooser is None
    logits = np.linspace(0, 2, 50)
    one, other = Settings(0.8, seed=3).chooser, Settings(0.8, seed=3).chooser
    assert one is not None
    assert other is not None
    taken = [one(logits) for _ in range(20)]
    assert taken == [other(logits) for _ in range(20)]
    assert len(set(taken)) > 5


def test_a_small_top_p_leaves_only_the_likeliest_token() -> None:
    choose = Settings(1.0, top_p=0.01).chooser
    assert choose is not None
    assert {choose(np.array([0.0, 3.0, 1.0])) for _ in range(20)} == {1}


def of_bytes(ids: object) -> str:
    return bytes(ids).decode("utf-8", errors="replace")  # type: ignore[call-overload,no-any-return]


@given(st.text())
def test_text_comes_out_whole_and_never_with_half_a_character(text: str) -> None:
    if "\ufffd" in text:
        return
    growing = GrowingText(of_bytes)
    pieces = [growing.add(byte) for byte in text.encode("utf-8", errors="replace")]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) + growing.rest() == text.encode("utf-8", errors="replace").decode()


def test_a_character_that_never_ends_is_told_at_the_end() -> None:
    growing = GrowingText(of_bytes)
    assert [growing.add(byte) for byte in b"a\xf0\x9f"] == ["a", "", ""]
    assert growing.rest() == "\ufffd"
