"""The model that the demo trains, which comes as a package: whether it is there, whole."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from engine.bundled_models import BUNDLED_MODELS
from engine.doctor import versions
from engine.doctor.finding import Finding
from engine.units import format_bytes

BUNDLED_MODEL = BUNDLED_MODELS[0].distribution
BUNDLED_MODEL_COMMAND = f"{sys.executable} -m {BUNDLED_MODELS[0].install_command}"


def demo_model() -> Finding:
    """The package's GGUF file, located and measured against the package's own record."""
    name = "bundled model"
    try:
        files = importlib.metadata.files(BUNDLED_MODEL) or []
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "warn", "not installed", "The preset demo-cpu needs it.", BUNDLED_MODEL_COMMAND)
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file() and path.stat().st_size == (file.size or path.stat().st_size):
            size = format_bytes(path.stat().st_size)
            return Finding(name, "ok", f"{versions.version_of(BUNDLED_MODEL)}, {size} at {path}")
    found = "installed, but its GGUF file is missing or cut short"
    again = f"{BUNDLED_MODEL_COMMAND} --force-reinstall --no-cache-dir"
    return Finding(name, "fail", found, "Install it anew.", again)
