"""What finetui requires, in which versions it was tested, and the command that installs one of them.

`constraints.txt` beside this file is a copy of the project's own, byte for byte (a test holds that), because an
installed wheel does not have the other. Nothing is imported but `packaging`. Not here: whether a library works
(`libraries`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.doctor.finding import Finding, command

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "finetui"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
"""There in a checkout only."""
INDIRECT = ("numpy", "tokenizers", "jinja2", "httpx2")
"""Imported by finetui itself, and brought by its requirements."""
EXTRAS = ("gguf", "serve")
"""The extras for users; a library of one is looked at only where it is installed."""


class Library(NamedTuple):
    """One distribution that finetui uses; `is_optional` if it belongs to an extra."""

    requirement: Requirement
    is_optional: bool

    @property
    def name(self) -> str:
        return self.requirement.name


@functools.cache
def tested_versions() -> dict[str, str]:
    """Canonical name -> the version that finetui was tested with."""
    from packaging.utils import canonicalize_name

    pins = [line.split("==") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {canonicalize_name(pin[0]): pin[1].strip() for pin in pins if not pin[0].startswith("#")}


def required_libraries() -> list[Library]:
    """Everything that finetui requires here. Raises PackageNotFoundError where it is not installed."""
    from packaging.requirements import Requirement

    found: dict[str, Library] = {}
    for requirement in map(Requirement, _requirements()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found[requirement.name] = Library(requirement, is_optional=False)
        elif any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            found.setdefault(requirement.name, Library(requirement, is_optional=True))
    return list(found.values())


def _requirements() -> list[str]:
    """Of a checkout what its pyproject.toml says, which may be newer than its installation; else what is installed."""
    installed = importlib.metadata.requires(DISTRIBUTION) or []
    try:
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return installed
    if project.get("name") != DISTRIBUTION:
        return installed
    extras = project.get("optional-dependencies", {})
    optional = [f'{each}; extra == "{extra}"' for extra in EXTRAS for each in extras.get(extra, [])]
    return [*project.get("dependencies", []), *optional]


def version_of(name: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def version_finding(library: Library) -> Finding:
    """ok: exactly as tested; warn: in the range, tested with another; fail: out of range, or not there."""
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    name, version = library.name, version_of(library.name)
    tested = tested_versions().get(canonicalize_name(name), "")
    if version is None:
        if library.is_optional:
            return Finding(name, "ok", "not installed; optional")
        return Finding(name, "fail", "not installed", "Install it.", install(name))
    try:
        public = Version(version).public
    except InvalidVersion:
        return Finding(name, "fail", f"{version} is no version number", "Install it anew.", reinstall(name))
    if not library.requirement.specifier.contains(public, prereleases=True):
        found = f"{version} is out of range ({library.requirement.specifier}); tested with {tested}"
        return Finding(name, "fail", found, "Install the tested version.", install(name))
    if tested and Version(public) != Version(tested):
        found = f"{version}, in range; tested with {tested}"
        return Finding(name, "warn", found, "If something does not work, install the tested version.", install(name))
    return Finding(name, "ok", f"{version}, as tested")


def installer() -> list[str]:
    """The words that install packages into this environment: pip, or uv where an environment was made without pip."""
    if importlib.util.find_spec("pip") is None and (uv := shutil.which("uv")):
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install"]


def pinned(name: str) -> str:
    """`name==version` as tested; the bare name of what was not."""
    from packaging.utils import canonicalize_name

    tested = tested_versions().get(canonicalize_name(name))
    return f"{name}=={tested}" if tested else name


def install(name: str) -> str:
    """The command that installs the tested version of a distribution."""
    return command(*installer(), pinned(name))


def reinstall(name: str) -> str:
    """The same, also where that version seems to be installed; what it depends on stays."""
    return command(*installer(), "--force-reinstall", "--no-deps", pinned(name))
