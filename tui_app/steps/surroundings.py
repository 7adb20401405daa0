"""What lies around: the machine, models and rows near by, those of earlier runs, presets and how they suit.

Each part is read by a quick function of its own, so that a screen shows its first frame before any of them. Nothing
is downloaded and no network is asked. Not here: what is asked about them (the modules of the steps).
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.hardware import Hardware, read_hardware
from engine.run_dir import list_runs, runs_root
from engine.units import format_bytes

if TYPE_CHECKING:
    from presets.matching import Match

MOST = 12
"""Entries of one kind that are offered."""
MOST_LOOKED_AT = 3000
"""Names looked at in and below the working directory: a home folder on NFS must not hold anybody up."""
DEPTH = 3
MOST_RUNS = 40
SHOWN_PARTS = 3
LIKELY_ROWS = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".txt")
"""Kinds of files by how likely they hold rows, the likeliest first; packed ones come after them."""
NO_ROWS = frozenset(
    {
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "package.json"),
        *("special_tokens_map.json", "adapter_config.json", "vocab.json", "added_tokens.json", "tsconfig.json"),
        *("state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json", "dataset_card.json"),
        *("package-lock.json", "requirements.txt", "constraints.txt", "LICENSE.txt", "CMakeLists.txt", "README.txt"),
    }
)
"""Files with a fitting ending that hardly ever hold rows."""
ARROW_STATE = "state.json"
"""What `save_to_disk` of datasets writes beside the .arrow files of a folder."""
LEFT_OUT = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist", "venv", "runs", "checkpoints"})


@dataclass(frozen=True, slots=True)
class Nearby:
    """Something that can be chosen: its value as an answer, and what it is in a few words."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that was found; None and empty stand for "not looked yet" until `is_complete`."""

    hardware: Hardware | None = None
    matches: tuple[Match, ...] | None = None
    near_models: tuple[Nearby, ...] = ()
    near_rows: tuple[Nearby, ...] = ()
    recent_models: tuple[Nearby, ...] = ()
    recent_rows: tuple[Nearby, ...] = ()
    bundled_models: tuple[Nearby, ...] = ()
    cached_models: tuple[Nearby, ...] = ()
    is_complete: bool = False

    @staticmethod
    def unknown() -> Surroundings:
        """Before anything was looked at."""
        return Surroundings()


def gather(folder: Path | None = None) -> Surroundings:
    """Look at everything, one after the other: under a second, so not on a screen's own thread."""
    found = Surroundings.unknown()
    for part in parts(folder or Path.cwd()):
        found = part(found)
    return found


def parts(folder: Path) -> Iterator[Callable[[Surroundings], Surroundings]]:
    """The looks in the order in which they are wanted, for who shows each as it comes."""
    yield lambda found: dataclasses.replace(found, hardware=read_hardware(folder))
    yield lambda found: dataclasses.replace(found, matches=_matches(found.hardware))
    yield lambda found: dataclasses.replace(found, bundled_models=bundled_models())
    yield lambda found: _with_near(found, folder)
    yield _with_recent
    yield lambda found: dataclasses.replace(found, cached_models=cached_models(), is_complete=True)


def _with_near(found: Surroundings, folder: Path) -> Surroundings:
    models, rows = near(folder)
    return dataclasses.replace(found, near_models=models, near_rows=rows)


def _with_recent(found: Surroundings) -> Surroundings:
    models, rows = recent()
    return dataclasses.replace(found, recent_models=models, recent_rows=rows)


def _matches(hardware: Hardware | None) -> tuple[Match, ...] | None:
    from presets.matching import rank

    return rank(hardware) if hardware else None


def bundled_models() -> tuple[Nearby, ...]:
    """Models that come as installed packages."""
    from engine.bundled_models import BUNDLED_MODELS, PREFIX, bundled_file
    from engine.errors import ModelError

    found = []
    for model in BUNDLED_MODELS:
        try:
            size = bundled_file(model).stat().st_size
        except (ModelError, OSError):
            continue
        found.append(Nearby(f"{PREFIX}{model.name}", model.title, f"bundled, {format_bytes(size)}"))
    return tuple(found)


def near(folder: Path) -> tuple[tuple[Nearby, ...], tuple[Nearby, ...]]:
    """(models, files of rows) in and below a folder, the nearest first."""
    from engine.data_request import names_rows  # late: pydantic is not needed for the first frame

    models: list[Nearby] = []
    rows: list[Nearby] = []
    for path in islice(_walk(folder, DEPTH), MOST_LOOKED_AT):
        shown = str(path.relative_to(folder))
        try:
            if path.name == "config.json" and any(path.parent.glob("*.safetensors")):
                name = str(path.parent.relative_to(folder))
                models.append(Nearby(name, path.parent.name if name == "." else name, "model folder"))
            elif path.suffix.lower() == ".gguf":
                models.append(Nearby(shown, shown, f"GGUF, {format_bytes(path.stat().st_size)}"))
            elif path.name == ARROW_STATE and any(path.parent.glob("*.arrow")):
                name = str(path.parent.relative_to(folder))
                rows.append(Nearby(name, name, "Arrow folder"))
            elif _may_hold_rows(path) and names_rows(path.name):
                rows.append(Nearby(shown, shown, format_bytes(path.stat().st_size)))
        except OSError:
            continue
    rows.sort(key=lambda each: (each.value.count("/"), _likelihood(each.value), each.value))
    return tuple(models[:MOST]), tuple(rows[:MOST])


def _may_hold_rows(path: Path) -> bool:
    """Whether it is no page of text, none of the usual other files, and no part of an Arrow folder."""
    is_part = path.suffix == ".arrow" and (path.parent / ARROW_STATE).exists()
    return not is_part and path.name not in NO_ROWS and path.suffix.lower() != ".md"


def _likelihood(name: str) -> int:
    ending = Path(name).suffix.lower()
    return LIKELY_ROWS.index(ending) if ending in LIKELY_ROWS else len(LIKELY_ROWS)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Files level by level, without hidden ones, and without folders behind links."""
    level = [folder]
    for _ in range(depth):
        below: list[Path] = []
        for parent in level:
            try:
                with os.scandir(parent) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
                for entry in entries:
                    if entry.name[0] == ".":
                        continue
                    if entry.is_file():
                        yield Path(entry.path)
                    elif _is_worth_entering(entry):
                        below.append(Path(entry.path))
            except OSError:
                continue
        level = below


def _is_worth_entering(entry: os.DirEntry[str]) -> bool:
    return (
        entry.name[0] != "_"
        and entry.name not in LEFT_OUT
        and entry.is_dir(follow_symlinks=False)
        and not Path(entry.path, "pyvenv.cfg").exists()
    )


def recent(root: Path | None = None) -> tuple[tuple[Nearby, ...], tuple[Nearby, ...]]:
    """(models, datasets) of the newest runs, each once. A recipe that cannot be read is passed over."""
    models: dict[str, Nearby] = {}
    rows: dict[str, Nearby] = {}
    for run in islice(reversed(list_runs(runs_root(root))), MOST_RUNS):
        try:
            values: dict[str, Any] = tomllib.loads(run.recipe.read_text(encoding="utf-8"))
            model, dataset = values["model"]["name_or_path"], values["data"]["dataset"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for found, value in ((models, model), (rows, dataset)):
            if isinstance(value, str) and value and not _is_gone(value):
                near_value = _from_here(value)
                found.setdefault(near_value, Nearby(near_value, _short(near_value), f"of run {run.name}"))
    return tuple(models.values())[:MOST], tuple(rows.values())[:MOST]


def _is_gone(value: str) -> bool:
    return value.startswith("/") and not os.path.exists(value)  # noqa: PTH110 - Path raises for impossible names


def _from_here(value: str) -> str:
    """A path below the working directory relative to it, as `near` tells it; anything else as it is."""
    return str(Path(value).relative_to(Path.cwd())) if Path(value).is_relative_to(Path.cwd()) else value


def _short(value: str) -> str:
    """An absolute path by its last parts: enough to tell two files of the same name apart."""
    parts = Path(value).parts
    return (
        value if not value.startswith("/") or len(parts) <= SHOWN_PARTS + 1 else str(Path("...", *parts[-SHOWN_PARTS:]))
    )


def cached_models() -> tuple[Nearby, ...]:
    """Models of the hub that are in its cache with weights, by name. Looks at names only."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = []
    try:
        folders = sorted(Path(HF_HUB_CACHE).expanduser().glob("models--*"))
    except OSError:
        return ()
    for folder in folders:
        try:
            if any(folder.glob("snapshots/*/*.safetensors")):
                name = folder.name.removeprefix("models--").replace("--", "/")
                found.append(Nearby(name, name, "in the hub's cache"))
        except OSError:
            continue
    return tuple(found[:MOST])
