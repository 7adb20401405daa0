"""The words of each kind with a sentence each, as a shell offers them. Loads what knows them; never at a Tab.

Not here: runs and files, which are looked up at each Tab (`answering`).
"""

from __future__ import annotations


def words() -> dict[str, dict[str, str]]:
    """Kind -> word -> sentence. `field NAME` and `setting NAME` are the values that a field or a setting takes."""
    from data.catalog import use_cases
    from data.checks import all_checks
    from data.formats import all_formats
    from data.generators import COMMANDS, all_generators
    from engine.bundled_models import BUNDLED_MODELS, PREFIX
    from engine.cards import CARDS
    from engine.evaluation.metrics import families
    from engine.exporters import all_exporters
    from engine.jobs.engines import JOB_ENGINES
    from presets.preset import all_presets
    from presets.sizing import SIZES
    from tui_app.steps.glossary import GLOSSARY

    generators = {name: each.TITLE for name, each in all_generators().items()}
    found = {
        "preset": {each.name: each.recipe().title for each in all_presets()},
        "model": {f"{PREFIX}{each.name}": each.title for each in BUNDLED_MODELS},
        "rows": {f"generator:{name}": title for name, title in generators.items()},
        "generator": generators | {COMMANDS: "commands for any program, from a grammar"},
        "form": {form: "" for each in all_generators().values() for form in each.FORMS},
        "card": {each.key: each.name for each in CARDS} | {"cpu": "without a card"},
        "method": dict.fromkeys(("full", "lora", "qlora", "dora", "rslora", "qlora+dora", "qlora+rslora+dora"), ""),
        "size": dict.fromkeys(SIZES, ""),
        "term": dict.fromkeys(GLOSSARY, ""),
        "check": dict.fromkeys(all_checks(), ""),
        "format": dict.fromkeys(("auto", *all_formats()), ""),
        "metric": dict.fromkeys(families(), ""),
        "export": dict.fromkeys((*all_exporters(), *JOB_ENGINES), ""),
        "side": {"base": "the model before training", "tuned": "with what was trained"},
        "use_case": {each.name: "" for each in use_cases()},
    }
    return found | _fields() | _settings()


def _fields() -> dict[str, dict[str, str]]:
    from engine.recipe import field_names, field_sentence, literal_values
    from tui_app.recipe_values import as_text

    names = [name for name in field_names() if "." in name]
    values = {f"field {name}": {as_text(value): "" for value in literal_values(name)} for name in names}
    return {"field": {name: field_sentence(name) for name in names}} | {
        key: each for key, each in values.items() if each
    }


def _settings() -> dict[str, dict[str, str]]:
    from engine.own_defaults import SETTINGS

    values = {f"setting {each.key}": each.choices for each in SETTINGS.values() if each.choices}
    flags = {f"setting {each.key}": ("true", "false") for each in SETTINGS.values() if each.kind == "flag"}
    told = {key: dict.fromkeys(each, "") for key, each in (values | flags).items()}
    return {"setting": {each.key: each.sentence for each in SETTINGS.values()}} | told
