"""Tab in a shell: what is offered, how soon, and that real shells take it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from argcomplete.lexers import split_line

from engine.run_dir import RunDir
from tests.tmux import tmux
from tui_app.cli import main
from tui_app.completion import described
from tui_app.completion.answering import Finder, Nothing, parser_for
from tui_app.completion.described import describe, parser_values

HEAVY = {"pydantic", "torch", "textual", "rich", "huggingface_hub", "transformers", "numpy", "tomlkit"}


RECORDED = Path(__file__).parents[2] / "recorded" / "runs"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """What the program is, as a Tab finds it in its file."""
    return dict(json.loads(json.dumps(describe())))


@pytest.fixture
def runs(own_machine: Path) -> None:
    for name in ("demo-cpu-1", "demo-cpu-2", "mine"):
        RunDir.create(own_machine / "runs", "x", name=name)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with `finetui` in it, as an installation has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "finetui").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tui_app "$@"\n')
    (folder / "finetui").chmod(0o755)
    return folder


def offered(values: dict[str, Any], line: str) -> list[str]:
    """The whole words that a Tab at the end of the line offers."""
    _, prefix, _, words, _ = split_line(line, len(line))
    finder = Finder(
        parser_for(values, line.split()), always_complete_options=False, default_completer=Nothing(), append_space=False
    )
    return [str(each) for each in finder._get_completions(words, prefix, "", None)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("finetui at", ["attach"]),
        ("finetui data ch", ["check"]),
        ("finetui queue re", ["remove"]),
        ("finetui status demo", ["demo-cpu-1", "demo-cpu-2"]),
        ("finetui eval mi", ["mine"]),
        ("finetui compare mine demo-cpu-", ["demo-cpu-1", "demo-cpu-2"]),
        ("finetui replay demo", ["demo-cpu", "demo-cpu-1", "demo-cpu-2"]),
        ("finetui plan demo-cpu --device rtx509", ["rtx5090"]),
        ("finetui plan demo-cpu --vr", ["--vram"]),
        ("finetui new --set training.packi", ["training.packing="]),
        ("finetui new --set training.packing=", ["training.packing=true", "training.packing=false"]),
        ("finetui new --dataset generator:w", ["generator:wireless"]),
        ("finetui new --model bun", ["bundled:smollm2-135m-instruct"]),
        ("finetui export mine --to gguf,ol", ["gguf,ollama"]),
        ("finetui export mine --to slurm --parti", ["--partition"]),
        ("finetui export mine --to skypilot --buck", ["--bucket"]),
        ("finetui eval mine --rows b", ["better"]),
        ("finetui data generate ven", ["venvy"]),
        ("finetui config set screen.th", ["screen.theme"]),
        ("finetui config set screen.theme l", ["light"]),
        ("finetui config set recipe.training.see", ["recipe.training.seed"]),
        ("finetui completion f", ["fish"]),
        ("finetui explain LoRA", ["LoRA\\ rank\\ \\(r\\)"]),
        ("finetui status mine d", []),
        ("finetui join --wait ", []),
    ],
)
def test_a_tab_offers_what_may_stand_there(line: str, expected: list[str], values: dict[str, Any], runs: None) -> None:
    assert runs is None
    assert sorted(offered(values, line)) == sorted(expected)


def test_without_a_letter_words_are_offered_first_and_options_where_there_are_none(
    values: dict[str, Any], runs: None
) -> None:
    assert runs is None
    assert set(offered(values, "finetui attach ")) == {"demo-cpu-1", "demo-cpu-2", "mine"}
    assert "--readonly" in offered(values, "finetui attach -")
    assert {"--json", "--quick"} <= set(offered(values, "finetui runs ")) | set(offered(values, "finetui doctor --"))


def test_a_folder_whose_name_the_terminal_would_obey_is_neither_offered_nor_obeyed_in_a_list(
    values: dict[str, Any], own_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir.create(own_machine / "runs", "x", name="mine")
    shutil.copytree(RECORDED / "died", run.path, dirs_exist_ok=True)
    shutil.copytree(run.path, run.path.with_name("esc\x1b[31m\nanother"))
    assert offered(values, "finetui attach ") == ["mine"]
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["esc\\x1b[31m\\nanother", "mine"]


def test_files_are_offered_by_what_an_option_reads(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("rows.jsonl", "mine.toml", "notes.md", ".hidden.toml"):
        Path(name).touch()
    Path("folder").mkdir()
    Path("folder/more.toml").touch()
    assert {"mine.toml", "folder/"} == {each for each in offered(values, "finetui plan ") if "." in each or "/" in each}
    assert offered(values, "finetui plan folder/") == ["folder/more.toml"]
    assert offered(values, "finetui data check ro") == ["rows.jsonl"]
    assert offered(values, "finetui plan mine.toml --set x ~nobody-here/") == []


def test_every_command_and_option_that_a_help_shows_is_offered(values: dict[str, Any]) -> None:
    from tui_app.command_modules import COMMANDS, parser_of
    from tui_app.data_cli import data_parser

    kept = values["commands"]["commands"]
    for name in COMMANDS:
        assert kept[name]["arguments"] == json.loads(
            json.dumps(parser_values(parser_of(name, [name]), name)["arguments"])
        )
    assert set(kept["data"]["commands"]) == set(parser_values(data_parser(), "data")["commands"])
    for name, command in kept.items():
        assert command["arguments"] or command["commands"], name


def test_what_is_kept_is_made_anew_once_the_program_has_changed(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    monkeypatch.setenv("FINETUI_CACHE", str(own_machine / "cache"))
    path = own_machine / "cache" / "completion.json"
    path.parent.mkdir()
    stamp = described.stamp_of_the_code()
    path.write_text(json.dumps({"stamp": stamp, **values, "mark": 1}))
    assert described.described()["mark"] == 1
    path.write_text(json.dumps({"stamp": [*stamp[:-1], 0], **values, "mark": 1}))
    assert "mark" not in described.described()
    path.write_text("torn")
    assert described.described()["stamp"] == stamp == json.loads(path.read_text())["stamp"]


@pytest.fixture
def ready(own_machine: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, runs: None) -> Path:
    """A machine on which a Tab was answered before."""
    assert runs is None
    cache = own_machine / "cache"
    cache.mkdir()
    monkeypatch.setenv("FINETUI_CACHE", str(cache))
    (cache / "completion.json").write_text(json.dumps({"stamp": described.stamp_of_the_code(), **values}))
    return cache


def test_a_tab_loads_no_command_and_nothing_heavy_and_takes_a_tenth_of_a_second(ready: Path) -> None:
    code = (
        "import os, sys, time\n"
        "os._exit = lambda code: None\n"
        "from tui_app.program import main\n"
        "import tui_app.completion.answering as a; a.answer()\n"
        "print(time.process_time(), *sorted(sys.modules), file=sys.stderr)"
    )
    environ = {"_ARGCOMPLETE": "1", "COMP_LINE": "finetui status ", "COMP_POINT": "15", "_ARGCOMPLETE_IFS": "\n"}
    environ["_ARGCOMPLETE_STDOUT_FILENAME"] = str(ready / "told")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=os.environ | environ)
    assert done.returncode == 0, done.stderr
    seconds, *modules = done.stderr.splitlines()[-1].split()
    assert {"mine", "demo-cpu-1", "demo-cpu-2"} == {word.strip() for word in (ready / "told").read_text().split()}
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    assert not [name for name in modules if name.startswith(("tui_app.commands", "tui_app.result_commands"))]
    assert "tui_app.cli" not in modules
    assert float(seconds) < 0.3  # 0.06 on an idle core


def test_bash_completes_run_names_and_values_behind_an_equals_sign(ready: Path, program: Path) -> None:
    assert ready.is_dir()
    asks = """
    source <(finetui completion bash) || exit 1
    tab() { COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9; _python_argcomplete finetui; echo "${COMPREPLY[*]}"; }
    tab 'finetui status mi'; tab 'finetui new --set training.packing=t'
    complete -p finetui
    """
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", asks], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    run, value, registered = done.stdout.splitlines()
    assert run.split() == ["mine"]
    assert value.split() == ["true"]  # the part behind the sign: bash takes it for a word of its own
    assert "-F _python_argcomplete finetui" in registered


def test_fish_completes_run_names(ready: Path, program: Path) -> None:
    assert ready.is_dir()
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    asks = "finetui completion fish | source; complete -C 'finetui status m'; complete -C 'finetui atta'"
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["fish", "-c", asks], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    run, command = done.stdout.splitlines()
    assert run.strip() == "mine"
    assert command.split("\t") == ["attach", "watch a run; leaving it leaves it running"]


def test_zsh_completes_at_a_real_tab(ready: Path, program: Path) -> None:
    if not shutil.which("zsh") or not shutil.which("tmux"):
        pytest.skip("zsh or tmux is not installed")
    names = ("FINETUI_HOME", "FINETUI_CACHE", "HOME")
    environ = {name: os.environ[name] for name in names} | {"PATH": f"{program}{os.pathsep}{os.environ['PATH']}"}
    with tmux("zsh", "-f", env=environ, cwd=ready) as window:
        window.command("autoload -U compinit && compinit -D && eval \"$(finetui completion zsh)\" && echo rea''dy")
        window.wait("^ready")
        window.text("finetui status mi")
        window.keys("Tab")
        window.wait(r"finetui status mine")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_written_where_the_shell_looks_and_nothing_else_is_touched(
    shell: str, ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ready.is_dir()
    before = {path for path in Path.home().rglob("*") if path.is_file()}
    assert main(["completion", shell, "--install"]) == 0
    (written,) = {path for path in Path.home().rglob("*") if path.is_file()} - before
    assert f"written: {written}" in capsys.readouterr().out
    assert written.stat().st_mode & 0o777 == 0o644
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == written.read_text()
    assert re.search(r"bash-completion/completions/finetui$|site-functions/_finetui$|finetui\.fish$", str(written))


def test_an_unknown_shell_is_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/nu")
    assert main(["completion"]) == 2
    assert "SHELL is /bin/nu" in capsys.readouterr().err
