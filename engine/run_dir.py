"""Every path and every atomic write of a run's folder. Nothing else builds such a path.

recipe.toml  plan-N.json  manifest.json     what was asked, what was resolved, from what
settled.toml                                the recipe that starts at the plan training ended with
supervisor.json  heartbeat  supervisor.lock who is in charge
events/*.jsonl  log/*.txt  control/         what happened; tracebacks; commands
ranks/attempt-N/R.beat                      that rank R lives and how far it is, where several train together
model.json  dataset/                        the prepared inputs, dataset/prepared.json written last
sweep.json                                  of which sweep it is a point, with the point's values
checkpoints/checkpoint-N/                   complete, hashed, renamed into place; staging/ is not
adapter/                                    the result, read back and compared; answers/ per variant
requests/  exports/  evaluations/  report/  what was asked later: artifacts, scores on other rows, the report
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.file_modes import make_private, placed
from engine import own_defaults, run_names
from engine.base_folders import cache_base, data_base
from engine.errors import RunDirError
from engine.flushing import fsync_folder


def finetui_home() -> Path:
    """Where runs lie: `$FINETUI_HOME`, else `paths.home` of the user's defaults, else `$XDG_DATA_HOME/finetui`."""
    if home := os.environ.get("FINETUI_HOME"):
        return Path(home)
    return own_defaults.folder("paths.home") or data_base() / "finetui"


def runs_root(named: str | Path | None = None) -> Path:
    """The folder that runs lie in: the one that is named, as `run.root` of a recipe does, else that of the home."""
    return Path(named) if named else finetui_home() / "runs"


def cache_dir() -> Path:
    """Where converted models lie: `$FINETUI_CACHE`, else `paths.cache` of the same, else `$XDG_CACHE_HOME/finetui`."""
    if cache := os.environ.get("FINETUI_CACHE"):
        return Path(cache)
    return own_defaults.folder("paths.cache") or cache_base() / "finetui"


def write_atomic(path: Path, text: str) -> None:
    """Replace a file whole: temporary file, flush, rename, flush the folder. Raises RunDirError."""
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        placed(temporary, path)
        temporary = None
        fsync_folder(path.parent)
    except OSError as fault:
        raise RunDirError(
            f"{path} cannot be written: {fault.strerror}.",
            means="Nothing that was there before is damaged.",
            remedy="Free space on that disk, or make the folder writable, and try again.",
        ) from fault
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises RunDirError when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise RunDirError(
            f"{path} cannot be read: {fault}.",
            means="The run folder is incomplete or damaged.",
            remedy="Start the run again with `finetui replay` on its recipe.toml.",
        ) from fault


@dataclass(frozen=True, slots=True)
class RunDir:
    """The folder of one run; `path` is absolute."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def reference(self) -> str:
        """What names this run on the command line: its name, or its path where it lies elsewhere."""
        return self.name if self.path.parent == runs_root().resolve() else str(self.path)

    @property
    def typed(self) -> str:
        """`reference` as a shell takes it for one word: what a remedy tells people to type is copied as it stands."""
        return shlex.quote(self.reference)

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def settled(self) -> Path:
        return self.path / "settled.toml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def supervisor(self) -> Path:
        return self.path / "supervisor.json"

    @property
    def worker(self) -> Path:
        return self.path / "worker.json"

    @property
    def heartbeat(self) -> Path:
        return self.path / "heartbeat"

    @property
    def lock(self) -> Path:
        return self.path / "supervisor.lock"

    @property
    def events(self) -> Path:
        return self.path / "events"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def control(self) -> Path:
        return self.path / "control"

    @property
    def model(self) -> Path:
        return self.path / "model.json"

    def beats(self, attempt: int) -> Path:
        """Where each rank of an attempt shows that it lives: `R.beat`."""
        return self.path / "ranks" / f"attempt-{attempt}"

    @property
    def model_config(self) -> Path:
        return self.path / "model_config.json"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset"

    @property
    def prepared(self) -> Path:
        return self.dataset / "prepared.json"

    @property
    def receipt(self) -> Path:
        return self.dataset / "receipt.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def answers(self) -> Path:
        return self.path / "answers"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def sweep(self) -> Path:
        return self.path / "sweep.json"

    def plan(self, number: int) -> Path:
        return self.path / f"plan-{number}.json"

    def newest_plan_file(self) -> Path:
        """The plan that attempts follow now. Raises RunDirError when there is none."""
        return self.plan(self.latest_plan_number())

    def latest_plan_number(self) -> int:
        """The highest N of `plan-N.json`. Raises RunDirError when there is none."""
        numbers = [int(m[1]) for p in self.path.glob("plan-*.json") if (m := re.fullmatch(r"plan-(\d+)\.json", p.name))]
        if not numbers:
            raise RunDirError(
                f"{self.path} holds no plan.",
                means="It is not a run folder, or its creation was interrupted.",
                remedy="`finetui runs` lists the runs that can be used.",
            )
        return max(numbers)

    def event_file(self, writer: str) -> Path:
        return self.events / f"{writer}.jsonl"

    def log_file(self, writer: str) -> Path:
        return self.log / f"{writer}.txt"

    def next_attempt(self) -> int:
        """1 for a fresh run, else one more than the highest attempt that left an event file."""
        names = [re.fullmatch(r"attempt-(\d+)", p.stem) for p in self.events.glob("attempt-*.jsonl")]
        return max((int(m[1]) for m in names if m), default=0) + 1

    @staticmethod
    def create(root: Path, recipe_name: str, *, name: str = "") -> RunDir:
        """Make `<root>/<recipe>-<n>` with the next free n, or the folder called `name`, readable by its owner only.

        Raises RunDirError when the root cannot be written or the name is taken, RecipeError for one that is none.
        """
        try:
            make_private(root)
            while True:
                path = run_names.require_free(root, name) if name else root / run_names.numbered(root, recipe_name)
                try:
                    path.mkdir(mode=0o700)
                    break
                except FileExistsError:  # taken a moment ago
                    continue
            run = RunDir(path.resolve())
            with run.gone_unless_made():
                for folder in (run.events, run.log, run.control, run.dataset, run.checkpoints, run.answers):
                    folder.mkdir(mode=0o700)
                for folder in (run.path, run.path.parent):
                    fsync_folder(folder)
        except OSError as fault:
            raise RunDirError(
                f"No run folder can be made under {root}: {fault.strerror}.",
                means="The run was not started.",
                remedy="Choose another place with FINETUI_HOME or --set run.root=/some/folder.",
            ) from fault
        return run

    @contextlib.contextmanager
    def gone_unless_made(self) -> Iterator[None]:
        """Remove the folder again where the block that fills it fails: half of one would be taken for a run."""
        try:
            yield
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    @staticmethod
    def open(reference: str, root: Path | None = None) -> RunDir:
        """The run of that name under `root`, or at that path; also by how its name begins, and `-` for the newest.

        Raises RunDirError naming near ones, or those that begin so where there are several.
        """
        import difflib

        root = runs_root(root)
        for path in (root / reference, Path(reference)):
            if any(map(os.path.exists, (path / "events", path / "supervisor.json"))):  # False for names that cannot be
                return RunDir(path.resolve())
        names = [run.name for run in list_runs(root)]
        if name := run_names.meant(reference, names):
            return RunDir((root / name).resolve())
        near = difflib.get_close_matches(reference, names, n=3, cutoff=0.4) or names[-3:]
        raise RunDirError(
            f"There is no run {reference!r}.",
            means=f"Looked in {root} and at that path.",
            remedy=f"Did you mean {', '.join(near)}?"
            if near
            else "No run was made yet; `finetui presets` shows a start.",
        )


def list_runs(root: Path | None = None) -> list[RunDir]:
    """Every run under a root, the one changed last at the end."""
    root = runs_root(root)
    if not root.is_dir():
        return []
    found: list[tuple[float, str, RunDir]] = []
    with os.scandir(root.resolve()) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # on its way out (`cleaning`)
                continue
            try:
                events = os.stat(f"{entry.path}/events")  # noqa: PTH116 - of ten thousand runs
            except OSError:
                continue
            if stat.S_ISDIR(events.st_mode):
                path = Path(entry.path).resolve() if entry.is_symlink() else Path(entry.path)
                found.append((events.st_mtime, path.name, RunDir(path)))
    return [run for _, _, run in sorted(found, key=lambda each: each[:2])]
