"""Folders that datasets.save_to_disk wrote: which of their Arrow files hold the rows, as state.json says."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from data.errors import DataError

STATE = "state.json"
_KEYS = ("_data_files", "_indices_data_files")


def without_leftovers(folder: Path, names: list[str]) -> list[str]:
    """The names less the Arrow files that state.json of their folder does not name, such as those of a cache.

    `names` are relative to `folder`. Raises DataError where a named file is missing or rows are picked by indices.
    """
    found = {str(PurePosixPath(name).parent): _state(folder / name) for name in names if _is_state(name)}
    states = {place: state for place, state in found.items() if state is not None}
    every = set(names)
    for place, state in states.items():
        if state.get(_KEYS[1]):
            raise DataError(
                f"The dataset saved in {folder / place} picks its rows by an index of its own.",
                means="Its files hold rows in another order, or more of them, than the dataset has.",
                remedy="Save it again with: dataset.flatten_indices().save_to_disk(...)",
            )
        for name in _named(state):
            if str(PurePosixPath(place) / name) not in every:
                raise DataError(
                    f"{folder / place / name} is missing.",
                    means=f"{STATE} beside it names it as part of the dataset, so rows would be lost.",
                    remedy="Copy the folder again, whole.",
                )
    return [name for name in names if _is_kept(name, states)]


def _is_kept(name: str, states: dict[str, dict[str, Any]]) -> bool:
    path = PurePosixPath(name)
    state = states.get(str(path.parent))
    return state is None or path.suffix != ".arrow" or path.name in _named(state)


def _is_state(name: str) -> bool:
    return PurePosixPath(name).name == STATE


def _named(state: dict[str, Any]) -> list[str]:
    files = state.get(_KEYS[0]) or []
    return [str(each["filename"]) for each in files if isinstance(each, dict) and "filename" in each]


def _state(path: Path) -> dict[str, Any] | None:
    """What a state.json of datasets holds; None for any other file of that name."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get(_KEYS[0]), list) else None
