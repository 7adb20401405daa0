"""The wheel, as a user gets it: what it holds, and that it runs installed, far from the checkout.

The four packages have common names. So the program is run from a folder that has its own `data` and `engine`,
each of which raises when imported: the wrong one being found is then seen, not missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("tui_app", "presets", "engine", "data")
TWO_STEPS = [
    "training.max_steps=2",
    "training.per_device_train_batch_size=2",
    "data.generator_rows=60",
    "evaluation.max_rows=4",
]
"""Overrides that make `demo-cpu` as short as a real run can be."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with the hatchling that is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("finetui-*.whl")
    return built


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that has finetui from the wheel, and a folder to run it from."""

    environment: Path
    folder: Path

    def run(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs in the folder."""
        program = self.environment / "bin" / command[0]
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False
        )


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A new environment with only the wheel, and this environment's third-party packages behind it.

    They come in through a .pth line: Python puts that folder last on the path and does not read the .pth
    files inside it, so the editable install of the checkout, which is one of those, stays out.
    """
    root = tmp_path_factory.mktemp("clean")
    environment, folder = root / "environment", root / "project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True, timeout=120)
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    (site_packages / "third_parties.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("data", "engine"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            "raise RuntimeError('the package of the current folder was imported')\n"
        )
    return Installation(environment, folder)


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top_level = {name.partition("/")[0] for name in names}
    assert {name for name in top_level if not name.endswith(".dist-info")} == set(PACKAGES)
    assert not any("test" in Path(name).parts or "tests" in Path(name).parts for name in names)


def test_the_wheel_holds_every_file_that_is_not_python(wheel: Path) -> None:
    """Presets, type markers, and whatever data a package reads at run time."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.startswith("presets/catalog/") and name.endswith(".toml") for name in names)
    shipped = {
        path.relative_to(CHECKOUT).as_posix()
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped - names == set()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_program_is_the_wheel_and_not_the_checkout(installation: Installation) -> None:
    done = installation.run("python", "-P", "-c", "import data, engine, tui_app; print(tui_app.__file__)", seconds=60)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installation.environment)


@pytest.mark.parametrize("arguments", [["--version"], ["presets"], ["schema"]], ids=" ".join)
def test_the_installed_program_answers_among_packages_of_the_same_names(
    installation: Installation, arguments: list[str]
) -> None:
    done = installation.run("finetui", *arguments, seconds=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow(seconds=70)
def test_doctor_finds_the_installed_program_sound(installation: Installation) -> None:
    done = installation.run("finetui", "doctor", seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_installed_program_trains_two_steps_among_packages_of_the_same_names(installation: Installation) -> None:
    assert "FINETUI_HOME" in os.environ
    overrides = [part for override in TWO_STEPS for part in ("--set", override)]
    done = installation.run("finetui", "replay", "demo-cpu", *overrides, seconds=540)
    assert done.returncode == 0, done.stdout + done.stderr
    (adapter,) = Path(os.environ["FINETUI_HOME"]).rglob("adapter/adapter_model.safetensors")
    assert adapter.stat().st_size > 0
