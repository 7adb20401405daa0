"""All areas in the order in which they are told: what is quick first, while libraries are tried in the background."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from engine.doctor import libraries as libs
from engine.doctor import versions
from engine.doctor.arithmetic import arithmetic
from engine.doctor.demo_model import demo_model
from engine.doctor.devices import devices
from engine.doctor.failed_runs import failed_run
from engine.doctor.finding import Finding
from engine.doctor.hub import hub
from engine.doctor.limits import limits
from engine.doctor.python_environment import python_environment
from engine.doctor.storage import storage
from engine.doctor.trying import Answers, in_background, reason_of
from engine.hardware import read_hardware
from engine.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """The model to look at; `name` as in model.name_or_path, `base_dir` where its relative paths start."""

    name: str
    base_dir: Path
    revision: str | None = None
    is_offline: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be looked at: the machine for runs under `run_root`, and where named one model and one run.

    `is_quick` imports no library and asks no hub; `is_offline` sends nothing.
    """

    run_root: Path
    model: ModelAsked | None = None
    run: RunDir | None = None
    is_quick: bool = False
    is_offline: bool = False


class Area(NamedTuple):
    """What belongs together, in its order."""

    title: Literal["run", "Python", "machine", "disks", "model hub", "model", "device", "libraries", "arithmetic"]
    findings: tuple[Finding, ...]


def diagnose(asked: Asked) -> Iterator[Area]:
    """Area by area; the last ones wait until the libraries were imported. Nothing is raised for what is found."""
    if missing := _cannot_compare():
        yield Area("Python", (missing,))
        return
    disks = (*storage(asked.run_root), demo_model())  # before others keep the disk busy: its speed is measured
    tried = None if asked.is_quick else in_background([*libs.import_tasks(), *libs.compute_tasks()], libs.spoils)
    told = _hub_tasks(asked)
    hardware = read_hardware(asked.run_root)
    if asked.run is not None:
        yield Area("run", tuple(failed_run(asked.run, hardware)))
    yield Area("Python", tuple(python_environment()))
    yield Area("machine", tuple(limits(hardware)))
    yield Area("disks", disks)
    if told is not None:
        answers = told.result()
        for task, answer in answers.items():
            if task.startswith("hub"):
                yield Area("model hub", tuple(hub(answer)))
            else:
                yield Area("model", tuple(_model(answer)))
    answers = tried.result() if tried is not None else {}
    yield Area("device", tuple(devices(hardware, answers.get("torch"))))
    yield Area("libraries", tuple(libs.libraries(answers)))
    if answers:
        yield Area("arithmetic", tuple(arithmetic(answers)))


def _cannot_compare() -> Finding | None:
    """The one finding without which no other can be made."""
    if importlib.util.find_spec("packaging") is None:
        mend = " ".join([*versions.installer(), "packaging"])
        return Finding("packaging", "fail", "not installed, so no version can be compared", "Install it.", mend)
    try:
        importlib.metadata.requires(versions.DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        mend = " ".join([*versions.installer(), "-e", "."])
        found = "not installed in this environment"
        return Finding(versions.DISTRIBUTION, "fail", found, "Install it, in its source folder.", mend)
    return None


def _hub_tasks(asked: Asked) -> Future[Answers] | None:
    """The hub and the model, asked in a process of their own: its libraries may be broken, the network slow."""
    tasks = [] if asked.is_quick else ["hub offline" if asked.is_offline else "hub online"]
    if asked.model is not None:
        words = {
            "name": asked.model.name,
            "base_dir": str(asked.model.base_dir),
            "revision": asked.model.revision,
            "is_offline": asked.model.is_offline or asked.is_offline,
            "trust_remote_code": asked.model.trust_remote_code,
        }
        tasks.append(f"model {json.dumps(words)}")
    return in_background(tasks) if tasks else None


def _model(answer: dict[str, object]) -> Iterator[Finding]:
    stored = answer.get("findings")
    if isinstance(stored, list):
        yield from map(Finding.from_json, stored)
    else:
        found = f"could not be looked at: {reason_of(answer) or 'the time was over'}"
        yield Finding("model", "fail", found, "Mend the libraries first.", "finetui doctor")
