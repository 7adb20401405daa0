"""What was asked of a run beyond its own stages: to be scored again, to be exported. One file each in `requests/`.

The recipe's own exports are requests too, made with the run. A request is carried out by the run's supervisor, so it
outlives the terminal, is shown live and can be stopped. Not here: carrying it out (`supervisor`, and the workers).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from engine.checkpoints import MANIFEST
from engine.errors import FinetuiError, RunDirError
from engine.flushing import fsync_folder
from engine.launcher import launch
from engine.liveness import liveness
from engine.run_dir import RunDir, read_json, write_atomic
from engine.run_format import refuse_newer

Stage = Literal["evaluate", "export"]
MODULES: Mapping[str, str] = {"evaluate": "engine.evaluation.worker", "export": "engine.exporters.worker"}
"""The worker that carries out each kind, started with the run, the supervisor's process and the request's number."""


@dataclass(frozen=True, slots=True)
class Request:
    """`arguments` are plain JSON values that only the worker understands. `of_recipe`: the run fails with it."""

    number: int
    stage: Stage
    title: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    of_recipe: bool = False


def add(
    run: RunDir, stage: Stage, title: str, arguments: Mapping[str, Any] | None = None, *, of_recipe: bool = False
) -> Request:
    """Write a request down for the run's next supervisor. Raises RunDirError when the disk refuses it."""
    request = Request(0, stage, title, dict(arguments or {}), of_recipe)
    values = {"stage": stage, "title": title, "arguments": request.arguments, "of_recipe": of_recipe}
    try:
        run.requests.mkdir(mode=0o700, exist_ok=True)
        number = max(_numbers(run), default=0) + 1
        while not _written_first(run.requests / f"{number}.json", json.dumps(values, indent=1)):
            number += 1
    except OSError as fault:
        raise RunDirError(
            f"{run.requests} cannot be written: {fault.strerror}.",
            means=f"Nothing was asked of the run: {title}.",
            remedy="Free space on that disk, or make the folder writable, and ask again.",
        ) from fault
    return replace(request, number=number)


def _written_first(file: Path, text: str) -> bool:
    """Write a file that must not be there yet; False where somebody else was quicker."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            try:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            except OSError:
                file.unlink()
                raise
    except FileExistsError:
        return False
    fsync_folder(file.parent)
    return True


def read(run: RunDir, number: int) -> Request:
    """One request. Raises RunDirError when it is missing or broken."""
    file = run.requests / f"{number}.json"
    values = read_json(file)
    try:
        request = Request(number, values["stage"], values["title"], values["arguments"], values["of_recipe"])
    except (KeyError, TypeError):
        request = None
    if request is None or request.stage not in MODULES or not isinstance(request.arguments, dict):
        raise RunDirError(
            f"{file} is no request that this version of finetui understands.",
            means="It is left out. The trained result, and what was made of it before, are as they were.",
            remedy="Ask for it again: `finetui eval` or `finetui export`.",
        )
    return request


def pending(run: RunDir) -> list[Request]:
    """Those not carried out yet: what somebody asked for, the oldest first, then what the recipe asks for.

    An export of the recipe that fails each time then keeps nobody from asking for another.
    """
    found = []
    for number in _open(run):
        with contextlib.suppress(RunDirError):  # `damaged` names it
            found.append(read(run, number))
    return sorted(found, key=lambda request: (request.of_recipe, request.number))


def damaged(run: RunDir) -> list[tuple[int, RunDirError]]:
    """The numbers of those that cannot be read, and why."""
    found = []
    for number in _open(run):
        try:
            read(run, number)
        except RunDirError as fault:
            found.append((number, fault))
    return found


def finish(run: RunDir, number: int, outcome: str) -> None:
    """A request is over: `done`, or why it is not tried again."""
    write_atomic(_done(run, number), outcome + "\n")


def ask(run: RunDir, stage: Stage, title: str, arguments: Mapping[str, Any]) -> Request:
    """Ask it of a trained run that nobody works on, and start its supervisor.

    Raises RunDirError when the run has no result yet or somebody works on it, DiedError as `launch` does.
    """
    refuse_newer(run)
    if (state := liveness(run)) != "dead":
        raise RunDirError(
            f"Run {run.name} is at work ({state}).",
            means=f"One thing at a time is done for a run, so this was not begun: {title}.",
            remedy=f"Ask again when it is over: finetui attach {run.typed} shows it, finetui stop {run.typed} ends it.",
        )
    if not is_ready(run):
        raise RunDirError(
            f"Run {run.name} has no trained result yet.",
            means="There is nothing to score or to export.",
            remedy=f"Let it finish first: finetui resume {run.typed}",
        )
    request = add(run, stage, title, arguments)
    try:
        supervisor = launch(run, resumed=True).process
    except FinetuiError:
        (run.requests / f"{request.number}.json").unlink(missing_ok=True)  # nobody will say that it was not done
        raise
    # Somebody has to wait for a child that ends while this process goes on, as a screen does: else it stays a zombie.
    threading.Thread(target=supervisor.wait, name=f"end of {run.name}", daemon=True).start()
    return request


def is_ready(run: RunDir) -> bool:
    """Whether a request can be carried out: the result is there, or the run is for scoring only."""
    return (run.adapter / MANIFEST).exists() or is_evaluation_only(run)


def is_evaluation_only(run: RunDir) -> bool:
    """Whether the folder was made to score a model as it is: nothing is prepared or trained there."""
    return run.manifest.exists() and read_json(run.manifest).get("kind") == "evaluation"


def _numbers(run: RunDir) -> list[int]:
    return [int(match[1]) for path in run.requests.glob("*.json") if (match := re.fullmatch(r"(\d+)\.json", path.name))]


def _open(run: RunDir) -> list[int]:
    return [number for number in sorted(_numbers(run)) if not _done(run, number).exists()]


def _done(run: RunDir, number: int) -> Path:
    return run.requests / f"{number}.done"
