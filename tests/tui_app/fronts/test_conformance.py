"""The same answers, given to options, plain questions, questionary, the screens and the draft, make the same recipe.

A front end is one function in `FRONTS`: answers and a folder in, the recipe's TOML text out. Byte for byte.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from textual.pilot import Pilot

from tests.tui_app.wizard_play import give_by_keys, play, save_by_keys
from tui_app.cli import main
from tui_app.fronts.line import ask_in_lines
from tui_app.fronts.plain import ask_plainly
from tui_app.fronts.walk import Walk
from tui_app.recipe_source import source_of
from tui_app.screens.wizard import WizardScreen
from tui_app.steps.answering import answered, first_draft
from tui_app.steps.draft import Draft
from tui_app.steps.review import review
from tui_app.steps.schema import Question
from tui_app.steps.starting import save_recipe
from tui_app.steps.surroundings import Surroundings, gather

Answers = tuple[tuple[str, str], ...]
ODD_FILE = "rows é 漢 \"q\" 'a' [b] {c} $d.jsonl"
SETS: dict[str, Answers] = {
    "nothing at all": (("preset", "demo-cpu"),),
    "a preset, its method and numbers": (
        ("preset", "demo-cpu"),
        ("method", "qlora+rslora"),
        ("adapter.r", "8"),
        ("training.learning_rate", "1e-3"),
        ("training.max_steps", ""),
        ("training.num_train_epochs", "2"),
    ),
    "another dataset with an odd name": (
        ("preset", "demo-cpu"),
        ("data.dataset", ODD_FILE),
        ("data.system", 'Say "x" [bold]=#; {y} \\n żółw  twice'),
        ("data.eval_fraction", "0.2"),
    ),
    "one's own model": (
        ("preset", "own"),
        ("model.name_or_path", "bundled:smollm2-135m-instruct"),
        ("data.dataset", "generator:venvy"),
        ("size", "fast"),
        ("training.max_steps", "12"),
    ),
    "columns, layers and consent": (
        ("preset", "own"),
        ("model.name_or_path", "bundled:smollm2-135m-instruct"),
        ("data.dataset", "wide.jsonl"),
        ("data.format", "question_answer"),
        ("data.columns", '{ question = "Was?", answer = "ans wer" }'),
        ("method", "dora"),
        ("adapter.target_modules", '["q_proj", "v_proj"]'),
        ("ladder.costly", '["disable_dora"]'),
        ("evaluation.answer_pattern", r"^\[(.*?)\]$"),
    ),
    "full training of a preset for adapters": (
        ("preset", "trinity-gemma3-12b-16gb"),
        ("data.dataset", ODD_FILE),
        ("method", "full"),
        ("training.gradient_checkpointing", "true"),
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with rows in it."""
    rows = [{"instruction": f"What is {n}?", "input": "", "output": f"It is {n}."} for n in range(40)]
    (tmp_path / ODD_FILE).write_text("\n".join(json.dumps(row) for row in rows))
    wide = [{"Was?": f"{n}?", "ans wer": f"[{n}]", "z": 1} for n in range(40)]
    (tmp_path / "wide.jsonl").write_text("\n".join(json.dumps(row) for row in wide))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    return gather(Path(os.devnull).parent / "nowhere")


def through_draft(answers: Answers, folder: Path, surroundings: Surroundings) -> str:
    draft = first_draft(surroundings)
    for name, text in answers:
        assert draft.problem(name, text) == "", (name, text)
        draft = answered(draft, name, text, surroundings)
    return save_recipe(draft, folder / "draft.toml").read_text()


def through_options(answers: Answers, folder: Path, _surroundings: Surroundings) -> str:
    flags = {
        "preset": "--preset",
        "model.name_or_path": "--model",
        "data.dataset": "--dataset",
        "size": "--size",
        "method": "--method",
    }
    words = [
        word
        for name, text in answers
        for word in ([flags[name], text] if name in flags else ["--set", f"{name}={text}"])
    ]
    assert main(["new", *words, "--save", str(folder / "options.toml")]) == 0
    return (folder / "options.toml").read_text()


def in_order(answers: Answers, walk: Walk) -> Iterator[tuple[Question, str | None, bool]]:
    """(question, its answer, whether it is the first of a step whose advanced questions are wanted) as it is walked."""
    given = dict(answers)
    place = walk.place(None)
    while place is not None:
        step, question = place
        opens = step.name not in walk.opened and any(each.is_advanced and each.name in given for each in step.questions)
        if opens:
            walk.opened.add(step.name)
        yield question, given.get(question.name), opens
        if question.name in given:
            walk.give(question, given[question.name])
        place = walk.after(question.name)


def through_plain(answers: Answers, folder: Path, surroundings: Surroundings) -> str:
    lines: list[str] = []
    for _, text, opens in in_order(answers, Walk(first_draft(surroundings), surroundings)):
        lines += ["m"] if opens else []
        lines.append("" if text is None else f"={text}")
    reads, writes = os.pipe()
    with open(reads) as piped, open(writes, "w") as typed:  # noqa: PTH123 - descriptors
        typed.write("\n".join([*lines, "2", "plain recipe.toml"]) + "\n")
        typed.close()
        present, sys.stdin = sys.stdin, piped
        try:
            outcome = ask_plainly(first_draft(surroundings), surroundings)
        finally:
            sys.stdin = present
    assert (outcome.action, outcome.path) == ("save", Path("plain recipe.toml"))
    return save_recipe(outcome.draft, folder / "plain recipe.toml").read_text()


UP_TO_HERE, DOWN, ENTER = "\x15", "\x1b[B", "\r"


def keys_for(walk: Walk, question: Question, text: str) -> str:
    """What is typed at one question of the line front end, from its present value to another."""
    choices = [each for each in walk.choices(question) if each.value]
    typed = UP_TO_HERE + text + ENTER
    if not choices:
        return typed
    present = walk.draft.value(question.name)
    possible = [each.value for each in choices if not each.impossible]
    at = possible.index(present) if present in possible else 0
    size = len(possible) + (question.kind not in ("choice", "yes_no") or question.name == "method")
    target = possible.index(text) if text in possible else len(possible)
    return DOWN * ((target - at) % size) + ENTER + (typed if target == len(possible) else "")


def through_lines(answers: Answers, folder: Path, surroundings: Surroundings) -> str:
    walk, keys, given = Walk(first_draft(surroundings), surroundings), "", dict(answers)
    place = walk.place(None)
    while place is not None:
        question = place[1]
        if question.name in given:
            keys += keys_for(walk, question, given[question.name])
            walk.give(question, given.pop(question.name))
        else:
            keys += ENTER
        place = walk.after(question.name)
    for name in [name for name, _ in answers if name in given]:
        keys += DOWN * (2 if can_start(walk) else 1) + ENTER
        walk.opened.update(("hardware", "model", "data", "method"))
        names = [each.name for _, each in walk.places()]
        question = walk.places()[names.index(name)][1]
        keys += DOWN * names.index(name) + ENTER + keys_for(walk, question, given[name])
        walk.give(question, given[name])
    keys += DOWN * (1 if can_start(walk) else 0) + ENTER
    keys += UP_TO_HERE + "line recipe.toml" + ENTER
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        outcome = ask_in_lines(first_draft(surroundings), surroundings, say=lambda _: None)
    assert (outcome.action, outcome.path) == ("save", Path("line recipe.toml"))
    return save_recipe(outcome.draft, folder / "line recipe.toml").read_text()


def can_start(walk: Walk) -> bool:
    assert walk.surroundings.hardware is not None
    return review(walk.draft, walk.surroundings.hardware).can_start


def through_screens(answers: Answers, folder: Path, surroundings: Surroundings) -> str:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        for name, text in answers:
            await give_by_keys(pilot, wizard, name, text)
        await save_by_keys(pilot, wizard, "screen recipe.toml")

    play(script, size=(100, 40), draft=first_draft(surroundings))
    return (folder / "screen recipe.toml").read_text()


Front = Callable[[Answers, Path, Surroundings], str]
FRONTS: dict[str, Front] = {
    "options": through_options,
    "plain": through_plain,
    "line": through_lines,
    "screens": through_screens,
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("answers", SETS)
def test_the_same_answers_make_the_same_recipe_whatever_asks(
    answers: str, front: str, folder: Path, surroundings: Surroundings
) -> None:
    expected = through_draft(SETS[answers], folder, surroundings)
    assert FRONTS[front](SETS[answers], folder, surroundings) == expected


def test_a_draft_says_the_command_that_makes_the_same_recipe(folder: Path, surroundings: Surroundings) -> None:
    for number, answers in enumerate(SETS.values()):
        draft = first_draft(surroundings)
        for name, text in answers:
            draft = answered(draft, name, text, surroundings)
        words = shlex.split(draft.command())[1:]
        if words[0] == "replay":
            overrides = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
            assert source_of(words[1], overrides).recipe == draft.recipe()
        else:
            path = folder / f"command {number}.toml"
            assert main([*words[:-1], "--save", str(path)]) == 0
            assert path.read_text() == draft.recipe().to_toml()


def test_a_draft_that_nobody_answered_is_the_preset(surroundings: Surroundings) -> None:
    assert first_draft(surroundings) == Draft("demo-cpu")
