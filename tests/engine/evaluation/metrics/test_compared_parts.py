"""Exact match, token F1 and command validity: what is compared is the part that the pattern names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.evaluation.metrics import Reply, all_metrics, asked, measure
from engine.evaluation.metrics.token_f1 import token_f1
from engine.recipe_sections import EvaluationSection

Settings = Callable[..., EvaluationSection]
COMMAND = r"^COMMAND:[ \t]*(.*?)[ \t]*$"


def values(word: str, settings: EvaluationSection, *pairs: tuple[str, str]) -> list[float | None]:
    [metric] = asked([word])
    return metric.rows([Reply(*pair) for pair in pairs], settings)


def test_exact_match_compares_the_parts_after_the_recipes_normalization(settings: Settings) -> None:
    pairs = [("COMMAND: venvy ls", "Sure.\nCOMMAND:  venvy  ls"), ("COMMAND: venvy ls", "COMMAND: Venvy ls.")]
    assert values("exact_match", settings(answer_pattern=COMMAND), *pairs) == [1.0, 0.0]
    loose = settings(answer_pattern=COMMAND, normalization=["lower_case", "punctuation", "white_space"])
    assert values("exact_match", loose, *pairs) == [1.0, 1.0]
    assert values("exact_match", settings(normalization=[]), ("a b", "a  b"), ("a b", "a b")) == [0.0, 1.0]


def test_the_interval_of_exact_match_is_wilsons(settings: Settings) -> None:
    replies = [Reply("yes", "yes" if row < 8 else "no") for row in range(150)]
    found = measure(all_metrics()["exact_match"], replies, settings())
    assert (found.num_rows, found.value) == (150, pytest.approx(8 / 150))
    assert (found.low, found.high) == pytest.approx((0.02729, 0.10168), abs=5e-5)


@pytest.mark.parametrize(
    ("wanted", "found", "f1"),
    [
        ("Denver Broncos", "The Denver Broncos!", 1.0),
        ("Santa Clara, California", "Santa Clara", 0.8),  # 2 of 2 words found, 2 of 3 wanted
        ("gold", "the golden anniversary", 0.0),
        ("a b c c", "c c c d", 4 / 7),  # "a" is an article: b c c against c c c d shares two
        ("the", "a", 1.0),  # no word is left of either
        ("the", "dog", 0.0),
        ("", "", 1.0),
    ],
)
def test_token_f1_is_squads(wanted: str, found: str, f1: float) -> None:
    assert token_f1(wanted, found) == pytest.approx(f1)


def test_an_answer_without_the_part_compared_shares_no_word(settings: Settings) -> None:
    replies = [("COMMAND: venvy ls", "venvy ls"), ("COMMAND: venvy ls", "COMMAND: venvy scan")]
    assert values("token_f1", settings(answer_pattern=COMMAND), *replies) == [0.0, 0.5]


def test_a_command_is_valid_when_the_program_would_take_it_right_or_not(settings: Settings) -> None:
    known = settings(answer_pattern=COMMAND, grammar="generator:venvy")
    wanted = "COMMAND: venvy ls --sort size"
    answers = ["COMMAND: venvy scan --depth 3", "COMMAND: venvy ls --sort colour", "COMMAND: venvy fly", "venvy ls"]
    assert values("command_validity", known, *((wanted, answer) for answer in answers)) == [1.0, 0.0, 0.0, 0.0]


def test_rows_that_ask_for_no_command_have_no_validity(settings: Settings) -> None:
    known = settings(grammar="generator:venvy")
    assert values("command_validity", known, ("I cannot do that.", "venvy ls")) == [None]
    found = measure(all_metrics()["command_validity"], [Reply("no", "venvy ls")], known)
    assert (found.num_rows, found.value, found.low) == (0, None, None)


def test_a_grammar_file_says_which_commands_there_are(settings: Settings, tmp_path: Path) -> None:
    grammar = tmp_path / "tool.toml"
    grammar.write_text('program = "tool"\n[[command]]\nname = "go"\n[[command.option]]\nname = "--fast"\n')
    known = settings(grammar=str(grammar))
    assert values("command_validity", known, ("tool go", "tool go --fast"), ("tool go", "tool stop")) == [1.0, 0.0]


def test_a_grammar_that_cannot_be_read_is_told_before_anything_is_asked(settings: Settings, tmp_path: Path) -> None:
    metric = all_metrics()["command_validity"]
    (tmp_path / "broken.toml").write_text("program = ")
    assert metric.problems(settings(grammar="generator:venvy")) == []
    for grammar, told in (
        (None, "is unset"),
        (str(tmp_path / "none.toml"), "cannot be read"),
        (str(tmp_path / "broken.toml"), "is no TOML file"),
    ):
        [(field, happened, remedy)] = metric.problems(settings(grammar=grammar))
        assert field == "evaluation.grammar"
        assert told in happened
        assert remedy
    with pytest.raises(ValueError, match=r"evaluation\.grammar"):
        metric.rows([], settings())
