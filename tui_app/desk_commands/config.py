"""`finetui config`: your defaults, each with where it comes from; set, unset and edit them.

Writing goes through tomlkit, which keeps comments and order. Not here: what the settings are (`engine/own_defaults`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import RecipeError
from engine.own_defaults import RECIPE, SETTINGS, Setting, config_file, effective, known_key, own_file
from engine.run_dir import cache_dir, finetui_home
from tui_app.desk_commands.config_file import alone, changed, template, written
from tui_app.plain import printable

HELP = "your defaults: show each with where it comes from, set, unset, edit"
USAGE = "[--json] [get KEY | set KEY VALUE… | unset KEY | path | edit]"
ACTIONS = ("show", "get", "set", "unset", "path", "edit")
EXAMPLES = """examples:
  finetui config set screen.theme light
  finetui config set notify.command notify-send finetui "{run}: {state}, {result}"
  finetui config set recipe.training.seed 7       a field that a preset does not name
An option of a command wins over the environment, that over the file, that over what
finetui does by itself. A whole recipe and the replay of a run never change by it."""
EDITORS = ("nano", "vim", "vi")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", default="show", choices=ACTIONS, metavar="ACTION", help="show if left out")
    parser.add_argument("key", nargs="?", metavar="SETTING", help="a key that `finetui config` lists")
    parser.add_argument(
        "value", nargs=argparse.REMAINDER, metavar="SETTING", help="what it is to be; a command takes several words"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.epilog = EXAMPLES


def run(options: argparse.Namespace) -> int:
    if options.action not in ("get", "set", "unset") and options.key is not None:
        near = f"finetui config get {options.key}" if options.action == "show" else f"finetui config {options.action}"
        raise RecipeError(f"`config {options.action}` takes no key.", remedy=f"Perhaps: {near}")
    if options.action in ("get", "set", "unset") and options.key is None:
        raise RecipeError(f"Which setting to {options.action} is not said.", remedy="`finetui config` lists them.")
    if bool(options.value) != (options.action == "set"):
        told = "needs a value" if options.action == "set" else "takes no value"
        raise RecipeError(
            f"`config {options.action}` {told}.", remedy="For example: finetui config set screen.theme dark"
        )
    does: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "show": show,
        "get": get,
        "set": put,
        "unset": unset,
        "path": path,
        "edit": edit,
    }
    return does[options.action](options)


def show(options: argparse.Namespace) -> int:
    """Every setting with its origin. What is wrong with the file is told as well, and ends with 2."""
    own, told = own_file(), values()
    if options.json:
        print(json.dumps({"path": str(own.path), "exists": own.exists, "values": told, "faults": own.faults}))
    else:
        print(printable(f"{own.path}{'' if own.exists else ' (not there yet)'}"))
        width = max(map(len, told))
        for key, each in told.items():
            origin = f"{each['origin']} {each['place']}".strip() if each["origin"] == "environment" else each["origin"]
            print(printable(f"  {key:<{width}}  {shown(each['value']):<28} {origin}"))
        for fault in own.faults:
            print(printable(fault), file=sys.stderr)
    return RecipeError.exit_code if own.faults else 0


def values() -> dict[str, dict[str, Any]]:
    """Key -> value, origin, and the variable or file that it stands in."""
    told: dict[str, dict[str, Any]] = {}
    for key in SETTINGS:
        found = effective(key)
        told[key] = {"value": found.value, "origin": found.origin, "place": found.place}
    told["paths.home"]["value"], told["paths.cache"]["value"] = str(finetui_home()), str(cache_dir())
    own = own_file()
    for name, value in own.recipe.items():
        told[f"{RECIPE}.{name}"] = {"value": value, "origin": "file", "place": str(own.path)}
    return told


def shown(value: Any) -> str:
    """As the file would have it; a text without its quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return shlex.join(map(str, value)) if value else "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)


def get(options: argparse.Namespace) -> int:
    told = values()
    if options.key not in told:
        known_key(options.key)  # raises for what is neither a setting nor a field
        raise RecipeError(f"{options.key} is not set.", remedy="A field that nobody names has the default of recipes.")
    print(json.dumps(told[options.key]) if options.json else printable(shown(told[options.key]["value"])))
    return 0


def put(options: argparse.Namespace) -> int:
    setting = known_key(options.key)
    value = value_of(setting, options.value) if setting else field_value(options.key, options.value)
    with alone(config_file()):
        written(changed(config_file(), options.key.split("."), value))
    print(printable(f"{options.key} = {shown(value)}   in {config_file()}"))
    if setting and setting.variable and os.environ.get(setting.variable):
        print(printable(f"It has no effect here: {setting.variable} is set and wins."), file=sys.stderr)
    return 0


def value_of(setting: Setting, given: list[str]) -> Any:
    """What was typed, as the file takes it. Raises RecipeError."""
    value: Any = given if setting.kind == "words" else " ".join(given)
    if setting.kind == "flag":
        value = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(value, value)
    if setting.kind == "folder" and value:
        value = str(Path(value).expanduser().absolute())
    if told := setting.fault(value):
        raise RecipeError(f"{setting.key} {told}.", means="Nothing was changed.", remedy=setting.sentence)
    return value


def field_value(key: str, given: list[str]) -> Any:
    """The value of a recipe's field, judged as recipes are. Raises RecipeError."""
    from engine.recipe import faults, field_names, recipe_error, values_of

    name = key.removeprefix(f"{RECIPE}.")
    section, _, last = name.partition(".")
    read = values_of("[model]\nname_or_path = 'm'\n[data]\ndataset = 'd'\n", overrides=[f"{name}={' '.join(given)}"])
    if found := [each for each in faults(read) if each.field in (name, section)]:
        raise recipe_error(found)
    if name not in field_names() or last not in read.get(section, {}):
        raise RecipeError(f"{key} cannot be set to nothing.", remedy=f"To take it away: finetui config unset {key}")
    return read[section][last]


def unset(options: argparse.Namespace) -> int:
    with alone(config_file()):
        made = changed(config_file(), options.key.split("."), None)
        if not made.was_there:
            known_key(options.key)
            raise RecipeError(f"{options.key} is not set in {config_file()}.", means="Nothing was changed.")
        written(made)
    print(printable(f"{options.key} is gone from {config_file()}"))
    return 0


def path(options: argparse.Namespace) -> int:
    file = config_file()
    print(json.dumps({"path": str(file), "exists": file.exists()}) if options.json else printable(str(file)))
    return 0


def edit(_options: argparse.Namespace) -> int:
    """Open the file in the user's editor, then say what is wrong with it."""
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    words = words or [name for name in EDITORS if shutil.which(name)][:1]
    file = config_file()
    if not words or not shutil.which(words[0]):
        raise RecipeError(
            f"There is no editor {words[0]!r} here." if words else "No editor is named or found here.",
            remedy=f"Set EDITOR, or open it yourself: {file}",
        )
    if not file.exists():
        written(template(file))
    code = subprocess.run([*words, str(file)], check=False).returncode
    for fault in own_file().faults:
        print(printable(fault), file=sys.stderr)
    return code or (RecipeError.exit_code if own_file().faults else 0)
