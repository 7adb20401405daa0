"""What gets between finetui and the packages it was installed with, laid out in real folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.doctor.python_environment import (
    conda_packages,
    doubled_packages,
    environment_kind,
    programs_on_path,
    python_path,
    python_version,
)


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "finetui"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_this_python_is_one_that_finetui_runs_on() -> None:
    assert python_version().status == "ok"
    assert sys.executable in python_version().found


def test_another_program_first_on_the_path_is_told_with_the_activation_that_changes_it(tmp_path: Path) -> None:
    mine, other = program(tmp_path / "mine" / "bin"), program(tmp_path / "other" / "bin")

    found = programs_on_path(f"{other.parent}{os.pathsep}{mine.parent}", mine.parent)

    assert found.status == "warn"
    assert str(other) in found.found
    assert found.command == f". {tmp_path}/mine/bin/activate"


def test_two_names_for_one_program_are_one_program(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine" / "bin")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "finetui").symlink_to(mine)

    found = programs_on_path(f"{tmp_path}/links{os.pathsep}{mine.parent}", mine.parent)

    assert (found.status, found.found) == ("ok", f"`finetui` is {tmp_path}/links/finetui")


def test_pythonpath_fails_only_where_it_hides_something_that_finetui_uses(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    assert python_path({"PYTHONPATH": str(tmp_path)}).status == "ok"

    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").touch()
    found = python_path({"PYTHONPATH": str(tmp_path)})

    assert (found.status, found.command) == ("fail", "unset PYTHONPATH")
    assert "transformers" in found.found


def test_the_same_library_twice_on_the_path_is_told_with_both_places(tmp_path: Path) -> None:
    for version in ("2.13.0", "2.9.1"):
        info = tmp_path / version / f"torch-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")

    (found,) = doubled_packages([str(tmp_path / "2.13.0"), str(tmp_path / "2.9.1")])

    assert (found.name, found.status) == ("torch twice", "warn")
    assert f"2.13.0 in {tmp_path}/2.13.0" in found.found
    assert "uninstall -y torch" in found.command


def test_builds_of_conda_among_those_of_pip_are_named(tmp_path: Path) -> None:
    records = tmp_path / "conda-meta"
    records.mkdir()
    for name in ("pytorch-2.5.0-py311", "numpy-2.4.6-h1", "openssl-3.0-h2"):
        (records / f"{name}.json").write_text("{}")

    assert conda_packages(tmp_path) == ["numpy", "torch"]


def test_another_environment_that_is_activated_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "mine"))

    found = environment_kind({"VIRTUAL_ENV": str(tmp_path / "other")})

    assert (found.status, found.command) == ("warn", f". {tmp_path}/mine/bin/activate")
