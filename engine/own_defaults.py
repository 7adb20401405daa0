"""What a user wants by default: `$XDG_CONFIG_HOME/finetui/config.toml`, or the file that `$FINETUI_CONFIG` names.

For each setting an option of the command line counts most, then its environment variable, then the file, then what is
said here. Reading never raises, so that looking at runs and mending the file work whatever stands in it: `faults`
tells what is wrong, and commands that start something refuse (`refuse_faulty`). What a file says under [recipe] is for
fields that nobody names (`tui_app/recipe_source`). Loads no pydantic. Not here: writing the file (`finetui config`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from data.nearest import nearest
from engine.base_folders import config_base
from engine.errors import RecipeError

VARIABLE = "FINETUI_CONFIG"
MAX_BYTES = 1024**2
RECIPE = "recipe"
NO = ("0", "false", "no", "off")
Kind = Literal["flag", "choice", "folder", "words"]
Origin = Literal["default", "file", "environment"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the file: what it takes, what it is without it, and the environment variable that wins over it."""

    key: str
    kind: Kind
    default: Any
    sentence: str
    choices: tuple[str, ...] = ()
    variable: str = ""

    def fault(self, value: object) -> str:
        """What is wrong with a value of the file; empty for a good one."""
        if self.kind == "flag":
            return "" if isinstance(value, bool) else "takes true or false"
        if self.kind == "words":
            is_good = isinstance(value, list) and all(isinstance(word, str) and word for word in value)
            return "" if is_good else 'takes a list of words, a program and its arguments: ["notify-send", "{run}"]'
        if not isinstance(value, str):
            return "takes a text in quotes"
        if self.kind == "folder":
            is_good = value.startswith(("/", "~/"))
            return "" if is_good else "takes a folder by its whole path, for example /data/finetui or ~/finetui"
        return "" if value in self.choices else f"takes one of {', '.join(self.choices)}, not {value!r}"

    def of_environment(self, text: str) -> Any:
        """The value that the environment variable's text stands for."""
        return text.lower() not in NO if self.kind == "flag" else text


SETTINGS: Mapping[str, Setting] = {
    each.key: each
    for each in (
        Setting(
            "screen.theme", "choice", "auto", "Colours for a dark or a light background.", ("auto", "dark", "light")
        ),
        Setting("screen.ascii", "flag", False, "Draw with ASCII letters only.", variable="FINETUI_ASCII"),
        Setting("screen.diff", "flag", True, "Send only what changed on the screen.", variable="FINETUI_DIFF"),
        Setting(
            "notify.terminal",
            "choice",
            "auto",
            "How a terminal that watches a run tells of its end; auto: bell, and a message where it is known to work.",
            ("auto", "bell", "osc9", "osc777", "osc99", "off"),
            variable="FINETUI_NOTIFY",
        ),
        Setting("notify.desktop", "flag", True, "Tell of a run's end on the desktop that it was started from."),
        Setting(
            "notify.command", "words", [], "A program to run at a run's end, with its arguments; there is no shell."
        ),
        Setting("paths.home", "folder", "", "Folder of runs, queue and drafts.", variable="FINETUI_HOME"),
        Setting("paths.cache", "folder", "", "Folder of converted models and dry runs.", variable="FINETUI_CACHE"),
    )
}
"""Every setting by its dotted key. [recipe] takes fields of a recipe besides."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """What the file says: `settings` by dotted key, `recipe` by the field's dotted name. Faulty values are left out."""

    path: Path
    exists: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting's value and where it comes from. `place` is the variable or the file; empty for a default."""

    value: Any
    origin: Origin
    place: str = ""


def config_file() -> Path:
    """Where the file is, whether it is there or not."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else config_base() / "finetui" / "config.toml"


def own_file() -> OwnFile:
    """The file as it is now; read again only when it has changed. Never raises."""
    path = config_file()
    try:
        found = path.stat()
    except OSError as fault:
        is_absent = isinstance(fault, FileNotFoundError | NotADirectoryError)
        told = () if is_absent else (f"{path} cannot be read: {fault.strerror}.",)
        return OwnFile(path, exists=not is_absent, faults=told)
    return _read(path, found.st_mtime_ns, found.st_size, found.st_ino)


def effective(key: str) -> Effective:
    """A setting as environment, file and default make it. Options of the command line are looked at by its commands."""
    setting = SETTINGS[key]
    if setting.variable and (text := os.environ.get(setting.variable, "")):
        told = setting.of_environment(text)
        if setting.kind != "choice" or told in setting.choices:
            return Effective(told, "environment", setting.variable)
    own = own_file()
    if key in own.settings:
        return Effective(own.settings[key], "file", str(own.path))
    return Effective(setting.default, "default")


def folder(key: str) -> Path | None:
    """A folder of the file's [paths]; None where the file names none. Its environment variable is not looked at."""
    named = own_file().settings.get(key)
    return Path(named).expanduser() if named else None


def pinned() -> dict[str, str]:
    """The environment that keeps a run's processes at the file's folders, whatever becomes of the file meanwhile."""
    own = own_file()
    told = {VARIABLE: str(own.path)} if own.exists else {}
    for key in ("paths.home", "paths.cache"):
        variable = SETTINGS[key].variable
        if named := os.environ.get(variable):
            told[variable] = str(Path(named).absolute())  # they work in other folders
        elif path := folder(key):
            told[variable] = str(path)
    return told


def refuse_faulty() -> None:
    """Before something is started. Raises RecipeError with every fault of the file."""
    faults = [*own_file().faults, *(told for each in SETTINGS.values() if (told := _variable_fault(each)))]
    if faults:
        raise RecipeError(
            "\n  ".join(("Your defaults cannot be used:", *faults)),
            means="Nothing was started: it might not be what you want.",
            remedy="Mend it with `finetui config edit`, or go without: FINETUI_CONFIG=/dev/null finetui …",
        )


def _variable_fault(setting: Setting) -> str:
    text = os.environ.get(setting.variable, "") if setting.variable else ""
    told = setting.fault(text) if text and setting.kind == "choice" else ""
    return f"{setting.variable} {told}." if told else ""


def known_key(key: str) -> Setting | None:
    """The setting of that key; None for a field of a recipe. Raises RecipeError, naming the nearest, for neither."""
    if key in SETTINGS:
        return SETTINGS[key]
    if re.fullmatch(rf"{RECIPE}\.[a-z_]+\.[a-z_0-9]+", key):
        return None
    raise RecipeError(_unknown(key), remedy="`finetui config` lists them; a field of recipes is recipe.SECTION.FIELD.")


def _unknown(key: str) -> str:
    by_last = [known for known in SETTINGS if known.rpartition(".")[2] == key.rpartition(".")[2]]
    near = by_last or nearest(key, SETTINGS)
    return f"{key!r} is no setting." + (f" Did you mean {near[0]}?" if near else "")


@lru_cache(maxsize=1)
def _read(path: Path, *_stamp: int) -> OwnFile:
    import tomllib

    if not path.is_file():
        if path.is_char_device():  # /dev/null is how somebody goes without
            return OwnFile(path)
        told = "a folder, not a file" if path.is_dir() else "a pipe, a socket or a disk, not a file"
        return OwnFile(path, exists=True, faults=(f"{path} is {told}.",))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
        if len(content) > MAX_BYTES:
            return OwnFile(path, exists=True, faults=(f"{path} is larger than 1 MiB.",))
        values = tomllib.loads(text)
    except OSError as fault:
        return OwnFile(path, exists=True, faults=(f"{path} cannot be read: {fault.strerror}.",))
    except UnicodeDecodeError as fault:
        line = content[: fault.start].count(b"\n") + 1
        return OwnFile(path, exists=True, faults=(f"{path}, line {line}: it is no UTF-8 text.",))
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        return OwnFile(path, exists=True, faults=(f"{path} is not valid TOML: {fault}.",))
    return _judged(path, text, values)


def _judged(path: Path, text: str, values: Mapping[str, Any]) -> OwnFile:
    settings: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in _flat(values):
        section, _, rest = key.partition(".")
        if section == RECIPE and rest.count(".") == 1:
            recipe[rest] = value
            continue
        if key in SETTINGS:
            told = SETTINGS[key].fault(value)
        elif section == RECIPE:
            told = "is no field of a recipe: those stand in sections, as in [recipe.training]"
        else:
            told = _unknown(key).removeprefix(f"{key!r} ").rstrip(".")
        if told:
            faults.append(f"{path}{_line_of(text, key)}: {key} {told}{'' if told.endswith('?') else '.'}")
        else:
            settings[key] = value
    return OwnFile(path, True, settings, recipe, tuple(faults))


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value); a recipe's fields are two levels below [recipe], all else one below its section."""
    for section, inside in values.items():
        if not isinstance(inside, dict):
            yield section, inside
            continue
        for key, value in inside.items():
            if section == RECIPE and isinstance(value, dict):
                yield from ((f"{section}.{key}.{name}", each) for name, each in value.items())
            else:
                yield f"{section}.{key}", value


def _line_of(text: str, key: str) -> str:
    """Where a key stands in the file, as ", line N"; empty where that cannot be told."""
    *_, last = key.split(".")
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"""\s*(?:[\w.-]*\.)?["']?{re.escape(last)}["']?\s*=|\s*\[+\s*{re.escape(key)}\s*\]""", line):
            return f", line {number}"
    return ""
