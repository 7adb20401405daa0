"""The list of checks for people and for programs: what `finetui data check --list` shows. Not here: the checks."""

from __future__ import annotations

from typing import Any

from data.checking import check_names, repairs
from data.checks import all_checks
from data.findings import LEVELS
from tui_app.fronts.folding import folded

OPTIONS = {"drop": "--drop", "clean": "--clean"}


def checks_told() -> list[dict[str, Any]]:
    """Every check, the gravest first: its name, level, the options of `finetui data convert` that take it, meaning."""
    drops, cleans = check_names(), repairs()
    named = sorted(all_checks().items(), key=lambda pair: (LEVELS.index(pair[1].LEVEL), pair[0]))
    return [
        {
            "check": name,
            "level": module.LEVEL,
            "drop": name in drops,
            "clean": name in cleans,
            "title": module.TITLE,
            "means": module.MEANS,
        }
        for name, module in named
    ]


def list_lines() -> list[str]:
    """The same as folded lines, and how the names are used."""
    lines = []
    for told in checks_told():
        options = ", ".join(option for key, option in OPTIONS.items() if told[key])
        lines.append(f"{told['level']:<8} {told['check']}{f'  ({options})' if options else ''}")
        lines += folded(f"{told['title']}. {told['means']}", " " * 9, indent=9)
    example = "--drop duplicates,rejected --clean control-characters"
    return [*lines, "", *folded(f"finetui data convert ROWS {example} -o clean.jsonl")]
