"""What a notebook that replays a recipe says and does, cell by cell: text before each step, then the code.

Pure: from a recipe to nbformat's plain values. The sentences about fields are those of the recipe itself, which the
wizard shows as help. Not here: writing and checking the file (`notebook`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import tomli_w

from engine.data_request import ELSEWHERE, command_words, data_request, names_rows
from engine.recipe import Recipe, field_sentence
from engine.report.markdown import escaped
from engine.report.sections import differences

DATASETS = ("dataset", "eval_dataset", "test_dataset")
PACKAGE = "finetui"
FORMAT, MINOR = 4, 5
Cell = dict[str, Any]

HELPER = '''\
import os
import pathlib
import subprocess
import sys

HOME = pathlib.Path(os.environ.setdefault("FINETUI_HOME", str(pathlib.Path("finetui-home").resolve())))


def finetui(*words, check=True):
    """Run one finetui command, show what it prints, and stop the notebook where it fails."""
    command = [sys.executable, "-P", "-m", "tui_app", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="")
    if check and process.returncode:
        raise RuntimeError(f"finetui {words[0]} ended with exit code {process.returncode}; see above")


finetui("doctor", check=False)'''

ROWS_CHECK = """\
import hashlib

ROWS = {rows}
for name, sha256 in ROWS.items():
    if not pathlib.Path(name).exists() and "google.colab" in sys.modules:
        from google.colab import files

        print(f"Choose {{name}} to upload it.")
        files.upload()
    found = hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest()
    if sha256 and found != sha256:
        raise ValueError(f"{{name}} is not the file this recipe was made for: SHA-256 {{found}}, expected {{sha256}}")
    print(f"{{name}}: {{'as expected' if sha256 else 'here'}}, SHA-256 {{found}}")"""

TRAIN = """\
finetui("replay", "recipe.toml")
RUN = max((HOME / "runs").iterdir(), key=lambda run: (run / "events").stat().st_mtime).name
print(f"\\nThe run is called {RUN}.")"""

CURVES = """\
from IPython.display import SVG, display

finetui("report", RUN)
for name in ("loss", "memory", "throughput"):
    if (curve := HOME / "runs" / RUN / "report" / f"{name}.svg").exists():
        display(SVG(filename=str(curve)))"""


def notebook_of(recipe: Recipe, hashes: Mapping[str, str], *, prompt: str = "") -> dict[str, Any]:
    """The whole notebook. `hashes` has the SHA-256 of local files of rows by their paths in the recipe, where known.

    `prompt` is what the tuned model is asked in the end. The same arguments give the same notebook.
    """
    cells = list(_cells(recipe, hashes, prompt))
    for number, cell in enumerate(cells):
        text = f"{number} {cell['cell_type']} {cell['source']}"
        cell["id"] = hashlib.sha256(text.encode()).hexdigest()[:12]
        cell["source"] = cell["source"].splitlines(keepends=True)
    return {
        "cells": cells,
        "metadata": {
            "accelerator": "GPU",
            "colab": {"gpuType": "T4", "provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": FORMAT,
        "nbformat_minor": MINOR,
    }


def for_notebook(recipe: Recipe) -> Recipe:
    """The recipe with its rows beside it, and with runs where the notebook looks for them."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    values["run"].pop("root", None)
    values["run"].pop("name", None)
    values["export"]["to"] = []
    for field, path in local_rows(recipe).items():
        values["data"][field] = PurePath(path).name
    return Recipe.from_values(values)


def local_rows(recipe: Recipe) -> dict[str, str]:
    """Field of the data section -> path, for rows that are files and not a generator or on the hub."""
    found = {}
    for field in DATASETS:
        named = getattr(recipe.data, field)
        if named and (PurePath(named).is_absolute() or names_rows(named) or not ELSEWHERE.fullmatch(named)):
            found[field] = named
    return found


def _cells(recipe: Recipe, hashes: Mapping[str, str], prompt: str) -> Iterator[Cell]:
    here = for_notebook(recipe)
    yield _text(_introduction(recipe))
    yield _text("## 1. Install\n\nfinetui and the libraries it trains with. Nothing is done where it is there already.")
    install = f"%pip install --quiet {PACKAGE}=={importlib.metadata.version(PACKAGE)}"
    yield _code(f'import importlib.util\n\nif importlib.util.find_spec("tui_app") is None:\n    {install}')
    yield _text(
        "## 2. Look at the machine\n\nWhat card there is, what it can compute in, and what is missing. On Colab: "
        "*Runtime*, *Change runtime type*, *T4 GPU*. Without a card everything runs on the CPU, more slowly."
    )
    yield _code(HELPER)
    yield _text(f"## 3. The recipe\n\nEverything that decides the result stands in this file.\n\n{_fields(here)}")
    yield _code(f"%%writefile recipe.toml\n{tomli_w.dumps(_without_defaults(here)).rstrip()}")
    yield _text(_rows_text(recipe, hashes))
    if local := local_rows(recipe):
        rows = {PurePath(path).name: hashes.get(path, "") for path in local.values()}
        yield _code(ROWS_CHECK.format(rows=json.dumps(rows, indent=4, ensure_ascii=False)))
    yield _code(f"import shlex\n\nfinetui('data', 'inspect', *shlex.split({_words(here)!r}))")
    yield _text(
        "## 5. The plan\n\nEvery number as this machine will use it, each with its reason, and the memory it will "
        "take. Nothing is trained yet. Where it will not fit, finetui says so here.\n\n" + _memory_text(here)
    )
    yield _code('finetui("plan", "recipe.toml")')
    yield _text(
        "## 6. Train\n\nThe run trains in a process of its own: interrupting this cell leaves it going on, and "
        f"`finetui attach` shows it again. {_scoring(here)}"
    )
    yield _code(TRAIN)
    yield _text(
        "## 7. The result\n\nHow base and tuned model did on rows that neither of them was trained on, with 95 % "
        "intervals. Intervals that overlap show no difference."
    )
    yield _code('finetui("status", RUN)')
    yield _text(
        "## 8. Curves and report\n\nThe report says first what got better and what did not; here are its curves."
    )
    yield _code(CURVES)
    yield _text("## 9. Try it\n\nAsk the tuned model, with the base model's answer beside it.")
    yield _code(f'PROMPT = {prompt or "Hello"!r}\nfinetui("chat", RUN, "--against", "base", "--prompt", PROMPT)')
    kinds = list(recipe.export.to) or ["merged"]
    yield _text(
        f"## 10. Take it away\n\n{field_sentence('export.to')} `finetui export --list` shows all kinds. Each artifact "
        "is loaded again and checked before it is put in place."
    )
    yield _code(
        f'finetui("export", RUN, "--to", {",".join(kinds)!r})\n'
        'for path in sorted((HOME / "runs" / RUN / "exports").rglob("*")):\n    if path.is_file():\n'
        '        print(f"{path.stat().st_size:>12,} bytes  {path}")'
    )


def _introduction(recipe: Recipe) -> str:
    lines = [f"# {escaped(recipe.title or 'A fine-tuning recipe')}"]
    lines += [escaped(" ".join(text.split())) for text in (recipe.description, recipe.hardware) if text]
    model, dataset = _inside(recipe.model.name_or_path), _inside(_named(recipe.data.dataset))
    lines.append(
        f"This notebook tunes `{model}` on `{dataset}` with the method `{recipe.adapter.method}`, measures whether "
        "that made it better, and exports it. Run the cells from top to bottom. The same recipe on the same machine "
        "and versions gives the same result, bit for bit."
    )
    if PurePath(recipe.model.name_or_path).is_absolute():
        lines.append("The base model is a folder of the machine this was made on: have it at the same path here.")
    return "\n\n".join(lines)


def _fields(recipe: Recipe) -> str:
    """Each field that the recipe sets, with its sentence, section by section."""
    rows = [
        f"| `{name}` | `{_inside(value)}` | {escaped(field_sentence(name))} |"
        for name, value, _ in differences(recipe)
        if not name.startswith("export.")
    ]
    return "\n".join(["| field | value | what it does |", "| --- | --- | --- |", *rows])


def _without_defaults(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values less those that are the defaults anyway, so that it can be read."""
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    return {"version": recipe.version, **_pruned(values)}


def _pruned(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is not None and not (isinstance(value, dict) and not value)
    }


def _rows_text(recipe: Recipe, hashes: Mapping[str, str]) -> str:
    told = f"## 4. The rows\n\n{field_sentence('data.dataset')} Look at what they are taken for and what is trained."
    if not (local := local_rows(recipe)):
        return told
    names = ", ".join(f"`{_inside(PurePath(path).name)}`" for path in dict.fromkeys(local.values()))
    told += (
        f"\n\nThey lie in files: put {names} beside this notebook. On Colab the next cell asks for them; elsewhere "
        "copy them there."
    )
    if any(hashes.get(path) for path in local.values()):
        told += " Their SHA-256 is compared, so that you know they are the same rows."
    return told


def _memory_text(recipe: Recipe) -> str:
    return (
        f"When memory runs out: {field_sentence('ladder.enabled')}"
        if recipe.ladder.enabled
        else "The ladder is off: when memory runs out, the run ends."
    )


def _scoring(recipe: Recipe) -> str:
    return field_sentence("evaluation.enabled") if recipe.evaluation.enabled else "It is not scored: evaluation is off."


def _words(recipe: Recipe) -> str:
    return command_words(data_request(recipe))


def _named(dataset: str) -> str:
    return PurePath(dataset).name if PurePath(dataset).is_absolute() else dataset


def _inside(text: str) -> str:
    """A text between backticks in a table: neither may end early."""
    return " ".join(text.split()).replace("`", "'").replace("|", "\\|")


def _text(source: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> Cell:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
