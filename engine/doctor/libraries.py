"""Every library that finetui uses: its version, and whether it imports.

The imports happen in the worker process (`trying`), so a broken library becomes a finding and not the doctor's end.
Not here: whether it computes right (`arithmetic`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterator

from engine.doctor import versions
from engine.doctor.finding import Finding, Status
from engine.doctor.trying import Answers, reason_of
from engine.doctor.versions import DISTRIBUTION, Library

MODULES = {
    "nvidia-ml-py": "pynvml",
    "pyyaml": "yaml",
    "llama-cpp-python": "llama_cpp.llama_cpp",
}
"""Distributions whose module is called otherwise."""
FIRST = (
    "numpy",
    "jinja2",
    "httpx2",
    "torch",
    "transformers",
    "tokenizers",
    "bitsandbytes",
    "accelerate",
    "peft",
    "trl",
)
"""In the order in which one builds on the other: the first that fails is the one to mend."""
COMPUTED_WITH = {
    "torch": ("torch",),
    "trainer": ("torch", "transformers", "accelerate", "datasets", "trl"),
    "four_bit": ("torch", "bitsandbytes"),
    "eight_bit": ("torch", "bitsandbytes"),
    "gguf": ("numpy", "gguf", "llama-cpp-python"),
}
"""What the worker's tasks need besides finetui."""


def module_of(name: str) -> str:
    """The module that a distribution is imported as."""
    return MODULES.get(name.lower(), name.replace("-", "_"))


def import_tasks() -> list[str]:
    """The worker's tasks that import every installed library, those that others build on first."""
    names = [library.name for library in versions.required_libraries() if versions.version_of(library.name)]
    wanted = [
        *(name for name in FIRST if name in (*names, *versions.INDIRECT)),
        *(name for name in names if name not in FIRST),
    ]
    return [f"import {module_of(name)}" for name in wanted]


def compute_tasks() -> list[str]:
    """The worker's tasks that use the libraries, the riskiest last."""
    tasks = ["torch", "trainer", "eight_bit", "four_bit"]
    return [*tasks, "gguf"] if versions.version_of("llama-cpp-python") else tasks


def spoils(bad: str, task: str) -> bool:
    """Whether a task needs the library that another task failed to import."""
    if not bad.startswith("import ") or bad == task:
        return False
    name = _name_of(bad.removeprefix("import "))
    if not task.startswith("import "):
        return name in COMPUTED_WITH.get(task, ())
    return name in _requirements_of(_name_of(task.removeprefix("import ")))


def _name_of(module: str) -> str:
    known = [*versions.INDIRECT, *(library.name for library in versions.required_libraries())]
    return next((name for name in known if module_of(name) == module), module)


@functools.cache
def _requirements_of(name: str) -> frozenset[str]:
    """Canonical names of everything that a distribution requires, and what those require."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    waiting = [name]
    while waiting:
        try:
            texts = importlib.metadata.requires(waiting.pop()) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for text in texts:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            required = canonicalize_name(requirement.name)
            if required not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                found.add(required)
                waiting.append(required)
    return frozenset(found)


def libraries(answers: Answers) -> Iterator[Finding]:
    """One finding for each library: its version, and what its import came to; `answers` is empty if none was tried."""
    try:
        required = versions.required_libraries()
    except importlib.metadata.PackageNotFoundError:
        remedy = "In finetui's source folder, install it."
        yield Finding(DISTRIBUTION, "fail", "not installed in this environment", remedy, _install_here())
        return
    for library in sorted(required, key=lambda each: (each.is_optional, each.name.lower())):
        found = versions.version_finding(library)
        yield _with_import(found, library, answers) if answers else found
    for name in versions.INDIRECT:
        yield from _indirect(name, answers)
    if (answer := answers.get("trainer", {})) and (reason := reason_of(answer)):
        told = f"TRL's SFTTrainer cannot be loaded: {reason}"
        yield Finding("trainer", "fail", told, "Install it anew, as tested.", versions.reinstall("trl"))


def _install_here() -> str:
    return f"{' '.join(versions.installer())} -e ."


def _indirect(name: str, answers: Answers) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    if versions.version_of(name) or answers:
        found = versions.version_finding(Library(Requirement(name), is_optional=False))
        yield _with_import(found, Library(Requirement(name), is_optional=False), answers) if answers else found


def _with_import(found: Finding, library: Library, answers: Answers) -> Finding:
    answer = answers.get(f"import {module_of(library.name)}")
    if answer is None:
        return found
    if blamed := answer.get("untried"):
        name = _name_of(str(blamed).removeprefix("import "))
        status: Status = "fail" if found.status == "fail" else "warn"
        told = f"{found.found}; not tried: {f'it needs {name}' if str(blamed).startswith('import ') else blamed}"
        return dataclasses.replace(found, status=status, found=told, remedy=found.remedy or f"Mend {name} first.")
    if reason := reason_of(answer):
        told = f"{versions.version_of(library.name)} does not import: {reason}"
        remedy = "Install it anew, as tested." + _hint(reason)
        return Finding(library.name, "fail", told, remedy, versions.reinstall(library.name))
    return dataclasses.replace(found, found=f"{found.found}, imports")


def _hint(reason: str) -> str:
    """What a reason means beyond a broken installation."""
    if "SIGILL" in reason:
        return " It may be built for another processor than this one."
    if "GLIBC" in reason or "manylinux" in reason:
        return " It is built for a newer system than this one: ldd --version tells this one's."
    if "CXXABI" in reason or "GLIBCXX" in reason:
        return " An older libstdc++ comes first: look at LD_LIBRARY_PATH, or whether conda is active."
    if "cannot open shared object file" in reason:
        return " A shared library is missing: look at LD_LIBRARY_PATH."
    return ""
