"""`finetui chat`: refusals before anything is loaded, answers to stdout, and how a conversation reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.run_dir import RunDir
from tests.engine.evaluation.conftest import Rig, one_thread, rig  # noqa: F401 - fixtures
from tui_app.chat_text import Dialogue, column_lines, figures_in_words, kept_lines
from tui_app.cli import main
from tui_app.drawing import plain_text

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def run(own_machine: Path, rig: Callable[..., Rig]) -> RunDir:  # noqa: F811 - the fixture
    made = rig().run.path
    (own_machine / "runs").mkdir()
    return RunDir(Path(shutil.move(made, own_machine / "runs" / "tiny-1")))


def test_refusals_come_before_anything_is_loaded(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code, told in (
        (["chat", "tiny-1", "--prompt", ""], 2, "The question is empty"),
        (["chat", "tiny-1", "--prompt", "a", "--temperature", "-1"], 2, "--temperature is from 0"),
        (["chat", "tiny-1", "--prompt", "a", "--with", "merged"], 9, "finetui export tiny-1 --to merged"),
        (["chat", "tiny-1", "--prompt", "a", "--against", "bse"], 2, "Did you mean base"),
        (["chat", "tiny-2", "--prompt", "a"], 9, "tiny-1"),
    ):
        assert main(words) == code
        said = capsys.readouterr()
        assert told in said.err
        assert not said.out
    assert run.adapter.exists()


def test_both_sides_answer_a_prompt_as_text_and_as_json(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["chat", "--against", "base", "--max-new-tokens", "5", "--prompt", "please do number 3"]
    assert main([*asked, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["side"] for each in told] == ["tuned", "base"]
    assert told[0]["title"] == f"tuned, {run.name}"
    assert told[0]["answer"] != told[1]["answer"]
    assert all(each["num_tokens"] <= 5 and each["seconds"] > 0 for each in told)
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert f"[tuned, {run.name}]\n{told[0]['answer']}\n" in said
    assert told[1]["answer"] in said


def test_each_side_goes_on_from_its_own_answers() -> None:
    talk = Dialogue("be short")
    talk.ask("one?", ["tuned", "base"])
    for side, text in (("tuned", "1"), ("base", "uno")):
        talk.hear({"number": 1, "side": side, "text": text})
    assert talk.hear({"number": 1, "done": True})
    asked = talk.ask("two?", ["tuned", "base"])
    assert [message["content"] for message in asked["base"]] == ["be short", "one?", "uno", "two?"]
    assert [message["role"] for message in asked["tuned"]] == ["system", "user", "assistant", "user"]


def test_a_fault_of_a_question_stands_in_its_answers() -> None:
    talk = Dialogue()
    talk.ask("one?", ["tuned"])
    fault = {"happened": "Too long.", "means": "It was not asked.", "remedy": "Shorten it.", "kind": "DataError"}
    assert talk.hear({"number": 1, "error": fault})
    assert "Too long. It was not asked. Shorten it." in plain_text(column_lines(talk, "tuned", 80, ">"))
    assert talk.ask("two?", ["tuned"])["tuned"] == [{"role": "user", "content": "two?"}]


def test_answers_are_drawn_literally_and_keep_their_lines() -> None:
    talk = Dialogue()
    talk.ask("draw [x]", ["tuned"])
    talk.hear({"number": 1, "side": "tuned", "text": "def f():\n    return '[bold]'\x1b[2J\n\n"})
    drawn = plain_text(column_lines(talk, "tuned", 40, ">"))
    assert "> draw [x]" in drawn
    assert "\n    return '[bold]'" in drawn
    assert "\x1b" not in drawn


@pytest.mark.parametrize("text", ["a word and another one", "中文中文中文中文", "x" * 30, "", "  indented words here"])
def test_no_line_is_wider_than_its_column_and_nothing_is_lost(text: str) -> None:
    from rich.cells import cell_len

    lines = kept_lines(text, 8)
    assert all(cell_len(each) <= 8 for each in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_figures_say_how_an_answer_ended() -> None:
    ended = {"ended": True, "num_tokens": 20, "tokens_per_second": 21.32, "first_seconds": 0.2, "num_dropped": 2}
    assert figures_in_words(ended).startswith("ended by itself, 20 tokens, 21.3 tok/s, first after 0.2 s, 2 oldest")
    assert figures_in_words(ended | {"ended": False}).startswith("cut off")
    assert figures_in_words({"is_stopped": True, "num_tokens": 3}) == "stopped by you after 3 tokens"
