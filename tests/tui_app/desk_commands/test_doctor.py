"""`finetui doctor` as it is typed: on this machine as it is, and with one thing wrong."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.doctor import Finding
from tui_app.cli import build_parser, main
from tui_app.command_modules import COMMANDS, parser_of
from tui_app.desk_commands.doctor import summary_lines
from tui_app.desk_commands.doctor_terminal import terminal

KEYS = ["area", "name", "status", "found", "remedy", "command"]
BUILT_IN = {"export", "unset", "ulimit", "."}
NOT_HERE = {"docker", "nvidia-smi", "wsl.exe", "ubuntu-drivers", "apt-get", "hf"}
"""What commands may name that a machine without a card, a container or an account need not have."""
RECORDED = Path(__file__).resolve().parents[2] / "recorded" / "runs"


def doctor(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tui_app", "doctor", *words],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def can_be_typed(command: str) -> None:
    """Each part of a shell command begins with a program that there is; finetui's own are understood by it."""
    for part in command.replace("&&", "|").replace(";", "|").split("|"):
        words = shlex.split(part)
        words = words[1:] if words[0] == "sudo" else words
        if words[0] == "finetui" and words[1] in COMMANDS:
            parser_of(words[1], words[2:]).parse_args(words[2:])
        elif words[0] == "finetui":
            build_parser().parse_args(words[1:])
        else:
            assert words[0] in BUILT_IN | NOT_HERE or shutil.which(words[0]), command


def test_this_machine_has_nothing_that_fails_and_every_command_can_be_typed() -> None:
    done = doctor("--offline", "--json")

    found = [json.loads(line) for line in done.stdout.splitlines()]
    by_name: dict[str, dict[str, Any]] = {each["name"]: each for each in found}
    assert [each for each in found if each["status"] == "fail"] == []
    assert (done.returncode, done.stderr) == (0, "")
    assert all(list(each) == KEYS for each in found)
    assert len(by_name) == len(found), "a name means one thing"
    for library in ("torch", "transformers", "trl", "peft", "bitsandbytes", "textual", "matplotlib", "numpy"):
        assert by_name[library]["found"].endswith("imports"), by_name[library]
    assert by_name["4-bit product"]["found"].startswith("NF4 on ")
    assert "off exact AdamW" in by_name["8-bit optimizer"]["found"]
    assert by_name["telemetry"]["found"] == "off"
    for each in found:
        if each["command"]:
            can_be_typed(each["command"])


def test_what_fails_is_repeated_at_the_end_in_80_columns(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").touch()

    done = doctor("--quick", PYTHONPATH=str(tmp_path), FINETUI_CACHE="/proc/nowhere")

    assert done.returncode == 10, done.stderr
    last = done.stdout[done.stdout.index("2 problems, mend first: PYTHONPATH") :]
    assert "  1. PYTHONPATH\n     $ unset PYTHONPATH\n  2. cache\n     $ export FINETUI_CACHE=" in last
    prose = [line for line in done.stdout.splitlines() if "$ " not in line and str(tmp_path) not in line]
    assert [line for line in prose if len(line) > 80 and " /" not in line] == []


def test_a_failed_run_is_explained_with_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path))
    shutil.copytree(RECORDED / "failed", tmp_path / "runs" / "failed-1")

    assert main(["doctor", "--quick", "--offline", "--json", "failed-1"]) == 10

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found[0]["area"], found[0]["name"], found[0]["status"]) == ("run", "run failed-1", "fail")
    assert found[0]["command"] == "finetui replay failed-1 --set memory.limit=1GiB"
    can_be_typed(found[0]["command"])
    assert next(each for each in found if each["area"] == "model")["status"] == "ok", "its model is looked at, too"


def test_a_word_that_stands_for_nothing_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--quick", "demo-cpi"]) == 2
    assert "demo-cpu" in capsys.readouterr().err


def test_the_help_fits_a_screen() -> None:
    page = parser_of("doctor").format_help().splitlines()

    assert len(page) < 25
    assert max(map(len, page)) <= 80


def test_a_terminal_is_told_with_what_keeps_it_from_its_best() -> None:
    controller, line = os.openpty()
    saved = [os.dup(number) for number in range(3)]
    try:
        for number in range(3):
            os.dup2(line, number)
        plain = {each.name: each for each in terminal({"TERM": "xterm", "LC_ALL": "C", "TMUX": "/tmp/tmux"})}
        dumb = list(terminal({"TERM": "dumb"}))
        good = list(terminal({"TERM": "xterm-256color", "LANG": "en_GB.UTF-8", "SSH_TTY": "/dev/pts/1"}))
    finally:
        for number, before in enumerate(saved):
            os.dup2(before, number)
            os.close(before)
        os.close(line)
        os.close(controller)

    assert "in tmux" in plain["terminal"].found
    assert plain["size"].status == "warn"
    assert plain["colours"].command.startswith("tmux set")
    assert plain["characters"].command == "export LC_ALL=C.UTF-8"
    assert [each.command for each in dumb] == ["export TERM=xterm-256color"]
    assert "over SSH" in good[0].found
    assert {each.name for each in good if each.status != "ok"} == {"size"}


def test_one_problem_and_one_warning_are_counted_as_one() -> None:
    problem = Finding("disk", "fail", "full", "Free space.", "finetui clean")
    warning = Finding("GPU", "warn", "none")

    assert summary_lines([problem, warning]) == ["1 problem:", "  1. disk", "     $ finetui clean", "1 warning: GPU."]
    assert summary_lines([]) == ["No problem found."]
