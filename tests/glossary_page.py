"""docs/glossary.md and docs/recipe.md, made of what `finetui explain` says; `python -m tests.glossary_page` writes.

Not here: the sentences themselves (`tui_app.steps.glossary`, `tui_app.desk_commands.words`, and where things are).
"""

from __future__ import annotations

from tests.documents import CHECKOUT
from tui_app.desk_commands.explaining import Entry, everything, words

GLOSSARY, RECIPE = CHECKOUT / "docs" / "glossary.md", CHECKOUT / "docs" / "recipe.md"
GLOSSARY_HEAD = """# Glossary

What the words mean, in the sentences of `finetui explain TERM`. Made by `python -m tests.glossary_page`.

```sh
finetui explain rank
finetui explain training.learning_rate
finetui explain
```

## Words
"""
RECIPE_HEAD = """# Recipe

Every field with its default. A recipe is one TOML file; only `model.name_or_path` and `data.dataset` must be there.
`finetui schema` prints the same as JSON Schema for your editor. Made by `python -m tests.glossary_page`.

```sh
finetui schema > recipe.schema.json
finetui explain adapter.r
```
"""
TITLES = {
    "rung": "Rungs of the ladder",
    "metric": "Metrics",
    "check": "Checks of rows",
    "setting": "Settings of `finetui config`",
}


def glossary_page() -> str:
    """Words with the fields they belong to; then rungs, metrics, checks and settings."""
    paragraphs = [f"**{entry.name}**: {escaped(entry.text)}{_fields(entry)}" for entry in words()]
    parts = [GLOSSARY_HEAD, *(f"{paragraph}\n" for paragraph in paragraphs)]
    for kind, title in TITLES.items():
        rows = [f"- `{entry.name}`: {escaped(entry.text)}" for entry in everything() if entry.kind == kind]
        parts += [f"## {title}\n", "\n".join(rows) + "\n"]
    return "\n".join(parts)


def recipe_page() -> str:
    """A table for each section, in the order of the recipe; fields of the recipe itself first."""
    fields = {entry.name: entry for entry in everything() if entry.kind == "field"}
    parts = [RECIPE_HEAD, _table([entry for name, entry in fields.items() if "." not in name])]
    for section in everything():
        if section.kind == "section":
            inside = [fields[name] for name in section.fields]
            parts += [f"## [{section.name}]\n\n{escaped(section.text)}\n", _table(inside)]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """As Markdown: what would be taken for a tag, a column or emphasis is shown as it is."""
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def _fields(entry: Entry) -> str:
    return f" ({', '.join(f'`{field}`' for field in entry.fields)})" if entry.fields else ""


def _table(fields: list[Entry]) -> str:
    rows = [f"| `{each.name.rpartition('.')[2]}` | {_default(each)} | {escaped(each.text)} |" for each in fields]
    return "\n".join(["| field | default | |", "|---|---|---|", *rows]) + "\n"


def _default(entry: Entry) -> str:
    return "must be there" if entry.default.startswith("none:") else f"`{entry.default}`"


if __name__ == "__main__":
    GLOSSARY.write_text(glossary_page(), encoding="utf-8")
    RECIPE.write_text(recipe_page(), encoding="utf-8")
