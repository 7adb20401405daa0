"""Libraries as `finetui doctor` finds them: really imported, really broken, of really another version."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.doctor import versions
from engine.doctor.arithmetic import arithmetic
from engine.doctor.finding import Finding
from engine.doctor.libraries import import_tasks, libraries, spoils
from engine.doctor.trying import answers_of

TASKS = ["import torch", "import peft", "import zstandard"]
CHECKOUT = Path(__file__).resolve().parents[3]


def found_with(broken: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """What is found where `broken` is the source of a torch that comes first on the path."""
    (folder / "torch.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    answers = answers_of([*TASKS, "eight_bit"], spoils)
    return {each.name: each for each in (*libraries(answers), *arithmetic(answers))}


def test_a_library_that_breaks_is_named_with_its_error_and_those_that_build_on_it_are_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "raise ImportError('libcudart.so.13: cannot open shared object file')\n"

    found = found_with(broken, tmp_path, monkeypatch)

    assert found["torch"].status == "fail"
    assert "does not import: ImportError: libcudart.so.13: cannot open shared object file" in found["torch"].found
    assert "LD_LIBRARY_PATH" in found["torch"].remedy
    assert found["torch"].command.startswith(f"{sys.executable} -m pip install --force-reinstall --no-deps torch==")
    assert (found["peft"].status, found["peft"].remedy) == ("warn", "Mend torch first.")
    assert found["8-bit optimizer"].status == "warn"
    assert found["zstandard"].found.endswith("imports"), "the others go on"


def test_a_library_that_kills_its_process_is_named_and_the_next_are_tried_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one built for another processor does."""
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    answers = answers_of(TASKS, spoils)

    assert answers["import torch"]["ended"] == "its process was killed by SIGILL"
    assert answers["import peft"] == {"untried": "import torch"}
    assert answers["import zstandard"].keys() == {"seconds"}, "imported by a second process"
    torch = next(each for each in libraries(answers) if each.name == "torch")
    assert "another processor" in torch.remedy


def test_a_library_that_never_comes_back_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    answers = answers_of(TASKS, spoils, timeout_seconds=2.0)

    assert answers["import torch"]["ended"] == "it did not end in time"
    assert answers["import zstandard"] == {"untried": "the time was over"}


def test_every_library_that_is_required_here_has_a_task_of_its_own() -> None:
    names = [each.name for each in versions.required_libraries() if versions.version_of(each.name)]

    assert len(import_tasks()) == len({*names, *versions.INDIRECT})
    assert import_tasks()[0] == "import numpy", "what others build on comes first"
    assert import_tasks().index("import torch") < import_tasks().index("import peft")


def test_the_tested_versions_that_ship_are_those_of_the_project() -> None:
    """Else: cp constraints.txt engine/doctor/constraints.txt"""
    assert versions.CONSTRAINTS.read_bytes() == (CHECKOUT / "constraints.txt").read_bytes()
    assert versions.tested_versions()["torch"].count(".") == 2


@pytest.mark.parametrize(
    ("version", "status", "found"),
    [
        ("1.16.0", "ok", "1.16.0, as tested"),
        ("1.16.0+local", "ok", "1.16.0+local, as tested"),
        ("1.16.7", "warn", "1.16.7, in range; tested with 1.16.0"),
        ("0.9.6", "fail", "0.9.6 is out of range (<1.17,>=1.16); tested with 1.16.0"),
        ("what", "fail", "what is no version number"),
    ],
)
def test_a_version_is_as_tested_or_in_range_or_out_of_it(
    version: str, status: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / f"trl-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trl\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    trl = versions.version_finding(next(each for each in versions.required_libraries() if each.name == "trl"))

    assert (trl.status, trl.found) == (status, found)
    assert status == "ok" or trl.command.endswith("trl==1.16.0")


def test_a_library_that_is_missing_fails_and_one_of_an_extra_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    required = {each.name: each for each in versions.required_libraries()}
    monkeypatch.setattr(sys, "path", [])

    torch, gguf = (versions.version_finding(required[name]) for name in ("torch", "llama-cpp-python"))

    assert (torch.status, torch.found) == ("fail", "not installed")
    assert gguf.status == "ok"
