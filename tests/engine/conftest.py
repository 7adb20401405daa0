"""A stand-in for NVIDIA's driver library, built once for every test that reads cards."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def driver_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the stand-in as libnvidia-ml.so.1."""
    if shutil.which("gcc") is None:
        pytest.fail(
            "gcc is needed to build the stand-in for NVIDIA's driver library: sudo apt-get install -y gcc libc6-dev"
        )
    directory = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("nvml_stub.c")
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]
    subprocess.run(["gcc", *flags, "-o", str(directory / "libnvidia-ml.so.1"), str(source)], check=True)
    return directory
