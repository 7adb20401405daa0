"""What a word on the command line asks to be scored: a run, or a model of its own, which gets a folder for it.

A model's folder is a run that trains nothing, under `evaluations/` beside the runs; the same model is scored in the
same folder again, so that its answers are there. Not here: the request itself (`request`, `engine.requests`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import FinetuiError, ModelError
from engine.hardware import read_hardware
from engine.liveness import liveness
from engine.model_source import locate
from engine.recipe import Recipe
from engine.requests import is_evaluation_only
from engine.run_dir import RunDir, finetui_home, list_runs, read_json, runs_root, write_atomic
from engine.starting import manifest, prospect

KIND = "evaluation"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be scored: `model` as a recipe names it, and the adapter on it or the file that llama.cpp runs."""

    model: str
    adapter: str | None = None
    gguf: str | None = None

    @property
    def name(self) -> str:
        """A stem for its folder."""
        return Path(self.adapter or self.gguf or self.model.removeprefix("bundled:")).stem


def run_of(word: str) -> RunDir | None:
    """The run that a word names; None where it names a model. Raises RunDirError for what can only be a run."""
    for path in (runs_root() / word, finetui_home() / "evaluations" / word, Path(word)):
        if os.path.isdir(path / "events"):  # noqa: PTH112 - unlike Path.is_dir, False for names that cannot be
            return RunDir(path.resolve())
    is_model = ":" in word or "/" in word or word.lower().endswith(".gguf") or os.path.exists(word)  # noqa: PTH110
    return None if is_model else RunDir.open(word)


def subject_of(word: str) -> Subject:
    """The model that a word names: a hub id, a folder, bundled:NAME, a GGUF file or an adapter's folder.

    Raises ModelError.
    """
    path = Path(os.path.expanduser(word)).absolute()  # noqa: PTH111 - leaves an unknown ~name
    config = path / "adapter_config.json"
    if config.is_file():
        return Subject(_base_of(path, config), adapter=str(path))
    source = locate(word, base_dir=Path.cwd())
    if source.kind == "gguf":
        return Subject(str(source.path), gguf=str(source.path))
    return Subject(str(source.path) if source.kind == "folder" else word)


def _base_of(adapter: Path, config: Path) -> str:
    """The base model of an adapter: that of the run it lies in, or what its configuration names."""
    record = RunDir(adapter.parent).model
    if record.is_file():
        return str(read_json(record)["folder"])
    try:
        named = json.loads(config.read_bytes()).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as fault:
        raise ModelError(
            f"{config} cannot be read: {fault}.",
            means="It says which model the adapter was trained on.",
            remedy="Copy the adapter again, or train it anew.",
        ) from fault
    if not named:
        raise ModelError(
            f"{config} names no base model.",
            means="An adapter is a small change of one model, and nothing without it.",
            remedy='Add "base_model_name_or_path" to that file.',
        )
    return str(named)


def evaluation_run(subject: Subject, evaluation: Mapping[str, Any], offline: bool) -> RunDir:
    """The folder in which a model is scored: an earlier one of the same model, else a new one.

    `evaluation` is the recipe's section. Raises RecipeError, ModelError or RunDirError.
    """
    values = {
        "title": f"score {subject.name}"[:200],
        "model": {"name_or_path": subject.model, "offline": offline},
        "data": {"dataset": "-"},
        "evaluation": dict(evaluation),
    }
    recipe = Recipe.from_values(values)
    about = {"model": subject.model, "adapter": subject.adapter, "gguf": subject.gguf}
    for run in _earlier(about):
        if liveness(run) == "dead":
            write_atomic(run.recipe, recipe.to_toml())
            return run
    found = prospect(recipe, read_hardware(), base_dir=Path.cwd())
    run = RunDir.create(finetui_home() / "evaluations", subject.name)
    write_atomic(run.recipe, found.recipe.to_toml())
    write_atomic(run.plan(1), json.dumps(found.plan.to_json(), indent=1))
    write_atomic(run.manifest, json.dumps({**manifest(found), "kind": KIND, "about": about}, indent=1))
    return run


def _earlier(about: Mapping[str, Any]) -> Iterator[RunDir]:
    """Runs made for scoring this very model, the newest first."""
    for run in reversed(list_runs(finetui_home() / "evaluations")):
        try:
            if is_evaluation_only(run) and read_json(run.manifest).get("about") == about:
                yield run
        except FinetuiError:
            continue


def subject_in(run: RunDir) -> Subject | None:
    """What a run was made to score; None for one that trains."""
    if not is_evaluation_only(run):
        return None
    return Subject(**read_json(run.manifest)["about"])
