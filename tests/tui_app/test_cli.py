"""The command line: its help, its errors and its exit codes. Commands that start runs are tried in tests/runs/."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import EXIT_CODES
from engine.event_log import EventWriter
from engine.events import RunFinished, RunStarted, WarningRaised
from engine.run_dir import RunDir
from tui_app.cli import EPILOG, build_parser, main, with_command
from tui_app.commands import watching
from tui_app.help_examples import EXAMPLES


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def finetui(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program as a user starts it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "tui_app", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        encoding="utf-8",
    )


def recorded(home: Path, title: str = "a demo") -> RunDir:
    run = RunDir.create(home / "runs", "demo")
    writer = EventWriter(run.event_file("supervisor"))
    writer.write(RunStarted(run=run.name, recipe=title, resumed=False, host="h", pid=1))
    writer.write(WarningRaised(text="\x1b[31m[bold]careful[/bold]"))
    writer.write(RunFinished(seconds=65.0))
    writer.close()
    return run


@pytest.mark.parametrize("name", ["", *commands()])
def test_the_help_of_every_command_fits_a_screen(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main([*([name] if name else []), "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert 3 <= len(shown.out.splitlines()) < 25
    assert max(len(line) for line in shown.out.splitlines()) <= 88


@pytest.mark.parametrize("name", commands())
def test_every_command_has_its_module_a_sentence_and_help_for_every_option(name: str) -> None:
    parser = commands()[name]
    module = __import__(f"tui_app.commands.{parser.get_default('module')}", fromlist=["COMMANDS"])
    assert callable(module.COMMANDS[name])
    for action in parser._actions:
        if action.option_strings:
            assert action.help, f"{name} {action.option_strings}"
    assert re.search(rf"(^|\s){name}[\s,:]", build_parser().format_help())


def test_the_exit_codes_in_the_help_are_those_of_the_errors() -> None:
    told = {int(code) for code in re.findall(r"(\d+) [a-zC]", EPILOG)}
    assert told == {0, 130, *(code for code in EXIT_CODES.values() if code != 1)}


@pytest.mark.parametrize(
    "arguments",
    [["explode"], ["runs", "--no-such-option"], ["replay"], ["plan"], ["resume"], ["status", "a", "b"], ["--nothing"]],
)
def test_a_wrong_command_line_ends_with_2_on_stderr(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: finetui")


@pytest.mark.parametrize(
    ("arguments", "code", "happened", "remedy"),
    [
        (["status", "demo-9"], 9, "There is no run 'demo-9'.", "demo-cpu|finetui presets"),
        (["status"], 9, "There is no run yet.", "finetui replay demo-cpu"),
        (["stop", "nothing"], 9, "There is no run 'nothing'.", "presets"),
        (["resume", "nothing"], 9, "There is no run 'nothing'.", "presets"),
        (["presets", "demo-gpu"], 2, "There is no preset 'demo-gpu'.", "Did you mean demo-cpu"),
        (["replay", "demo-gpu"], 2, "There is no preset 'demo-gpu'.", "Did you mean demo-cpu"),
        (["replay", "./nothing.toml"], 2, "nothing.toml is no preset, recipe file or run.", "finetui presets"),
        (["plan", "demo-cpu", "--set", "x"], 2, "--set 'x' is not of the form", "--set training.max_steps=20"),
        (["plan", "demo-cpu", "--set", "training.lr=1"], 2, "The recipe has a fault", "finetui schema"),
        (["plan", "demo-cpu", "--vram", "zx81"], 2, "'zx81' is neither a memory size nor a card", "6GiB"),
    ],
)
def test_an_error_is_told_on_stderr_with_what_happened_and_what_to_do(
    arguments: list[str], code: int, happened: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    first, *rest = shown.err.splitlines()
    assert first.startswith("finetui: ")
    assert happened in first
    assert re.search(remedy, rest[-1])
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("word", ["\x1b[31mred", "a\rb", "\u202egnp", "nul\x00byte"])
@pytest.mark.parametrize("command", ["status", "replay", "presets"])
def test_an_error_never_obeys_control_characters_of_the_command_line(
    command: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, word]) in (2, 9)
    shown = capsys.readouterr().err
    assert all(line.isprintable() for line in shown.splitlines())
    assert len(shown.splitlines()) <= 4


def test_without_a_command_it_is_new_that_is_meant() -> None:
    done = finetui()
    assert (done.returncode, done.stdout) == (2, "")
    assert "--preset NAME" in done.stderr
    assert finetui("new").stderr == done.stderr


def test_a_run_is_listed_and_its_status_drawn_literally(own_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(own_machine, "\x1b[2J[red]title[/red]")
    assert main(["runs"]) == 0
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b[2J[red]title[/red]" in shown
    assert "\\x1b[31m[bold]careful[/bold]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("command", [["runs"], ["status"], ["presets"], ["schema"], ["plan", "demo-cpu"]])
def test_what_programs_read_is_json_on_stdout(
    own_machine: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(own_machine)
    assert main([*command, *([] if command == ["schema"] else ["--json"])]) == 0
    shown = capsys.readouterr()
    text = [shown.out] if command == ["schema"] else shown.out.splitlines()
    assert text
    assert all(isinstance(json.loads(line), dict) for line in text)
    assert shown.err == ""


def test_a_terminal_without_the_letters_of_a_title_shows_it_all_the_same(own_machine: Path) -> None:
    recorded(own_machine, "żółw 漢字")
    done = finetui("status", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u6f22" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(own_machine: Path) -> None:
    recorded(own_machine)
    command = f"'{sys.executable}' -P -m tui_app schema | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "{\n")


def test_a_defect_shows_one_line_and_keeps_its_traceback_in_a_file(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_a_defect(_options: argparse.Namespace) -> int:
        raise IndexError("planted by this test")

    monkeypatch.setitem(watching.COMMANDS, "status", with_a_defect)
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert "finetui hit an unexpected IndexError: planted by this test" in told
    assert "Traceback" not in told
    assert "Traceback" in (own_machine / "last-error.txt").read_text()


def test_the_version_is_that_of_the_installed_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"finetui {importlib.metadata.version('finetui')}\n"


def test_a_report_of_a_defect_has_what_it_needs_from_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version", "--verbose"])
    assert left.value.code == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"finetui {importlib.metadata.version('finetui')}"
    told = {line.split()[0]: line for line in rest}
    assert f"torch {importlib.metadata.version('torch')}" in told["libraries"]
    assert f"{sys.version_info.major}.{sys.version_info.minor}." in told["python"]
    assert os.environ["FINETUI_HOME"] in told["home"]
    assert "config.toml" in told["config"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["atach"], "finetui attach"),
        (["staus", "demo-1"], "finetui status"),
        (["data", "chek", "rows.jsonl"], "finetui data check"),
        (["plan", "demo-cpu", "--devise", "t4"], "--device"),
        (["xyzzy"], "finetui --help lists them"),
    ],
)
def test_a_misspelled_command_is_answered_with_the_nearest(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(typed)
    assert left.value.code == 2
    assert meant in capsys.readouterr().err.splitlines()[-1]


def test_a_name_that_would_call_nothing_is_refused(own_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(own_machine)
    assert main(["replay", "demo-cpu", "--name", "demo-1"]) == 9
    assert "demo-2 is free." in capsys.readouterr().err
    assert main(["new", "--preset", "demo-cpu", "--save", "x.toml", "--name", "mine"]) == 2
    assert "--name" in capsys.readouterr().err
    assert not Path("x.toml").exists()


def every_parser() -> dict[str, argparse.ArgumentParser]:
    """Each command by its words, those below `data` and `queue` and both jobs of `export` too."""
    from engine.jobs.engines import JOB_ENGINES
    from tui_app.command_modules import COMMANDS, job_parser, parser_of
    from tui_app.data_cli import data_parser

    found = {name: parser for name, parser in commands().items() if name not in COMMANDS}
    found |= {name: parser_of(name, [name]) for name in COMMANDS} | {"data": data_parser()}
    for name, parser in list(found.items()):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= {f"{name} {inner}": each for inner, each in action.choices.items()}
    return found | {f"export --to {name}": job_parser(name) for name in JOB_ENGINES}


def test_every_help_has_an_example_that_its_command_takes_and_fits_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parsers = every_parser()
    assert set(EXAMPLES) <= set(parsers)
    for name, parser in parsers.items():
        page = parser.format_help()
        assert len(page.splitlines()) < 25, name
        example = EXAMPLES.get(name)
        if example is None:
            continue
        assert example in page or len(page.splitlines()) == 24, name
        assert len(f"example: {example}") <= 80, name
        words = shlex.split(example.partition(" > ")[0])[1:]
        place = name.split(" --to")[0].split()
        assert words[: len(place)] == place
        parser.parse_args(words[len(place) :])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ([], ["new"]),
        (["--plain"], ["new", "--plain"]),
        (["--preset", "demo-cpu", "--line"], ["new", "--preset", "demo-cpu", "--line"]),
        (["--version"], ["--version"]),
        (["-h"], ["-h"]),
        (["status", "--json"], ["status", "--json"]),
    ],
)
def test_options_without_a_command_are_meant_for_the_wizard(typed: list[str], meant: list[str]) -> None:
    assert with_command(typed) == meant
