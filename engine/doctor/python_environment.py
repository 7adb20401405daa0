"""The Python that runs finetui, and what may bring another one, or another package, into its way.

Lives here: version, kind of environment, PYTHONPATH, user site, doubled packages, the programs called finetui on PATH.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import shutil
import site
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import engine
from engine.doctor import versions
from engine.doctor.finding import Finding, command

OWN_MODULES = ("tui_app", "presets", "engine", "data")
PYTHONS = ("python3.12", "python3.13", "python3.11")
"""Those that finetui runs on, the most widely packaged first."""


def python_environment(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Everything about Python that keeps a run from meeting the packages it was installed with."""
    yield python_version()
    yield environment_kind(environ)
    yield installed_program()
    yield programs_on_path(environ.get("PATH", ""), Path(sys.executable).parent)
    yield python_path(environ)
    yield from user_site()
    yield from doubled_packages(sys.path)


def python_version() -> Finding:
    """Whether this Python is one that the installed finetui says it runs on."""
    from packaging.specifiers import SpecifierSet

    found = f"{platform.python_version()} at {sys.executable}"
    asked = importlib.metadata.metadata(versions.DISTRIBUTION)["Requires-Python"] or ""
    if SpecifierSet(asked).contains(platform.python_version(), prereleases=True):
        return Finding("python", "ok", found)
    remedy = f"finetui needs Python {asked}: make a new environment with one, and install finetui there."
    fitting = next((name for name in PYTHONS if shutil.which(name)), None)
    mend = f"{fitting} -m venv .venv" if fitting else "sudo apt-get install python3 python3-venv"
    return Finding("python", "fail", found, remedy, mend)


def environment_kind(environ: Mapping[str, str]) -> Finding:
    """venv, conda or the system's own; conda's packages among pip's are told."""
    mixed = conda_packages(Path(sys.prefix))
    if mixed:
        found = f"conda environment {sys.prefix}; from conda itself: {', '.join(mixed)}"
        remedy = "finetui was tested with pip's builds; the two kinds of builds mix badly. Use a venv."
        return Finding("environment", "warn", found, remedy, command(sys.executable, "-m", "venv", ".venv"))
    if (Path(sys.prefix) / "conda-meta").is_dir():
        return Finding("environment", "ok", f"conda environment {sys.prefix}, libraries from pip")
    if sys.prefix != sys.base_prefix:
        other = environ.get("VIRTUAL_ENV", "")
        if other and Path(other).resolve() != Path(sys.prefix).resolve():
            found = f"venv {sys.prefix}, while {other} is activated"
            remedy = "What you install goes into the activated one. Activate the environment that finetui runs in."
            return Finding("environment", "warn", found, remedy, activation(Path(sys.prefix)))
        return Finding("environment", "ok", f"venv {sys.prefix}")
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return Finding("environment", "ok", f"the container's own Python, {sys.prefix}")
    found = f"the system's own Python, {sys.prefix}: an update of the system may change its packages"
    make = command(sys.executable, "-m", "venv", str(Path.home() / "finetui-env"))
    return Finding("environment", "warn", found, "Install finetui into an environment of its own.", make)


def conda_packages(prefix: Path) -> list[str]:
    """Names of libraries required by finetui that conda installed into `prefix`."""
    names = {library.name.lower().replace("_", "-") for library in versions.required_libraries()}
    names |= {"numpy"}
    records = [path.stem.rsplit("-", 2)[0] for path in prefix.glob("conda-meta/*.json")]
    found = {"torch" if record == "pytorch" else record for record in records}
    return sorted(names & found)


def activation(prefix: Path) -> str:
    """The command that activates a venv."""
    return command(".", str(prefix / "bin" / "activate"))


def installed_program() -> Finding:
    """Whether the code that runs is that of the installed distribution."""
    running = Path(engine.__file__ or "").resolve().parent.parent
    distribution = importlib.metadata.distribution(versions.DISTRIBUTION)
    installed, is_editable = _installed_at(distribution)
    version = distribution.version
    if installed == running:
        if is_editable and not _requires_the_same(distribution):
            found = f"{version} at {running}: its pyproject.toml requires other libraries than when it was installed"
            install = command(*versions.installer(), "-e", str(running))
            return Finding("finetui", "warn", found, "Install this checkout again.", install)
        kind = "this checkout (editable)" if is_editable else "installed"
        return Finding("finetui", "ok", f"{version}, {kind}, at {running}")
    found = f"runs from {running}, while finetui {version} is installed from {installed}"
    remedy = "Start the installed one from another folder, or install this folder."
    install = command(*versions.installer(), "-e", str(running))
    return Finding("finetui", "warn", found, remedy, install)


def _installed_at(distribution: importlib.metadata.Distribution) -> tuple[Path, bool]:
    """The folder that holds an installed distribution's packages, and whether it is an editable install."""
    origin = distribution.read_text("direct_url.json")
    if origin:
        told = json.loads(origin)
        if told.get("dir_info", {}).get("editable"):
            return Path(str(told["url"]).removeprefix("file://")).resolve(), True
    return Path(str(distribution.locate_file(""))).resolve(), False


def _requires_the_same(distribution: importlib.metadata.Distribution) -> bool:
    """Whether a checkout's dependencies are those that were recorded when it was installed."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    recorded = [each for each in map(Requirement, distribution.requires or []) if each.marker is None]
    wanted = [each.requirement for each in versions.required_libraries() if not each.is_optional]
    names = [{(canonicalize_name(each.name), each.specifier) for each in side} for side in (recorded, wanted)]
    return names[0] == names[1]


def programs_on_path(path: str, own: Path) -> Finding:
    """The programs called finetui on a PATH, and whether the first is that of the folder `own`."""
    folders = list(dict.fromkeys(Path(part) for part in path.split(os.pathsep) if part))
    programs = [folder / "finetui" for folder in folders if os.access(folder / "finetui", os.X_OK)]
    distinct = list({program.resolve(): program for program in reversed(programs)}.values())[::-1]
    mine = own / "finetui"
    if not distinct:
        here = mine if mine.is_file() else own
        return Finding("PATH", "ok", f"no finetui on PATH; this one is {here}", "", activation(own.parent))
    if not mine.exists() or distinct[0].resolve() == mine.resolve():
        others = f"; also there: {', '.join(map(str, distinct[1:]))}" if distinct[1:] else ""
        return Finding("PATH", "ok", f"`finetui` is {distinct[0]}{others}")
    found = f"`finetui` is {distinct[0]}, not this one ({mine})"
    remedy = "Activate this environment, so that one name means one program."
    return Finding("PATH", "warn", found, remedy, activation(own.parent))


def python_path(environ: Mapping[str, str]) -> Finding:
    """What PYTHONPATH and PYTHONHOME put before the installed packages."""
    value = environ.get("PYTHONPATH", "")
    if "PYTHONHOME" in environ:
        found = f"PYTHONHOME={environ['PYTHONHOME']} replaces Python's own library"
        return Finding("PYTHONPATH", "warn", found, "It belongs to no environment.", "unset PYTHONHOME")
    folders = [Path(part) for part in value.split(os.pathsep) if part]
    if not folders:
        return Finding("PYTHONPATH", "ok", "not set")
    own = Path(engine.__file__ or "").resolve().parent.parent
    covered = sorted(
        {name for folder in folders if folder.resolve() != own for name in used_modules() if _holds(folder, name)}
    )
    if not covered:
        return Finding("PYTHONPATH", "ok", f"{value}: hides nothing that finetui uses")
    found = f"{value} holds {', '.join(covered)}, which is taken instead of what is installed"
    return Finding("PYTHONPATH", "fail", found, "Start finetui without it.", "unset PYTHONPATH")


@functools.cache
def used_modules() -> tuple[str, ...]:
    """Names that finetui and its processes import: its own packages and the libraries."""
    from engine.doctor.libraries import module_of

    libraries = [module_of(library.name) for library in versions.required_libraries()]
    return (*OWN_MODULES, *versions.INDIRECT, *libraries)


def _holds(folder: Path, module: str) -> bool:
    top = module.partition(".")[0]
    return (folder / f"{top}.py").is_file() or any((folder / top).glob("*.py"))


def user_site() -> Iterator[Finding]:
    """Libraries taken from ~/.local although finetui lies in an environment elsewhere."""
    place = site.getusersitepackages()
    if not site.ENABLE_USER_SITE or place not in sys.path:
        return
    own = Path(engine.__file__ or "").resolve()
    taken = sorted(name for name in used_modules() if _holds(Path(place), name))
    if taken and not own.is_relative_to(Path(place)):
        found = f"{place} holds {', '.join(taken)} besides this environment"
        yield Finding("user site", "warn", found, "Leave it out.", "export PYTHONNOUSERSITE=1")


def doubled_packages(path: Sequence[str]) -> Iterator[Finding]:
    """Libraries of which the folders of `path` hold more than one version: which is imported is chance."""
    for name in (*sorted(library.name for library in versions.required_libraries()), *versions.INDIRECT):
        found = {
            str(each.locate_file("")): each.version
            for each in importlib.metadata.distributions(name=name, path=list(path))
        }
        if len(set(found.values())) > 1:
            told = ", ".join(f"{version} in {place}" for place, version in found.items())
            remedy = "Remove them all, then install one."
            again = f"{command(sys.executable, '-m', 'pip', 'uninstall', '-y', name)} && {versions.install(name)}"
            yield Finding(f"{name} twice", "warn", told, remedy, again)
