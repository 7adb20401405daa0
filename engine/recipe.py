"""Recipe: everything the user wants, complete and validated. One TOML file, the unit of replay.

Lives here: reading, judging (all faults at once, each with field, nearest key and remedy), overriding and
writing. Not here: the fields themselves (`recipe_sections`) and what a machine makes of them (`plan`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli_w
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from engine.distributed_faults import distributed_faults
from engine.errors import RecipeError
from engine.evaluation_faults import evaluation_faults
from engine.ladder_faults import ladder_faults
from engine.migrations import RECIPE_VERSION, migrated
from engine.recipe_sections import (
    AdapterSection,
    DataSection,
    DistributedSection,
    EvaluationSection,
    ExportSection,
    LadderSection,
    MemorySection,
    ModelSection,
    RunSection,
    Section,
    TrainingSection,
)
from engine.recipe_text import plain_values
from engine.redaction import known_values, secret_in
from engine.units import parse_bytes

MAX_RECIPE_BYTES = 1024**2
"""A recipe is a page; a larger file is rows or weights named by mistake."""
MAX_FAULTS = 100
"""Of single fields that are told at once; to look for the nearest name of each takes milliseconds."""

# What users of other tools type, and where it went.
FOREIGN_KEYS = {
    "load_in_4bit": 'adapter.method = "qlora"',
    "batch_size": "training.per_device_train_batch_size",
    "micro_batch_size": "training.per_device_train_batch_size",
    "epochs": "training.num_train_epochs",
    "num_epochs": "training.num_train_epochs",
    "lr": "training.learning_rate",
    "lora_r": "adapter.r",
    "lora_rank": "adapter.r",
    "lora_target_modules": "adapter.target_modules",
    "max_seq_length": "training.max_length",
    "cutoff_len": "training.max_length",
    "base_model": "model.name_or_path",
    "model_name_or_path": "model.name_or_path",
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
    title: str = Field("", max_length=200, description="One line on what this recipe does, as lists show it.")
    description: str = Field("", description="A few sentences on what it is for and what to expect.")
    hardware: str = Field("", description="The machine it is meant for; `finetui plan` judges the one at hand.")
    model: ModelSection
    data: DataSection
    adapter: AdapterSection = Field(default_factory=lambda: AdapterSection.model_validate({}))
    training: TrainingSection = Field(default_factory=lambda: TrainingSection.model_validate({}))
    distributed: DistributedSection = Field(default_factory=lambda: DistributedSection.model_validate({}))
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
        if problems := faults(values):
            raise recipe_error(problems)
        return Recipe.model_validate(values)

    @staticmethod
    def parse(text: str, *, name: str = "the recipe", overrides: Iterable[str] = ()) -> Recipe:
        """Read TOML text and apply `section.key=value` overrides. Raises RecipeError."""
        return Recipe.from_values(values_of(text, name=name, overrides=overrides))

    @staticmethod
    def load(path: Path, *, overrides: Iterable[str] = ()) -> Recipe:
        """Read a recipe file. Raises RecipeError when it is missing, unreadable or wrong."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_RECIPE_BYTES + 1)
            text = content.decode("utf-8")
        except OSError as fault:
            raise _unreadable(path, fault.strerror or str(fault)) from None
        except UnicodeDecodeError as fault:
            raise _unreadable(path, f"it is no UTF-8 text (byte {fault.start})") from None
        if len(content) > MAX_RECIPE_BYTES:
            raise _unreadable(path, "it is larger than 1 MiB")
        return Recipe.parse(text.replace("\r\n", "\n"), name=str(path), overrides=overrides)


def values_of(text: str, *, name: str = "the recipe", overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The plain values of a recipe's TOML text with overrides applied, not judged yet. Raises RecipeError.

    Of a recipe of an earlier version they are those of this one; overrides are in the words of this one.
    """
    try:
        values, _ = migrated(plain_values(text), name)
    except ValueError as fault:
        raise RecipeError(
            f"{name} is not valid TOML: {fault}.",
            means="Nothing was started.",
            remedy="Mend that line; texts need quotes, tables stand in [brackets].",
        ) from None
    for override in overrides:
        _apply(values, override)
    return values


def changes_of(path: Path) -> tuple[str, ...]:
    """What is read otherwise than it is written in a recipe file of an earlier version. Raises RecipeError."""
    return migrated(plain_values(path.read_text(encoding="utf-8")), str(path))[1]


def faults(values: Mapping[str, Any]) -> list[Problem]:
    """Every fault of a recipe's plain values: those of single fields, or where there is none those between fields."""
    if secrets := list(_secrets("", values, tuple(known_values()))):
        return secrets
    try:
        return cross_problems(Recipe.model_validate(values))
    except ValidationError as fault:
        return _problems(fault.errors())


def _secrets(name: str, value: Any, known: tuple[str, ...]) -> Iterator[Problem]:
    """A fault for each text of a recipe that holds a secret. It is not shown: the error may be kept, too."""
    if isinstance(value, str) and (kind := secret_in(value, known)):
        yield Problem(
            name,
            f"holds {kind}; a recipe is copied into run folders, reports and jobs.",
            "Leave it out: log in with `hf auth login`, or set HF_TOKEN or what else asks for it in the environment.",
        )
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _secrets(f"{name}.{key}" if name else str(key), each, known)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets(name, each, known)


def field_sentence(name: str) -> str:
    """The sentence of a field by its dotted name, which is also its help; empty for what is no field."""
    return _description(name)


def literal_values(name: str) -> tuple[Any, ...]:
    """The values that a field of few values takes, by its dotted name; empty for one that takes any."""
    info = _field_of(name)
    annotation = info.annotation if info else None
    kinds = [annotation, *get_args(annotation)]
    found = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return tuple(dict.fromkeys([*found, *((True, False) if bool in kinds else ())]))


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
    if adapter.method == "full" and recipe.model.dtype == "float16":
        text = "full training in float16 weights cannot be scaled: the gradient scaler needs float32 ones."
        found.append(Problem("model.dtype", text, 'Use "auto" or "float32".'))
    if isinstance(adapter.target_modules, list) and not adapter.target_modules:
        found.append(Problem("adapter.target_modules", "names no layer.", 'Use "all-linear" or name some.'))
    if recipe.training.packing and recipe.training.padding_free is False:
        happened = "packs are joined rows, and training.padding_free = false pads them."
        found.append(Problem("training.packing", happened, 'Use "false", or padding_free = "auto".'))
    found += _memory_problems(recipe)
    rank_faults = distributed_faults(recipe.distributed, recipe.training.optim)
    found += [Problem(f"distributed.{field}", *told) for field, *told in rank_faults]
    found += [Problem(f"evaluation.{field}", *told) for field, *told in evaluation_faults(evaluation)]
    if data.eval_fraction + data.test_fraction >= 1:
        found.append(Problem("data.eval_fraction", "with test_fraction it leaves no rows to train on.", "Lower them."))
    if data.trained_answers == "last" and not data.completion_only_loss:
        text = '"last" has no effect: without completion_only_loss every token is trained.'
        found.append(Problem("data.trained_answers", text, "Set data.completion_only_loss = true."))
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


def _memory_problems(recipe: Recipe) -> list[Problem]:
    """Faults of the ladder and of the memory cap."""
    sections = (recipe.ladder, recipe.adapter, recipe.training, recipe.data)
    found = [Problem(f"ladder.{field}", happened, remedy) for field, happened, remedy in ladder_faults(*sections)]
    if recipe.memory.limit is not None:
        try:
            if parse_bytes(recipe.memory.limit) == 0:
                found.append(Problem("memory.limit", "leaves nothing to train in.", 'Write it as "6GiB", or unset it.'))
        except ValueError as fault:
            found.append(Problem("memory.limit", f"{fault}", 'Write it as "6GiB".'))
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


def _unreadable(path: Path, why: str) -> RecipeError:
    return RecipeError(
        f"{path} cannot be read as a recipe: {why}.",
        means="Nothing was started.",
        remedy="Name a TOML file, a preset (`finetui presets`) or a run folder.",
    )


def _problems(errors: Iterable[Any]) -> list[Problem]:
    """One problem per field: a field that may be of two kinds fails as either of them."""
    found: dict[str, Problem] = {}
    for error in islice(errors, MAX_FAULTS):
        problem = _problem(error)
        if earlier := found.get(problem.field):
            happened = f"{earlier.happened.rstrip('.')}; or {problem.happened}"
            problem = Problem(problem.field, happened, problem.remedy)
        found[problem.field] = problem
    return list(found.values())


def _problem(error: Any) -> Problem:
    location = [str(part) for part in error["loc"]]
    field = ".".join(location[:2] if location[0] in Recipe.model_fields else location)
    if error["type"] == "extra_forbidden":
        return Problem(field, "is no field of a recipe.", _nearest(field))
    if error["type"] == "missing":
        return Problem(field, "is missing.", "Every recipe names it.")
    if error["type"] == "model_type":
        return Problem(field, "is a table of fields, not a value.", f"Write [{field}] on a line of its own.")
    given = error.get("input")
    shown = f" (given: {given!r:.80})" if not isinstance(given, dict) else ""
    return Problem(field, f"{error['msg'][:1].lower()}{error['msg'][1:]}{shown}.", _description(field))


def _description(field: str) -> str:
    """The sentence of a field, which is the help for whoever gave it a wrong value."""
    info = _field_of(field)
    return (info.description or "") if info else ""


def _field_of(name: str) -> FieldInfo | None:
    """A field or a section by its dotted name."""
    section, _, key = name.partition(".")
    info = Recipe.model_fields.get(section)
    if info and key and isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
        return info.annotation.model_fields.get(key)
    return info


def _nearest(field: str) -> str:
    last = field.rpartition(".")[2]
    if target := FOREIGN_KEYS.get(field) or FOREIGN_KEYS.get(last):
        return f"finetui spells it {target}."
    names = field_names()
    by_last = [name for name in names if name.rpartition(".")[2] == last]
    near = by_last or difflib.get_close_matches(field, [*names, *Recipe.model_fields], n=1, cutoff=0.6)
    if not near:
        near = [n for n in names if difflib.get_close_matches(last, [n.rpartition(".")[2]], n=1, cutoff=0.7)]
    return f"Did you mean {' or '.join(near[:3])}?" if near else "`finetui schema` lists the fields."


def _apply(values: dict[str, Any], override: str) -> None:
    """Put one `section.key=value` into the values; an empty value takes the key back to its default."""
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    target = values.setdefault(parts[0], {}) if len(parts) == 2 and all(parts) else values
    if not separator or len(parts) > 2 or not all(parts) or not isinstance(target, dict):
        raise RecipeError(
            f"--set {override!r} is not of the form section.key=value.",
            means="Nothing was started.",
            remedy="For example: --set training.max_steps=20",
        )
    if not text.strip():
        target.pop(parts[-1], None)
        return
    try:
        parsed = plain_values(f"value = {text}")
    except ValueError:
        parsed = {}
    value = parsed["value"] if len(parsed) == 1 else text
    target[parts[-1]] = text if _wants_text(parts) and not isinstance(value, str) else value


def _wants_text(parts: list[str]) -> bool:
    info = Recipe.model_fields.get(parts[0])
    if info is None:
        return False
    annotation: Any = info.annotation
    if len(parts) == 2 and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(parts[1])
        annotation = field.annotation if field else None
    return annotation is str or set(get_args(annotation)) == {str, type(None)}
