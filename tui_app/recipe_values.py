"""Plain values of a recipe, looked up by dotted name and written as `--set` reads them.

Not here: judging them (`engine/recipe`).
"""

from __future__ import annotations

import tomllib
from typing import Any

import tomli_w


def field(values: dict[str, Any], name: str) -> Any:
    """The value under a dotted name, None where it is not set."""
    section, _, key = name.partition(".")
    inside = values.get(section)
    if not key:
        return inside
    return inside.get(key) if isinstance(inside, dict) else None


def as_text(value: Any) -> str:
    """The text that `--set` reads as this value: bare where that is enough, as TOML else; None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if _reads_bare(value) else _toml(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else _toml(value)


def _reads_bare(text: str) -> bool:
    if not text.strip() or text != text.strip() or "\n" in text or "\r" in text:
        return False
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return True
    return len(parsed) != 1 or not isinstance(parsed["value"], str)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _toml_key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")
