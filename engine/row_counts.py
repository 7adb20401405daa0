"""How long a recipe's rows are, before there is a run: counted by a worker process where that needs no download.

The worker (`python -P -m engine.training.row_counting`) loads torch; this module does not. What it counts is kept in
`cache_dir()/row-counts` under a hash of all that it depends on: the recipe's rows and rendering, the size and
modification time of every file, library versions and our own code. Not here: the counting, and what a run counts for
itself (`training.prepare`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.errors import DataError, FinetuiError
from data.file_choice import holds_rows
from data.file_modes import make_private
from data.readers import readers
from engine import worker_start
from engine.converted_models import converted_folder
from engine.data_request import data_request, missing_rows
from engine.environment import looking_environment, worker_command
from engine.errors import DiedError, RunDirError
from engine.model_folder import TOKENIZER_FILES
from engine.model_hub import HubRequest, cached_config
from engine.model_source import locate
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir, cache_dir, read_json, write_atomic
from engine.starting import versions
from engine.units import format_bytes

MODULE = "engine.training.row_counting"
WAIT_SECONDS = 120.0
"""A plan waits so long. 20,000 rows in 16 MB took 56 s on a busy machine with two cores, 8 of them for imports."""
MAX_BYTES = 32 * 1024**2
"""Rows in larger files would not be done in that time, so they are not begun."""
LOOK_SECONDS = 0.25
MAX_FILES = 10_000
MAX_CACHED = 500
"""Counts kept; each is 2 to 5 kB."""
CODE = (
    "../data",
    "training/row_counting.py",
    "training/prepare.py",
    "training/rendering.py",
    "training/gguf_tokenizer.py",
    "training/gguf_pre_tokenizers.py",
    "row_lengths.py",
)
"""Our own sources that a count depends on."""
WEIGHTS = (".safetensors", ".bin", ".gguf")
"""Files of a model folder that no tokenizer reads."""

LATE = "gave_up_after_seconds"
"""Kept instead of lengths, so that not every plan waits in vain."""

Stamps = list[tuple[str, int, int]]
"""(path, bytes, modification time in ns) of every file that is read."""


def row_counts(
    recipe: Recipe,
    base_dir: Path,
    *,
    may_count: bool = True,
    wait_seconds: float = WAIT_SECONDS,
    on_wait: Callable[[], None] = lambda: None,
) -> tuple[RowLengths | None, str]:
    """(lengths of the train rows, where from), or (None, why they are not known). Nothing is downloaded or converted.

    Expects a recipe whose existing paths are absolute. Without `may_count` only what was counted earlier is looked up.
    `on_wait` is called four times a second while they are counted; what it raises ends the counting. A fault in rows or
    model is a reason, never an error: it is for the run to refuse them.
    """
    try:
        if why := _why_not(recipe, base_dir):
            return None, why
        place = tokenizer_place(recipe, base_dir)
        if place is None:
            return None, f"the tokenizer of {recipe.model.name_or_path} is not here yet; a run fetches it"
        stamps = (_stamps(row_files(recipe)), _stamps(tokenizer_files(place)))
        kept = cache_dir() / "row-counts" / f"{_key(recipe, place, stamps)}.json"
        found = _kept(kept)
        if found is None:
            if why := _too_much(recipe, stamps[0]) or ("" if may_count else "they were not counted yet"):
                return None, why
            found = _counted(recipe, place, wait_seconds, on_wait)
            if (_stamps(row_files(recipe)), _stamps(tokenizer_files(place))) == stamps:  # else somebody wrote to them
                _keep(kept, found)
        if LATE in found:
            return None, f"counting them took more than {found[LATE]:.0f} s, so it was ended"
        return RowLengths.from_json(found["row_lengths"]), "counted with the model's tokenizer"
    except FinetuiError as fault:
        return None, " ".join(fault.happened.split())
    except OSError as fault:
        return None, f"{fault.filename or 'a file'} cannot be read: {fault.strerror or fault}"


def counted_by(run: RunDir, recipe: Recipe) -> RowLengths | None:
    """The lengths that a run's preparation counted; None where it has not, or where `recipe` asks for other rows."""
    try:
        if counted_from(Recipe.load(run.recipe)) != counted_from(recipe):
            return None
        return RowLengths.from_json(read_json(run.prepared)["row_lengths"])
    except (FinetuiError, KeyError, TypeError, ValueError):
        return None


def counted_from(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides how long its rows are."""
    data, model = recipe.data, recipe.model
    return {
        **asdict(data_request(recipe)),
        "rendering": data.rendering,
        "completion_only_loss": data.completion_only_loss,
        "trained_answers": data.trained_answers,
        "model": (model.name_or_path, model.revision),
    }


def tokenizer_place(recipe: Recipe, base_dir: Path) -> Path | None:
    """The folder on this machine that holds the model's tokenizer, or the GGUF file; None where there is none yet.

    Raises ModelError.
    """
    model = recipe.model
    source = locate(model.name_or_path, base_dir=base_dir, revision=model.revision)
    if source.path is not None:
        return source.path if source.kind == "folder" else converted_folder(source.path, cache_dir()) or source.path
    config = cached_config(HubRequest(source.name_or_path, source.revision, None, offline=True))
    if config is None:
        return None
    whole = any(all((config.parent / name).is_file() for name in names) for names in TOKENIZER_FILES)
    return config.parent if whole else None


def _why_not(recipe: Recipe, base_dir: Path) -> str:
    """Why these rows cannot be counted at all; "" if they can."""
    if missing := missing_rows(recipe, base_dir):
        return missing.happened.rstrip(".")
    data = recipe.data
    for dataset in (data.dataset, data.eval_dataset, data.test_dataset):
        if dataset and not dataset.startswith("generator:") and not Path(dataset).is_absolute():
            return f"the rows of {dataset} would have to be downloaded"
    if recipe.model.trust_remote_code:
        return "the model may bring code of its own, which only a run carries out"
    return ""


def row_files(recipe: Recipe) -> list[Path]:
    """Every local file that rows are read from. Raises DataError for a folder of more than can be looked at."""
    data = recipe.data
    found: list[Path] = []
    for dataset in (data.dataset, data.eval_dataset, data.test_dataset):
        if dataset is None or dataset.startswith("generator:"):
            continue
        path = Path(dataset)
        inside = (file for file in path.rglob("*") if holds_rows(file.name, readers())) if path.is_dir() else [path]
        found += itertools.islice(inside, MAX_FILES + 1)
        if len(found) > MAX_FILES:
            raise DataError(f"{dataset} holds more than {MAX_FILES:,} files of rows")
    return found


def tokenizer_files(place: Path) -> list[Path]:
    """The GGUF file, or the files of a model folder less its weights."""
    if place.is_file():
        return [place]
    return [file for file in place.iterdir() if file.is_file() and file.suffix not in WEIGHTS]


def _stamps(files: list[Path]) -> Stamps:
    stats = [(str(file), file.stat()) for file in files]
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _too_much(recipe: Recipe, stamps: Stamps) -> str:
    size = sum(size for _, size, _ in stamps)
    if size <= MAX_BYTES or recipe.data.max_rows is not None:
        return ""
    return f"they are {format_bytes(size)}, which takes too long to count before a run"


def _key(recipe: Recipe, place: Path, stamps: tuple[Stamps, Stamps]) -> str:
    """SHA-256 of everything that the lengths depend on."""
    depends_on = {
        "recipe": counted_from(recipe),
        "tokenizer": str(place),
        "files": stamps,
        "versions": versions(),
        "code": _code_hash(),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


@functools.cache
def _code_hash() -> str:
    here, digest = Path(__file__).parent, hashlib.sha256()
    for name in CODE:
        path = here / name
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if LATE not in found:
            RowLengths.from_json(found["row_lengths"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # not there, or cut short: counted again and written anew
    return found


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Remember, and forget the oldest. A full disk costs the cache, not the plan."""
    with contextlib.suppress(OSError, RunDirError):
        make_private(path.parent)
        write_atomic(path, json.dumps(found))
        files = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in files[MAX_CACHED:]:
            old.unlink(missing_ok=True)


def _counted(recipe: Recipe, place: Path, wait_seconds: float, on_wait: Callable[[], None]) -> dict[str, Any]:
    """The worker's answer, or that it took too long. Raises DiedError where it ends without one.

    What the worker found wrong is raised as a FinetuiError.
    """
    with subprocess.Popen(
        worker_command(worker_start.MODULE, MODULE, str(place), str(os.getpid())),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=looking_environment(),
    ) as worker:
        try:
            done = _exchanged(worker, recipe.to_toml().encode(), wait_seconds, on_wait)
        except subprocess.TimeoutExpired:
            return {LATE: wait_seconds}
        finally:
            worker.kill()
    try:
        told = json.loads(done.stdout)
        if "error" not in told:
            RowLengths.from_json(told["row_lengths"])
    except (ValueError, TypeError, KeyError):
        raise DiedError(f"the process that counts them {ending(done)}") from None
    if error := told.get("error"):
        raise FinetuiError(str(error["happened"]), means=str(error["means"]), remedy=str(error["remedy"]))
    return dict(told)


def _exchanged(
    worker: subprocess.Popen[bytes], question: bytes, wait_seconds: float, on_wait: Callable[[], None]
) -> subprocess.CompletedProcess[bytes]:
    """What the worker wrote until its end. Raises TimeoutExpired where that does not come in time."""
    end = time.monotonic() + wait_seconds
    unsaid: bytes | None = question
    while True:
        try:
            out, err = worker.communicate(unsaid, timeout=min(LOOK_SECONDS, wait_seconds))
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise
            unsaid = None
            on_wait()
        else:
            return subprocess.CompletedProcess(worker.args, worker.returncode, out, err)


def ending(done: subprocess.CompletedProcess[bytes]) -> str:
    """How the worker ended, with the last line that it wrote as an error."""
    code = done.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return f"{how}: {said[-1][:200]}" if said else how
