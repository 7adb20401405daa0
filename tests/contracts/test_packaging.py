"""What the files of the distribution promise each other: ranges, tested versions, make targets, licence.

What ends up in the wheel and whether it runs is in test_wheel.py.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]]
FAST_MOVING = ("transformers", "trl", "peft", "torch", "bitsandbytes")
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the licence as apache.org publishes it."""


def pins() -> dict[NormalizedName, Version]:
    """constraints.txt, by canonical name. Every line that is not a comment pins one version exactly."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pinned = [re.fullmatch(r"([a-z0-9-]+)==([0-9a-z.]+)", line) for line in lines if not line.startswith("#")]
    assert None not in pinned, "a line of constraints.txt is no exact pin"
    return {canonicalize_name(match[1]): Version(match[2]) for match in pinned if match}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_tested_version_lies_in_the_promised_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("name", FAST_MOVING)
def test_a_library_whose_interface_moves_has_an_upper_bound(name: str) -> None:
    requirement = next(found for found in REQUIREMENTS if found.name == name)
    assert any(clause.operator == "<" for clause in requirement.specifier)


def test_these_tests_run_on_the_versions_that_are_called_tested() -> None:
    """A build suffix (`2.13.0+cpu`) makes no difference. After a deliberate change, write the new pin down."""
    installed = {canonicalize_name(found.name): Version(found.version) for found in importlib.metadata.distributions()}
    differing = {
        name: f"{installed[name]} is installed, {pinned} is in constraints.txt"
        for name, pinned in pins().items()
        if name in installed and installed[name].public != pinned.public
    }
    assert differing == {}


def test_whatever_finetui_requires_is_pinned_with_all_that_it_requires() -> None:
    """What a CUDA build of torch needs besides is left out: torch pins that itself."""
    pinned, missing, seen = pins(), set(), set()
    pending = [canonicalize_name(requirement.name) for requirement in REQUIREMENTS]
    while pending:
        name = pending.pop()
        if name in seen or name.startswith(("nvidia-", "cuda-", "triton")):
            continue
        seen.add(name)
        if name not in pinned:
            missing.add(name)
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        pending += [canonicalize_name(r.name) for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
    assert missing == set()


def test_the_changelog_speaks_of_this_version() -> None:
    headings = re.findall(r"^## \[?([^\]\s]+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert PROJECT["version"] in headings or headings[0] == "Unreleased"


def test_the_console_script_names_a_function() -> None:
    script = next(iter(importlib.metadata.entry_points(group="console_scripts", name="finetui")))
    assert script.value == PROJECT["scripts"]["finetui"]
    assert callable(script.load())


def test_the_licence_is_apache_2_0_unmodified() -> None:
    assert hashlib.sha256((CHECKOUT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    assert PROJECT["license"] == "Apache-2.0"


def test_doctor_names_the_demo_model_in_the_version_that_make_installs() -> None:
    from engine.doctor.demo_model import BUNDLED_MODEL, BUNDLED_MODEL_COMMAND

    assert BUNDLED_MODEL_COMMAND.endswith(f"{BUNDLED_MODEL}=={pins()[canonicalize_name(BUNDLED_MODEL)]}")


def test_ci_runs_what_a_developer_runs() -> None:
    script = CHECKOUT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("\nmake test")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("target", ["demo", "wizard", "test", "check", "bench", "install", "clean"])
def test_make_knows_the_target_and_lists_it(target: str) -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in listed


def test_make_says_what_to_install_when_no_python_fits(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((CHECKOUT / "Makefile").read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    command = ["make", "install", "PYTHON=/no/such/python"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "finetui needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "sudo apt-get install python3 python3-venv" in done.stderr


def test_make_names_the_venv_package_when_only_that_is_missing(tmp_path: Path) -> None:
    """As on Debian without python3-venv: an interpreter that fits but cannot import ensurepip."""
    (tmp_path / "Makefile").write_text((CHECKOUT / "Makefile").read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    bare = tmp_path / "python3.12"
    bare.write_text(
        "#!/bin/sh\ncase $2 in *ensurepip*) exit 1;; *print*) echo 3.12;; esac\n",
    )
    bare.chmod(0o755)
    command = ["make", "install", f"PYTHON={bare}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "sudo apt-get install python3.12-venv" in done.stderr
