"""Code that models write is run where it can do no harm, and cannot claim a pass."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from engine.evaluation.code_running import CodeResult, RunLimits, run_code

ADD = "def add(a, b):\n    return a + b\n"
SHORT = RunLimits(seconds=5)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes files, network and processes away")


def run(code: str, *tests: str, limits: RunLimits = SHORT) -> CodeResult:
    return run_code(code, tests or ("assert True",), limits)


def test_code_that_passes_its_tests_passes_and_nothing_is_left_to_it() -> None:
    assert run(ADD, "assert add(1, 2) == 3", "assert add(0, 0) == 0") == CodeResult("passed")


def test_the_test_that_fails_is_named_and_code_that_is_none_too() -> None:
    assert run(ADD, "assert add(1, 2) == 3", "assert add(1, 1) == 3") == CodeResult(
        "failed", "test 2", "AssertionError"
    )
    broken = run("def add(a, b) return a")
    assert (broken.outcome, broken.where) == ("failed", "code")
    assert broken.fault.startswith("SyntaxError")


def test_the_standard_library_is_there_and_nobodys_modules_are() -> None:
    assert run("import collections, decimal, functools, heapq, itertools, json, math, re, statistics, typing").passed
    assert run("import engine").fault == "ModuleNotFoundError: No module named 'engine'"
    assert run("import pytest").fault == "ModuleNotFoundError: No module named 'pytest'"


def test_an_endless_loop_ends_with_its_time() -> None:
    assert run("while True: pass", limits=RunLimits(seconds=0.5)).outcome == "timed_out"
    asleep = run("import time\ntime.sleep(60)", limits=RunLimits(seconds=0.5))
    assert (asleep.outcome, asleep.fault) == ("timed_out", "not done after 0.5 seconds")


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.execv('/bin/true', ['true'])",
        "import threading\nfor _ in range(10_000): threading.Thread(target=print).start()",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_no_process_and_no_thread_is_started(code: str) -> None:
    found = run(code)
    assert (found.outcome, found.where) == ("failed", "code")
    assert "Permission" in found.fault or "can't start new thread" in found.fault


@pytest.mark.parametrize("code", ["x = 'a' * (1 << 40)", "x = []\nwhile True: x.append(bytearray(1 << 22))"])
def test_memory_ends_before_the_machines_does(code: str) -> None:
    assert run(code, limits=RunLimits(seconds=20, memory_bytes=128 * 1024**2)).fault == "MemoryError"


def test_secrets_of_this_process_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run("import os\nassert 'HF_TOKEN' not in os.environ and 'HOME' not in os.environ").passed
    for path in ("/proc/self/environ", f"/proc/{os.getpid()}/environ", "/etc/passwd"):
        assert run(f"open({path!r}).read()").fault.startswith("PermissionError")


def test_no_file_is_written_read_or_removed_anywhere(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("keep")
    for code in (
        f"open({str(mine)!r}, 'w').write('x' * 10_000_000)",
        f"open({str(mine)!r}).read()",
        f"import os\nos.remove({str(mine)!r})",
        f"import os\nos.listdir({str(tmp_path)!r})",
        "open('big', 'wb').write(bytes(10_000_000))",
        "import os\nos.mkdir('folder')",
    ):
        assert run(code).fault.startswith("PermissionError"), code
    assert mine.read_text() == "keep"


def test_nobody_is_signalled_or_reached(tmp_path: Path) -> None:
    assert run("import os\nos.kill(os.getppid(), 9)").fault.startswith("PermissionError")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
        assert run(code).fault.startswith("PermissionError")
    assert tmp_path.exists()


def test_printing_without_end_is_ended() -> None:
    assert run("while True: print('x' * 1000)").outcome == "printed_too_much"


def test_what_a_passing_program_prints_does_not_count() -> None:
    assert run(ADD + "print('FAILED', '{\"passed\": false}')", "assert add(1, 2) == 3").passed


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import sys\nsys.exit(0)", "failed"),
        ("raise SystemExit", "failed"),
        ("quit = exit = None\nimport os\nos._exit(0)", "ended"),
        ("import os\nos.closerange(0, 64)", "ended"),
        ("import os\nos.abort()", "ended"),
        ("print('{\"passed\": true}')\nimport os\nos._exit(0)", "ended"),
    ],
)
def test_leaving_before_the_tests_is_no_pass(code: str, outcome: str) -> None:
    assert run(code, "assert False").outcome == outcome


def test_an_exception_that_fights_back_is_a_failure_like_any_other() -> None:
    code = "class E(BaseException):\n    def __str__(self): raise SystemExit(0)\nraise E"
    assert run(code) == CodeResult("failed", "code", "E")


def test_the_limits_of_the_code_cannot_be_raised_from_inside() -> None:
    code = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))"
    assert run(code).outcome == "failed"


@pytest.mark.parametrize(
    "code",
    [
        "import builtins\nbuiltins.exec = lambda *_: None",
        "import builtins\nbuiltins.compile = lambda *_: 'True'",
        'import json\njson.dumps = lambda *_: \'{"passed": true, "where": "", "fault": ""}\'',
        "import json\njson.JSONEncoder.encode = lambda *_: 'passed'",
    ],
)
def test_code_that_replaces_what_runs_and_tells_its_tests_does_not_pass_them(code: str) -> None:
    assert run(code, "assert False").outcome == "failed"
