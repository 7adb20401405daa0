"""Changing one key of the user's file of defaults: comments, order and everything else stay as they are.

Not here: which keys there are and what they take (`engine/own_defaults`), the command (`config`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RecipeError, RunDirError
from engine.own_defaults import MAX_BYTES, SETTINGS
from engine.run_dir import write_atomic


@dataclass(frozen=True, slots=True)
class NewText:
    """What the file is to hold; `was_there`: whether the key stood in it before."""

    path: Path
    text: str
    was_there: bool = False


def changed(path: Path, key: Sequence[str], value: Any) -> NewText:
    """The file with a key set, or taken out where `value` is None. Raises RecipeError for a file that is no TOML."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document: Any = tomlkit.parse(_text(path))
    except OSError as fault:
        raise _unusable(path, fault.strerror or str(fault)) from fault
    except UnicodeDecodeError as fault:
        raise _unusable(path, f"byte {fault.start} is no UTF-8 text") from fault
    except (TOMLKitError, RecursionError) as fault:
        raise _unusable(path, f"it is not valid TOML: {fault}") from fault
    *sections, last = key
    tables = [document]
    for name in sections:
        if value is not None and name not in tables[-1]:
            tables[-1][name] = tomlkit.table(is_super_table=name != sections[-1])
        inside = tables[-1].get(name)
        if not hasattr(inside, "keys"):
            if value is None:
                return NewText(path, tomlkit.dumps(document))
            raise _unusable(path, f"{name} is a value there, not a [{name}] section")
        tables.append(inside)
    was_there = last in tables[-1]
    if value is not None:
        tables[-1][last] = value
    elif was_there:
        del tables[-1][last]
        for name, inside, around in zip(reversed(sections), reversed(tables), reversed(tables[:-1]), strict=False):
            if not inside:
                del around[name]
    return NewText(path, tomlkit.dumps(document), was_there)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """While the file is read, changed and written no other finetui changes it. Raises RunDirError.

    What is locked is its folder, which stays when the file is replaced. Where there are no locks it goes without.
    """
    with _telling(path):
        folder = path.resolve().parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def template(path: Path) -> NewText:
    """A first file: every setting as a comment, so that nothing changes until one is taken out of it."""
    lines = ["# Defaults of finetui. `finetui config` shows each with where it comes from.", ""]
    section = ""
    for setting in SETTINGS.values():
        named, _, key = setting.key.partition(".")
        if named != section:
            lines += [*([""] if section else []), f"[{named}]"]
            section = named
        takes = f" ({', '.join(setting.choices)})" if setting.choices else ""
        default = json.dumps(setting.default if setting.kind != "folder" else f"~/{setting.key.replace('.', '-')}")
        lines += [f"# {setting.sentence}{takes}", f"# {key} = {default}"]
    lines += [
        "",
        "# Fields of a recipe that a preset does not name; `finetui schema` describes them.",
        "# [recipe.training]",
    ]
    return NewText(path, "\n".join([*lines, "# seed = 7", ""]))


def written(new: NewText) -> None:
    """Write it where a link to it leads, as readable as it was. Raises RunDirError."""
    with _telling(new.path):
        target = new.path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600
        write_atomic(target, new.text)
        target.chmod(mode)


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as fault:  # RuntimeError: a link that leads to itself, before Python 3.13
        raise RunDirError(
            f"{path} cannot be written: {getattr(fault, 'strerror', None) or fault}.",
            means="Nothing was changed.",
            remedy="Make that folder, or name another file with FINETUI_CONFIG.",
        ) from fault


def _text(path: Path) -> str:
    """What the file holds, "" for none. A pipe or a device is not opened: reading it might never end."""
    if not path.exists():
        return ""
    if not path.is_file():
        raise _unusable(path, "it is a folder" if path.is_dir() else "it is a device or a pipe, no file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _unusable(path, "it is larger than 1 MiB")
    return content.decode("utf-8")


def _unusable(path: Path, why: str) -> RecipeError:
    return RecipeError(
        f"{path} cannot be changed: {why}.",
        means="Nothing was changed.",
        remedy="Mend it first, for example with `finetui config edit`, or name another file with FINETUI_CONFIG.",
    )
