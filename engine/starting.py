"""From a recipe to a run folder that a supervisor can take charge of.

Lives here: finding the recipe that a word on the command line means, resolving its paths, the plan, the
manifest. Not here: starting the process (`launcher`) and presets (`presets`, one layer up).
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import requests
from engine.data_request import missing_rows
from engine.errors import DataError, RecipeError, RunDirError
from engine.hardware import Hardware
from engine.model_facts import model_facts
from engine.model_shape import ModelShape
from engine.model_source import locate
from engine.plan import Plan, plan
from engine.recipe import Problem, Recipe, recipe_error
from engine.recipe_sections import Section
from engine.run_dir import RunDir, runs_root, write_atomic
from engine.run_format import RUN_FORMAT
from engine.units import format_bytes

STACK = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "tokenizers", "finetui")
MIN_FREE_BYTES = 1024**3


@dataclasses.dataclass(frozen=True, slots=True)
class Prospect:
    """A recipe with paths made absolute, its plan on this machine, and the model's config and shape if known."""

    recipe: Recipe
    plan: Plan
    config: Mapping[str, Any] | None
    """The model's config.json, or what its GGUF header says."""
    shape: ModelShape | None
    hardware: Hardware
    notes: tuple[str, ...]
    chosen_fields: frozenset[str]
    """The fields that the recipe or --set names; the others have their defaults."""
    missing_rows: DataError | None


def prospect(recipe: Recipe, hardware: Hardware, *, base_dir: Path) -> Prospect:
    """Resolve a recipe without changing anything on disk. Raises RecipeError or ModelError."""
    settled = with_absolute_paths(recipe, base_dir)
    config, shape, notes = model_facts(settled, base_dir)
    for problem in (*metric_problems(settled), *export_problems(settled, config)):
        notes = (*notes, f"{problem} A run is refused until then.")
    missing = missing_rows(settled, base_dir)
    if missing:
        notes = (*notes, f"{missing.happened} A run is refused until then.")
    return Prospect(
        recipe=settled,
        plan=plan(settled, hardware, shape),
        config=config,
        shape=shape,
        hardware=hardware,
        notes=notes,
        chosen_fields=chosen_fields(recipe),
        missing_rows=missing,
    )


def chosen_fields(recipe: Recipe) -> frozenset[str]:
    """Dotted names of the fields that were written down."""
    sections = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    return frozenset(
        f"{name}.{field}"
        for name, section in sections.items()
        if isinstance(section, Section)
        for field in section.model_fields_set
    )


def with_absolute_paths(recipe: Recipe, base_dir: Path) -> Recipe:
    """Paths that exist relative to the recipe's folder, or to the current one, made absolute."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    for section, field in (
        ("model", "name_or_path"),
        ("data", "dataset"),
        ("data", "eval_dataset"),
        ("data", "test_dataset"),
        ("evaluation", "grammar"),
        ("run", "root"),
    ):
        written = values[section].get(field)
        if written is None or written.startswith(("bundled:", "generator:")):
            continue
        # os.path, because Path raises for an unknown ~user and for names longer than a file's can be.
        expanded = os.path.expanduser(written)  # noqa: PTH111
        for candidate in (base_dir / expanded, Path.cwd() / expanded):
            if os.path.exists(candidate):  # noqa: PTH110
                values[section][field] = str(candidate.resolve())
                break
    return Recipe.from_values(values)


def create_run(found: Prospect, *, name: str, called: str = "") -> RunDir:
    """Make the run folder: recipe, first plan, manifest. It is numbered after `name`, unless it is to be `called` so.

    Raises RunDirError when there is no room, ModelError when the model's folder is not complete.
    """
    refuse_unready(found)
    root = runs_root(found.recipe.run.root)
    run = RunDir.create(root, found.recipe.run.name or name, name=called)
    with run.gone_unless_made():
        require_room(root, run)
        write_atomic(run.recipe, found.recipe.to_toml())
        write_atomic(run.plan(1), json.dumps(found.plan.to_json(), indent=1))
        write_atomic(run.manifest, json.dumps(manifest(found), indent=1))
        if wanted := found.recipe.export.to:
            title = f"Export to {', '.join(wanted)}"
            requests.add(run, "export", title, export_request(found.recipe), of_recipe=True)
    return run


def require_room(root: Path, run: RunDir) -> None:
    """Raises RunDirError where a run would soon find the disk full."""
    free = shutil.disk_usage(run.path).free
    if free < MIN_FREE_BYTES:
        raise RunDirError(
            f"The disk of {root} has {format_bytes(free)} free; a run wants {format_bytes(MIN_FREE_BYTES)} at least.",
            means="The run was not started.",
            remedy="Free space there, or choose another place with FINETUI_HOME or --set run.root=/some/folder.",
        )


def refuse_unready(found: Prospect) -> None:
    """Raise what is known to keep the run from its end, before anything is made: rows, scores, exports, the model."""
    if found.missing_rows:
        raise found.missing_rows
    if problems := [*metric_problems(found.recipe), *export_problems(found.recipe, found.config)]:
        raise recipe_error(problems)
    locate(found.recipe.model.name_or_path, base_dir=Path.cwd())  # a plan needs less of a folder than a run


def metric_problems(recipe: Recipe) -> list[Problem]:
    """What keeps the metrics of the recipe from being measured after training: a grammar that is not there."""
    if not recipe.evaluation.enabled:
        return []
    from engine.evaluation.metrics import asked

    found = [fault for metric in asked(recipe.evaluation.metrics) for fault in metric.problems(recipe.evaluation)]
    return [Problem(*fault) for fault in dict.fromkeys(found)]


def export_problems(
    recipe: Recipe, config: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> list[Problem]:
    """What is in the way of the exports that a recipe, or somebody's request, asks for: known before anything is made.

    `config` is the base model's config.json, None where it is not known yet. `settings` are those of a request.
    """
    if settings is None:
        settings = {"to": recipe.export.to, "quantizations": [recipe.export.quantization]}
    if not settings["to"]:
        return []
    from engine.exporters import all_exporters, in_order
    from engine.gguf_runtime.file_types import WITHOUT_MATRIX

    exporters = all_exporters()
    if absent := [name for name in settings["to"] if name not in exporters]:
        return [Problem("export.to", f"this version cannot make {', '.join(absent)}.", "Leave it out.")]
    imatrix = settings.get("imatrix", recipe.export.imatrix)
    found: list[Problem] = []
    quantizations = settings["quantizations"] or [recipe.export.quantization]
    takes_none = all(each in WITHOUT_MATRIX for each in quantizations)
    for quantization in quantizations:
        by_matrix = imatrix and (takes_none or quantization not in WITHOUT_MATRIX)
        wanted = {"to": list(settings["to"]), "quantization": quantization, "imatrix": by_matrix}
        asked = recipe.model_copy(update={"export": recipe.export.model_copy(update=wanted)})
        for name in in_order(list(settings["to"])):
            found += [each for each in exporters[name].problems(asked, config) if each not in found]
    return found


def export_request(recipe: Recipe) -> dict[str, Any]:
    """The settings of the request that a recipe's `export` stands for."""
    export = recipe.export
    return {
        "to": list(export.to),
        "quantizations": [export.quantization],
        "imatrix": export.imatrix,
        "rows": None,
        "output": None,
        "force": False,
        "repo": None,
        "push": False,
        "private": False,
        "name": None,
        "device": "cpu",
    }


def manifest(found: Prospect) -> dict[str, Any]:
    """From what the run was made. Hashes of model and rows join it once they are ready (model.json, prepared.json)."""
    return {
        "version": RUN_FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_sha256": found.recipe.sha256(),
        "recipe": found.recipe.model_dump(mode="json", exclude_none=True),
        "seed": found.recipe.training.seed,
        "device": found.plan.device,
        "device_name": found.plan.device_name,
        "versions": versions(),
        "hardware": found.hardware.to_json(),
        "git": git_state(Path.cwd()),
    }


def versions() -> dict[str, str]:
    """Installed versions of the libraries that decide the numbers."""
    import platform

    found = {"python": platform.python_version()}
    for name in STACK:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the user's folder, None where it is no git checkout."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
        status = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.stdout.strip(), "clean": not status.stdout.strip()}


def require_recipe_file(path: Path) -> Path:
    """The path, if a recipe can be read there. Raises RecipeError."""
    if not path.is_file():
        raise RecipeError(
            f"{path} is no preset, recipe file or run.",
            means="Nothing was started.",
            remedy="`finetui presets` lists presets, `finetui runs` runs; a recipe is a TOML file.",
        )
    return path
