"""What the answers of a draft add up to: values, the recipe, its faults, and what follows from an answer.

Another dataset than the base's takes back what described the base's rows; another method takes its learning rate
along; rungs that can never be taken any more are not allowed any more. All of it is told as a reason and stands in
`overrides`, so that `finetui replay` does the same. Not here: sizes for a model of one's own (`own_sizes`).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from engine.bundled_models import PREFIX
from engine.data_request import missing_rows
from engine.errors import FinetuiError, RecipeError
from engine.ladder_faults import never_applies
from engine.model_source import locate
from engine.recipe import Problem, Recipe, faults, values_of
from engine.recipe_sections import AdapterSection, DataSection, LadderSection, TrainingSection
from engine.starting import export_problems, with_absolute_paths
from presets.preset import all_presets, preset
from presets.sizing import SIZES
from tui_app.own_recipe_defaults import REASON, added
from tui_app.recipe_source import Source, source_of
from tui_app.recipe_values import as_text, field
from tui_app.steps.draft import DEVICE, METHOD, OWN, PRESET, SIZE, USE_CASE, Draft, Suggestion
from tui_app.steps.methods import METHOD_FIELDS, fields_of_method, method_of

NOTHING_YET = "[model]\n[data]\n"
FOR_ITS_OWN_ROWS = (
    *("data.format", "data.template", "data.columns", "data.system", "data.subset", "data.split", "data.revision"),
    *("data.generator_rows", "data.eval_dataset", "data.test_dataset", "data.unseen_answers", "data.rendering"),
    *("evaluation.baselines", "evaluation.answer_pattern", "evaluation.group_pattern"),
)
"""Fields of a base that say something about its rows, and nothing about others."""
HOW_ROWS_ARE_READ = ("data.format", "data.template", "data.columns")
"""They go together: what the catalog says of one does not fit what somebody said of another."""
ABOUT_IT = ("title", "description", "hardware")
FULL_TO_ADAPTER = 10
"""LoRA wants about ten times the learning rate of full training."""


def base_source(base: str) -> Source | None:
    """The recipe that a draft starts from, None for one of one's own. Raises RecipeError."""
    return None if base == OWN else source_of(base, [])


@functools.lru_cache(maxsize=16)
def base_text(base: str) -> str:
    """The TOML text of the base. Raises FinetuiError."""
    if base == OWN:
        return NOTHING_YET
    if base in {each.name for each in all_presets()}:
        return preset(base).text
    source = source_of(base, [])
    return source.recipe.to_toml()


def own_questions(draft: Draft) -> dict[str, str]:
    """The answers that are fields of a recipe, `method` taken apart."""
    given: dict[str, str] = {}
    for name, text in draft.answers:
        if name == METHOD:
            given |= fields_of_method(text)
        elif name not in (PRESET, DEVICE, SIZE, USE_CASE):
            given[name] = text
    return given


Defaults = tuple[tuple[str, str], ...]


def implied(draft: Draft) -> tuple[Suggestion, ...]:
    """What follows from the answers, with reasons, in the order of application. Raises FinetuiError."""
    return _implied(draft, _own_defaults(draft))


@functools.lru_cache(maxsize=256)
def _implied(draft: Draft, defaults: Defaults) -> tuple[Suggestion, ...]:
    text, typed = base_text(draft.base), own_questions(draft)
    before = values_of(text)
    own = {name: Suggestion(name, value, REASON) for name, value in defaults}
    found: list[Suggestion] = [each for each in draft.suggestions if each.field not in own] if draft.is_own else []
    found += own.values()
    rows, model = field(before, "data.dataset"), field(before, "model.name_or_path")
    after = values_of(text, overrides=_as_overrides(found, typed))
    new_rows = not draft.is_own and field(after, "data.dataset") != rows
    new_model = not draft.is_own and field(after, "model.name_or_path") != model
    known = _catalog(field(after, "data.dataset"), typed) if new_rows or draft.is_own else []
    if new_rows:
        found += [
            Suggestion(name, "", "was for the base's own rows")
            for name in FOR_ITS_OWN_ROWS
            if field(before, name) is not None and name not in {each.field for each in known}
        ]
    found += known
    if new_model and field(before, "model.revision") is not None:
        found.append(Suggestion("model.revision", "", "was a revision of the base's own model"))
    if new_rows or new_model or draft.is_own:
        found += _title(before, after)
    found += _learning_rate(before, after) if not draft.is_own else ()
    if field(before, "export.to"):
        found += _exports(values_of(text, overrides=_as_overrides(found, typed)))
    found = [each for each in found if each.field not in typed]
    costly = _costly(values_of(text, overrides=_as_overrides(found, typed)))
    return (*found, *(costly if "ladder.costly" not in typed else ()))


def _own_defaults(draft: Draft) -> Defaults:
    """What the user's file of defaults adds to a preset or to a recipe of one's own; nothing to a complete one."""
    if not draft.is_own and draft.base not in {each.name for each in all_presets()}:
        return ()
    return added(base_text(draft.base))


def _exports(values: dict[str, Any]) -> list[Suggestion]:
    """No export where something on this machine is in its way: the run would be refused for it."""
    if faults(values):
        return []
    problems = export_problems(Recipe.from_values(values), None)
    return [Suggestion("export.to", "[]", f"{problems[0].happened} {problems[0].remedy}")] if problems else []


def _as_overrides(found: list[Suggestion], typed: dict[str, str]) -> list[str]:
    return [*(f"{each.field}={each.text}" for each in found), *(f"{name}={text}" for name, text in typed.items())]


def _catalog(dataset: Any, typed: dict[str, str]) -> list[Suggestion]:
    """Which part of a well-known dataset is meant and how its rows are read; not how, where somebody said it."""
    from data.catalog import entry_of

    entry = entry_of(dataset) if isinstance(dataset, str) else None
    if entry is None:
        return []
    known = {f"data.{name}": as_text(value) for name, value in entry.recipe_fields().items()}
    if any(name in typed for name in HOW_ROWS_ARE_READ):
        known = {name: text for name, text in known.items() if name not in HOW_ROWS_ARE_READ}
    return [Suggestion(name, text, "so the catalog says") for name, text in known.items()]


def _title(before: dict[str, Any], after: dict[str, Any]) -> list[Suggestion]:
    """A title that is true of the new model and rows, and no description of the old ones."""
    names = [field(after, "model.name_or_path"), field(after, "data.dataset")]
    if not all(isinstance(name, str) for name in names):
        return []
    title = " on ".join(Path(str(name).removeprefix(PREFIX)).name or str(name) for name in names)[:200]
    gone = [Suggestion(name, "", "was about the base") for name in ABOUT_IT[1:] if before.get(name)]
    return [Suggestion("title", as_text(title), "the model and the rows"), *gone]


def _learning_rate(before: dict[str, Any], after: dict[str, Any]) -> list[Suggestion]:
    was_full, is_full = (field(values, "adapter.method") == "full" for values in (before, after))
    if was_full == is_full:
        return []
    rate = field(before, "training.learning_rate") or default("training.learning_rate")
    if not isinstance(rate, int | float):
        return []
    scaled = rate / FULL_TO_ADAPTER if is_full else rate * FULL_TO_ADAPTER
    reason = "a tenth of LoRA's: full training wants less" if is_full else "ten times that of full training"
    return [Suggestion("training.learning_rate", f"{scaled:.6g}", reason)]


def _costly(values: dict[str, Any]) -> list[Suggestion]:
    """The base's costly rungs without those that its recipe, as it is now, can never take."""
    named = field(values, "ladder.costly")
    if not isinstance(named, list) or not named:
        return []
    try:
        sections = (
            LadderSection.model_validate(values.get("ladder", {})),
            AdapterSection.model_validate(values.get("adapter", {})),
            TrainingSection.model_validate(values.get("training", {})),
            DataSection.model_validate(values.get("data", {}) | {"dataset": "rows"}),
        )
    except ValueError:  # a faulty field is told for itself
        return []
    kept = [name for name in named if not never_applies(name, *sections)]
    if kept == named:
        return []
    gone = ", ".join(name for name in named if name not in kept)
    return [Suggestion("ladder.costly", as_text(kept), f"{gone} can never be taken with these settings")]


def overrides(draft: Draft) -> tuple[str, ...]:
    return _overrides(draft, _own_defaults(draft))


@functools.lru_cache(maxsize=256)
def _overrides(draft: Draft, defaults: Defaults) -> tuple[str, ...]:
    return tuple(_as_overrides(list(_implied(draft, defaults)), own_questions(draft)))


def changing_overrides(draft: Draft) -> tuple[str, ...]:
    """The overrides without those that say what the base says anyway: what a person wants to read in a command."""
    kept: list[str] = []
    for override in overrides(draft):
        name = override.partition("=")[0]
        before, after = (
            field(values_of(base_text(draft.base), overrides=applied), name) for applied in (kept, [*kept, override])
        )
        if (default(name) if before is None else before) != (default(name) if after is None else after):
            kept.append(override)
    return tuple(kept)


def _values(draft: Draft) -> dict[str, Any]:
    """The recipe's plain values, to be looked at only. Raises FinetuiError."""
    return _values_with(draft, _own_defaults(draft))


@functools.lru_cache(maxsize=256)
def _values_with(draft: Draft, defaults: Defaults) -> dict[str, Any]:
    return values_of(base_text(draft.base), overrides=_overrides(draft, defaults))


def recipe(draft: Draft) -> Recipe:
    if fault := next(iter(_own_problems(draft)), None):
        raise RecipeError(f"{fault.happened}", means="Nothing was started.", remedy=fault.remedy)
    return Recipe.from_values(_values(draft))


def source(draft: Draft) -> Source:
    base = base_source(draft.base)
    made = recipe(draft)
    if base is not None:
        return Source(made, base.name, base.base_dir, base.run)
    return Source(made, Path(made.model.name_or_path.removeprefix(PREFIX)).name or OWN, Path.cwd())


def problems(draft: Draft) -> list[Problem]:
    found = _own_problems(draft)
    try:
        return [*found, *faults(_values(draft))]
    except FinetuiError as fault:
        return [*found, Problem(PRESET, fault.happened, fault.remedy)]


def _own_problems(draft: Draft) -> list[Problem]:
    found = []
    method, size = draft.typed(METHOD), draft.typed(SIZE)
    if method is not None and not fields_of_method(method):
        happened = f"{method!r} is no way of training that is known here."
        remedy = "There are full, lora, qlora, dora, rslora, and qlora+rslora+dora joined by +."
        found.append(Problem(METHOD, happened, remedy))
    if size is not None and size not in SIZES:
        found.append(Problem(SIZE, f"There is no size {size!r}.", f"There are: {', '.join(SIZES)}."))
    elif size is not None and not draft.is_own:
        happened = f"{draft.base} has sizes of its own, so {size} cannot be applied."
        found.append(Problem(SIZE, happened, "Leave the size out, or start from your own model and rows."))
    return found


def problem(draft: Draft, name: str, text: str) -> str:
    after = draft.with_answer(name, text)
    before, now = problems(draft), problems(after)
    mine = {name, *(METHOD_FIELDS if name == METHOD else ())}
    told = [each for each in now if each.field in mine]
    if not told and not before and name != PRESET:
        told = now  # faults between fields, which this answer brought about
    if told:
        return " ".join(f"{each.happened} {each.remedy}".strip() for each in told)
    return _place_fault(after, name) if text.strip() else ""


def _place_fault(draft: Draft, name: str) -> str:
    """Why the model or the rows that a good-looking name stands for are not there. Asks no network."""
    try:
        base = base_source(draft.base)
        folder = base.base_dir if base else Path.cwd()
        if name == "model.name_or_path":
            locate(draft.value(name), base_dir=folder)
        elif name in ("data.dataset", "data.eval_dataset", "data.test_dataset") and not problems(draft):
            fault = missing_rows(with_absolute_paths(recipe(draft), folder), folder)
            return f"{fault.happened} {fault.remedy}" if fault and fault.happened.startswith(name) else ""
    except FinetuiError as fault:
        return " ".join(part for part in (fault.happened, fault.remedy) if part)
    return ""


def text_of_field(draft: Draft, name: str) -> str:
    if name == METHOD:
        if (typed := draft.typed(METHOD)) is not None:
            return typed
        return method_of(*(_read(draft, each) for each in METHOD_FIELDS))
    return as_text(_read(draft, name))


def _read(draft: Draft, name: str) -> Any:
    """A field's value: as set, else its default; None where the base itself cannot be read."""
    try:
        value = field(_values(draft), name)
    except FinetuiError:
        value = field(values_of(NOTHING_YET, overrides=_as_overrides([], own_questions(draft))), name)
    return default(name) if value is None else value


def reason(draft: Draft, name: str) -> str:
    typed = {DEVICE, SIZE, METHOD, USE_CASE} & {each for each, _ in draft.answers}
    if name in typed or name in own_questions(draft):
        return "you"
    try:
        why = {each.field: each.reason for each in implied(draft)}
        if name in why:
            return why[name]
        is_set = field(values_of(base_text(draft.base)), name) is not None
    except FinetuiError:
        return "default"
    if not is_set or draft.is_own:
        return "default"
    return f"preset {draft.base}" if draft.base in {each.name for each in all_presets()} else draft.base


@functools.cache
def default(name: str) -> Any:
    """A field's default by its dotted name, None where it has none."""
    section, _, key = name.partition(".")
    info = Recipe.model_fields.get(section)
    if info is None:
        return None
    if key:
        fields = getattr(info.annotation, "model_fields", {})
        if key not in fields:
            return None
        info = fields[key]
    return info.get_default(call_default_factory=True) if not info.is_required() else None
