"""Recipes handed over by somebody who means harm: refused, or carried out as the plain texts that they are."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data import bounded_pattern
from data.errors import DataError
from data.splitting import answer_key_of
from engine import foreign_code
from engine.beginning import make
from engine.chat_markup.modelfile import Modelfile, read
from engine.errors import RecipeError, RunDirError
from engine.evaluation.scoring import Scorer
from engine.hardware import emulate, read_hardware
from engine.recipe import Recipe
from engine.starting import create_run, prospect
from tests.bare_model import write_bare_model

BASE = '[model]\nname_or_path = "x/y"\n[data]\ndataset = "a.jsonl"\n'
BOMBS = {
    "lists in lists": "a = " + "[" * 20_000,
    "a key of 20,000 parts": ".".join("a" * 20_000) + " = 1",
    "a quoted key of 5,000 parts": ".".join(['"a"'] * 5_000) + " = 1",
    "tables of 200 parts": "".join(f"[{'a.' * 200}a{number}]\n" for number in range(2000)),
    "a number of 10,000 digits": BASE + "[training]\nmax_steps = " + "9" * 10_000,
    "a number that cannot be written out": BASE + "[run]\nlogging_steps = 0x" + "f" * 10_000,
    "a list of 100,000": BASE + "[adapter]\ntarget_modules = " + json.dumps(["x"] * 100_000),
    "20,000 fields that there are not": BASE + "".join(f"k{number} = 1\n" for number in range(4_000)),
    "one letter for a megabyte": "a" * 1_000_000,
    "quotes for a megabyte": "\"'" * 500_000,
    "infinity": BASE + "[training]\nlearning_rate = inf",
    "no number": BASE + "[adapter]\nlora_alpha = nan",
    "a NUL in a path": BASE + '[run]\nroot = "/tmp/\\u0000x"',
}


@pytest.mark.parametrize("attack", BOMBS)
def test_a_recipe_made_to_exhaust_its_reader_is_refused_in_no_time(attack: str) -> None:
    begun = time.process_time()
    with pytest.raises(RecipeError) as refused:
        Recipe.parse(BOMBS[attack])
    assert time.process_time() - begun < 3
    assert len(str(refused.value)) < 50_000


@pytest.mark.parametrize("override", ["model.name_or_path=" + "[" * 5000, "run.name=" + "a." * 20_000])
def test_an_override_made_to_exhaust_its_reader_is_a_text(override: str) -> None:
    begun = time.process_time()
    section, _, value = override.partition("=")
    recipe = Recipe.parse(BASE, overrides=[override])
    assert value in (recipe.model.name_or_path, recipe.run.name), section
    assert time.process_time() - begun < 1


TEXT = "a" * 60 + "!" + "\n"


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^((?:\w+\s?)*)$", r"((?:a|aa)+)$"])
def test_a_pattern_that_explodes_is_given_up_in_a_sentence(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_pattern, "SECONDS", 0.2)
    begun = time.process_time()
    with pytest.raises(DataError, match=r"evaluation\.answer_pattern takes more than"):
        Scorer(pattern, None).judge(TEXT, "b")
    with pytest.raises(DataError, match=r"evaluation\.group_pattern takes more than"):
        Scorer(None, pattern).group_of(TEXT)
    from data.conversation import single_turn

    with pytest.raises(DataError, match=r"evaluation\.answer_pattern takes more than"):
        answer_key_of(pattern)(single_turn("r", TEXT, 1))
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("pattern", ["(" * 5000, "(a{99999999999999999999})", "(" + "a?" * 3000 + ")", "(?P<a"])
def test_a_pattern_that_cannot_be_compiled_is_a_fault_of_its_field(pattern: str) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.answer_pattern: is no regular expression"):
        Recipe.parse(BASE, overrides=["evaluation.answer_pattern=" + json.dumps(pattern)])


SHELL = "$(touch CANARY)`touch CANARY`; touch CANARY | touch CANARY & '\"\n touch CANARY"
"""What would run in any of a shell's contexts."""


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """What a recipe whose every text is hostile becomes on this machine."""
    folder = write_bare_model(tmp_path / "model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 20)
    hostile = SHELL.replace("CANARY", str(tmp_path / "canary"))

    def make(**run: Any) -> Any:
        values = {
            "title": f"../../{hostile}"[:200],
            "description": f"</script><script>alert(1)</script>\x1b]0;x\x07\u202e{hostile}",
            "hardware": hostile,
            "model": {"name_or_path": str(folder)},
            "data": {"dataset": str(rows), "system": hostile},
            "run": run or {"name": "../../" + SHELL, "root": str(tmp_path / "runs")},
        }
        (tmp_path / "runs").mkdir(exist_ok=True)
        return prospect(Recipe.from_values(values), emulate(read_hardware(), "24GiB"), base_dir=tmp_path)

    return make


def test_a_runs_name_never_leaves_its_root_and_holds_no_command(tmp_path: Path, found: Any) -> None:
    run = create_run(found(), name="x")
    assert run.path.parent == (tmp_path / "runs").resolve()
    assert shlex.quote(run.name) == run.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "rows.jsonl", "runs"]


@pytest.mark.parametrize("root", ["/proc", "/dev/null", "/proc/self/environ"])
def test_a_root_that_holds_no_folders_is_an_error_of_ours(found: Any, root: str) -> None:
    with pytest.raises(RunDirError):
        create_run(found(root=root, name="x"), name="x")


def test_a_modelfile_says_what_a_recipe_says_and_nothing_more() -> None:
    for system in (SHELL, "a\nFROM /etc/passwd\nADAPTER /x", 'x"""y', "</s>"):
        made = Modelfile("./model.gguf", "{{ .Prompt }}", system, (("stop", "</s>"),), None)
        again = read(made.text())
        assert (again.model, again.system, again.parameters) == ("./model.gguf", system, (("stop", "</s>"),))


TRUSTING = {
    "code": {"model": {"name_or_path": "x/y", "trust_remote_code": True}, "data": {"dataset": "a.jsonl"}},
    "answers": {
        "model": {"name_or_path": "x/y"},
        "data": {"dataset": "a.jsonl"},
        "evaluation": {"run_code": True},
    },
}


@pytest.mark.parametrize("kind", foreign_code.KINDS)
def test_foreign_code_needs_the_models_name_from_the_user(kind: Any) -> None:
    recipe = Recipe.from_values(TRUSTING[kind])
    for other in ("x/z", "x", "X/Y", "x/y/"):
        foreign_code.confirm(kind, other)
    foreign_code.confirm("answers" if kind == "code" else "code", "x/y")
    with pytest.raises(RecipeError, match=r"it would run Python .* x/y") as refused:
        foreign_code.refuse_unconfirmed(recipe)
    command = refused.value.remedy.rpartition(": ")[2]
    assert command == f"finetui trust {'--answers ' if kind == 'answers' else ''}x/y"
    foreign_code.confirm(kind, "x/y")
    assert foreign_code.refuse_unconfirmed(recipe) is recipe
    assert any(line.startswith("WARNING") and "x/y" in line for line in foreign_code.told(recipe))
    foreign_code.confirm(kind, "x/y", allowed=False)
    with pytest.raises(RecipeError):
        foreign_code.refuse_unconfirmed(recipe)


def test_a_run_that_would_run_foreign_code_is_not_even_made(tmp_path: Path, found: Any) -> None:
    asked = found()
    model = asked.recipe.model.model_copy(update={"trust_remote_code": True})
    hostile = replace(asked, recipe=asked.recipe.model_copy(update={"model": model}))
    told: list[str] = []
    with pytest.raises(RecipeError, match=r"model\.trust_remote_code = true"):
        make(hostile, name="x", tell=told.append)
    assert not list((tmp_path / "runs").iterdir())
    foreign_code.confirm("code", str(tmp_path / "model"))
    make(hostile, name="x", tell=told.append)
    assert told[0].startswith("WARNING: this run executes Python files that come with the model")


@pytest.mark.parametrize("edge", ["prepare", "evaluate", "chat"])
def test_no_process_of_a_strangers_run_folder_runs_its_code(found: Any, edge: str) -> None:
    from engine.chat.speakers import manner_of
    from engine.evaluation.worker import evaluate
    from engine.event_log import EventWriter
    from engine.training.prepare import prepare_run

    run = create_run(found(), name="x")
    text = run.recipe.read_text()
    run.recipe.write_text(text.replace("trust_remote_code = false", "trust_remote_code = true"))
    writer = EventWriter(run.event_file("attempt-1"))
    edges = {
        "prepare": lambda: prepare_run(run, writer),
        "evaluate": lambda: evaluate(run, writer),
        "chat": lambda: manner_of(run),
    }
    with pytest.raises(RecipeError, match="it would run Python files"):
        edges[edge]()


@pytest.mark.parametrize("content", ["[]", "{", '{"code": 3}', "[" * 100_000])
def test_a_damaged_list_of_confirmed_names_allows_nothing(content: str) -> None:
    foreign_code.trusted_file().parent.mkdir(parents=True, exist_ok=True)
    foreign_code.trusted_file().write_text(content)
    try:
        with pytest.raises(RunDirError, match="none is allowed"):
            foreign_code.refuse_unconfirmed(Recipe.from_values(TRUSTING["code"]))
    finally:
        foreign_code.trusted_file().unlink()
