"""Commands to a run: each handed out once, and an unreadable one stops nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import control
from engine.run_dir import RunDir

CLAIM = """
import sys
from pathlib import Path
from engine import control
from engine.run_dir import RunDir
run = RunDir(Path(sys.argv[1]))
sys.stdin.readline()
while not (run.path / "over").exists():
    for command in control.claim(run):
        print(command.command_id, command.command, flush=True)
for command in control.claim(run):
    print(command.command_id, command.command)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


def test_commands_are_claimed_oldest_first_and_once(run: RunDir) -> None:
    sent = [control.send(run, name) for name in ("pause", "save", "continue", "stop")]
    assert control.claim(run) == sent
    assert control.claim(run) == []


def test_what_is_for_another_process_is_left_for_it(run: RunDir) -> None:
    stop, abort = control.send(run, "stop"), control.send(run, "abort")
    assert control.claim(run, only=("abort",)) == [abort]
    assert control.claim(run, only=("stop", "save", "pause", "continue")) == [stop]


def test_a_command_waits_until_it_is_taken_and_files_that_are_none_are_passed_over(run: RunDir) -> None:
    (run.control / "00.json").write_text("[")
    (run.control / "01.json").symlink_to(run.control / "taken since it was listed")
    assert not control.is_waiting(run, "stop")
    control.send(run, "stop")
    assert control.is_waiting(run, "stop")
    assert not control.is_waiting(run, "save")
    control.claim(run, only=("stop",))
    assert not control.is_waiting(run, "stop")


def test_a_word_that_is_no_command_is_misuse(run: RunDir) -> None:
    with pytest.raises(ValueError, match="unknown command 'explode'"):
        control.send(run, "explode")
    assert list(run.control.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"command": ["stop"]}', b"\xff\xfe", b'{"command": "' + b"x" * 9000 + b'"}'],
)
def test_an_unreadable_file_is_handed_out_as_such_and_stops_nobody(run: RunDir, content: bytes) -> None:
    (run.control / "00.json").write_bytes(content)
    stop = control.send(run, "stop")
    assert control.claim(run, only=("stop",)) == [control.Command("00", "unreadable"), stop]
    assert control.claim(run) == []


def test_a_folder_in_place_of_a_command_stops_nobody(run: RunDir) -> None:
    (run.control / "00.json").mkdir()
    stop = control.send(run, "stop")
    assert control.claim(run) == [control.Command("00", "unreadable"), stop]


def test_a_file_that_is_still_being_written_is_not_seen(run: RunDir) -> None:
    (run.control / ".0001.json.half").write_text('{"comm')
    assert control.claim(run) == []


def test_two_processes_that_claim_at_once_share_out_the_commands(run: RunDir) -> None:
    claimers = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", CLAIM, str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    sent = [control.send(run, control.COMMANDS[n % 5]) for n in range(200)]
    (run.path / "over").touch()
    claimed = [line for claimer in claimers for line in claimer.communicate()[0].splitlines()]
    assert sorted(claimed) == sorted(f"{command.command_id} {command.command}" for command in sent)
    assert len(list(run.control.glob("*.claimed"))) == 200


def test_a_command_names_itself_in_its_file(run: RunDir) -> None:
    sent = control.send(run, "save")
    assert json.loads((run.control / f"{sent.command_id}.json").read_text()) == {"command": "save"}
