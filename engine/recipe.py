"""Recipe: everything the user wants, complete and validated. One TOML file, the unit of replay.

Lives here: reading, judging (all faults at once, each with field, nearest key and remedy), overriding and
writing. Not here: the fields themselves (`recipe_sections`) and what a machine makes of them (`plan`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, Field, ValidationError

from engine.errors import RecipeError
from engine.recipe_sections import (
    AdapterSection,
    DataSection,
    EvaluationSection,
    ExportSection,
    LadderSection,
    MemorySection,
    ModelSection,
    RunSection,
    Section,
    TrainingSection,
)
from engine.units import parse_bytes

RECIPE_VERSION = 1

# What users of other tools type, and where it went.
FOREIGN_KEYS = {
    "load_in_4bit": 'adapter.method = "qlora"',
    "model.load_in_4bit": 'adapter.method = "qlora"',
    "batch_size": "training.per_device_train_batch_size",
    "epochs": "training.num_train_epochs",
    "lr": "training.learning_rate",
    "lora_r": "adapter.r",
    "max_seq_length": "training.max_length",
    "warmup_ratio": "training.warmup_steps (a value below 1 is a share)",
    "fp16": 'model.dtype = "float16"',
    "bf16": 'model.dtype = "bfloat16"',
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a recipe: the field (dotted), what is wrong, what to do."""

    field: str
    happened: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.happened}" + (f" {self.remedy}" if self.remedy else "")


class Recipe(Section):
    """A whole recipe. Build it with `parse`, `load` or `from_values`: they report every fault at once."""

    version: int = Field(RECIPE_VERSION, ge=1, le=RECIPE_VERSION, description="Version of the recipe's layout.")
    title: str = Field("", description="One line on what this recipe does.")
    description: str = Field("", description="A few sentences on what it is for and what to expect.")
    hardware: str = Field("", description="The machine it is meant for; `finetui plan` judges the one at hand.")
    model: ModelSection
    data: DataSection
    adapter: AdapterSection = Field(default_factory=lambda: AdapterSection.model_validate({}))
    training: TrainingSection = Field(default_factory=lambda: TrainingSection.model_validate({}))
    memory: MemorySection = Field(default_factory=lambda: MemorySection.model_validate({}))
    ladder: LadderSection = Field(default_factory=lambda: LadderSection.model_validate({}))
    evaluation: EvaluationSection = Field(default_factory=lambda: EvaluationSection.model_validate({}))
    export: ExportSection = Field(default_factory=lambda: ExportSection.model_validate({}))
    run: RunSection = Field(default_factory=lambda: RunSection.model_validate({}))

    def to_toml(self) -> str:
        """The recipe as TOML, every field named; the same recipe gives the same bytes."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def sha256(self) -> str:
        """Hash of everything that changes the result: all but title, description, hardware and run."""
        values = self.model_dump(mode="json", exclude={"title", "description", "hardware", "run"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Recipe:
        """Validate plain values. Raises RecipeError listing every fault."""
        try:
            recipe = Recipe.model_validate(values)
        except ValidationError as fault:
            raise recipe_error(_problem(error) for error in fault.errors()) from None
        if problems := cross_problems(recipe):
            raise recipe_error(problems)
        return recipe

    @staticmethod
    def parse(text: str, *, name: str = "the recipe", overrides: Iterable[str] = ()) -> Recipe:
        """Read TOML text and apply `section.key=value` overrides. Raises RecipeError."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise RecipeError(
                f"{name} is not valid TOML: {fault}.",
                means="Nothing was started.",
                remedy="Mend that line; texts need quotes, tables stand in [brackets].",
            ) from None
        for override in overrides:
            _apply(values, override)
        return Recipe.from_values(values)

    @staticmethod
    def load(path: Path, *, overrides: Iterable[str] = ()) -> Recipe:
        """Read a recipe file. Raises RecipeError when it is missing, unreadable or wrong."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise RecipeError(
                f"{path} cannot be read as a recipe: {fault}.",
                remedy="Name a TOML file, a preset (`finetui presets`) or a run folder.",
            ) from None
        return Recipe.parse(text, name=str(path), overrides=overrides)


def recipe_error(problems: Iterable[Problem]) -> RecipeError:
    """One error that lists all faults."""
    lines = [f"  {problem}" for problem in problems]
    count = f"{len(lines)} faults" if len(lines) > 1 else "a fault"
    return RecipeError(
        f"The recipe has {count}:\n" + "\n".join(lines),
        means="Nothing was started.",
        remedy="`finetui schema` describes every field.",
    )


def cross_problems(recipe: Recipe) -> list[Problem]:
    """Faults between fields, which no single field shows."""
    found = []
    adapter, data, evaluation = recipe.adapter, recipe.data, recipe.evaluation
    if adapter.method == "full" and (adapter.use_dora or adapter.use_rslora):
        found.append(
            Problem(
                "adapter.method",
                "full trains no adapter, but use_dora or use_rslora is on.",
                'Choose "lora" or "qlora", or turn them off.',
            )
        )
    if isinstance(adapter.target_modules, list) and not adapter.target_modules:
        found.append(Problem("adapter.target_modules", "names no layer.", 'Use "all-linear" or name some.'))
    if recipe.memory.limit is not None:
        try:
            parse_bytes(recipe.memory.limit)
        except ValueError as fault:
            found.append(Problem("memory.limit", f"{fault}", 'Write it as "6GiB".'))
    for field, pattern in (("answer_pattern", evaluation.answer_pattern), ("group_pattern", evaluation.group_pattern)):
        if pattern is not None and (fault_text := _pattern_fault(pattern)):
            found.append(Problem(f"evaluation.{field}", fault_text, "It needs one group in parentheses."))
    if "examples" in evaluation.baselines and evaluation.group_pattern is None:
        found.append(
            Problem(
                "evaluation.baselines",
                "examples takes one row per group, but group_pattern is unset.",
                "Set evaluation.group_pattern, or leave examples out.",
            )
        )
    if data.eval_fraction + data.test_fraction >= 1:
        found.append(Problem("data.eval_fraction", "with test_fraction it leaves no rows to train on.", "Lower them."))
    if data.unseen_answers and not data.test_fraction and data.test_dataset is None:
        found.append(Problem("data.unseen_answers", "there is no test split to put them in.", "Set test_fraction."))
    if evaluation.enabled and not data.test_fraction and data.test_dataset is None:
        found.append(
            Problem(
                "evaluation.enabled",
                "there is no test split to score.",
                "Set data.test_fraction or data.test_dataset, or evaluation.enabled = false.",
            )
        )
    return found


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def field_names() -> list[str]:
    """Every field of a recipe, dotted."""
    names = []
    for name, info in Recipe.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names += [f"{name}.{field}" for field in section.model_fields]
        else:
            names.append(name)
    return names


def _pattern_fault(pattern: str) -> str:
    try:
        groups = re.compile(pattern, re.MULTILINE).groups
    except re.error as fault:
        return f"is no regular expression: {fault}."
    return "" if groups == 1 else f"has {groups} groups."


def _problem(error: Any) -> Problem:
    location = [str(part) for part in error["loc"] if not str(part).startswith(("literal[", "list[", "constrained-"))]
    field = ".".join(location[:2] if location[0] in Recipe.model_fields else location)
    if error["type"] == "extra_forbidden":
        return Problem(field, "is no field of a recipe.", _nearest(field))
    if error["type"] == "missing":
        return Problem(field, "is missing.", "Every recipe names it.")
    given = error.get("input")
    shown = f" (given: {given!r:.80})" if not isinstance(given, dict) else ""
    return Problem(field, f"{error['msg'][:1].lower()}{error['msg'][1:]}{shown}.", "")


def _nearest(field: str) -> str:
    last = field.rpartition(".")[2]
    if target := FOREIGN_KEYS.get(field) or FOREIGN_KEYS.get(last):
        return f"finetui spells it {target}."
    names = field_names()
    by_last = [name for name in names if name.rpartition(".")[2] == last]
    near = by_last or difflib.get_close_matches(field, names, n=1, cutoff=0.6)
    if not near:
        near = [n for n in names if difflib.get_close_matches(last, [n.rpartition(".")[2]], n=1, cutoff=0.7)]
    return f"Did you mean {near[0]}?" if near else "`finetui schema` lists the fields."


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or len(parts) > 2 or not all(parts):
        raise RecipeError(
            f"--set {override!r} is not of the form section.key=value.",
            remedy="For example: --set training.max_steps=20",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if _wants_text(parts) and not isinstance(value, str):
        value = text
    target = values
    for part in parts[:-1]:
        target = target.setdefault(part, {})
    if value == "" and parts[-1] in target:
        del target[parts[-1]]
    else:
        target[parts[-1]] = value


def _wants_text(parts: list[str]) -> bool:
    info = Recipe.model_fields.get(parts[0])
    if info is None:
        return False
    annotation: Any = info.annotation
    if len(parts) == 2 and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(parts[1])
        annotation = field.annotation if field else None
    return annotation is str or set(get_args(annotation)) == {str, type(None)}
