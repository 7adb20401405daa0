"""The pages about runs, read as their reader reads them: every command typed in the order of the page.

All pages share one place for runs and one model: a tiny one stands where the demo's model lies once it is converted.
Runs are two steps long. What reads a run and was typed on an earlier page is not typed again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.bundled_models import bundled_file, bundled_model
from engine.converted_models import MANIFEST, folder_name, shelf_of
from engine.events import StepLogged
from engine.file_hashes import file_hashes
from engine.run_dir import list_runs
from tests.documents import CHECKOUT, TWO_STEPS, Done, walk
from tests.runs.conftest import Workshop, end_all
from tui_app.cli import main

pytestmark = pytest.mark.slow(seconds=120)

DOCS = CHECKOUT / "docs"
PAGES = (
    CHECKOUT / "README.md",
    DOCS / "first-run.md",
    DOCS / "over-ssh.md",
    DOCS / "after-the-run.md",
    DOCS / "export-to-ollama.md",
    DOCS / "when-memory-runs-out.md",
    DOCS / "choosing-a-method.md",
    DOCS / "two-gpus.md",
    DOCS / "headless-and-ci.md",
    DOCS / "events.md",
    DOCS / "troubleshooting.md",
    DOCS / "your-own-data.md",
)
"""In the order in which runs come about: `demo-cpu-1` on the first, `demo-cpu-2` over SSH."""
SHORT = (*TWO_STEPS, "training.save_steps=100")
"""The scores, the probe and the dry run stay."""
SHORTEST = (*SHORT, "evaluation.enabled=false", "memory.probe=false")
ADDED = {
    "replay": SHORTEST,
    "replay demo-cpu": SHORT,
    "replay my-recipe.toml": (*(each for each in SHORTEST if "generator" not in each), "ladder.enabled=false"),
    "replay demo-cpu --vram": SHORTEST,
    "replay demo-cpu --set": SHORTEST,
    "replay demo-cpu --dry-run": SHORTEST,
    # A run that is steered must last until it is stopped.
    "replay demo-cpu --detach": (*SHORTEST, "training.max_steps=5000"),
    "replay demo-cpu-1": (),
    "resume": ("--detach",),
    # The dry run of every rung takes a minute of computing; a run makes one of its own plan.
    "plan": ("--closed-form",),
    "export demo-cpu-1": ("--rows=2",),
    "eval": ("--max-rows=2",),
    "chat": ("--max-new-tokens=4",),
    "queue add": SHORTEST,
    "doctor": ("--quick", "--offline"),
}
READS = ("chat", "doctor", "eval", "explain", "export", "plan", "report", "runs")


@dataclass(slots=True)
class Reader:
    """Somebody who reads page after page, with one place for runs. `known`: what was typed and need not be again."""

    folder: Path
    home: Path
    cache: Path
    known: set[tuple[str, ...]] = field(default_factory=set)

    def types(self, words: Sequence[str]) -> int:
        """Carry out one command of a page; 0 for one that was carried out before and changes nothing."""
        key = tuple(words)
        if key in self.known:
            return 0
        code = self.started(words) if "--detach" in words else main(words)
        if words[0] in READS or key[:3] == ("replay", "demo-cpu", "--set") or "--dry-run" in words:
            self.known.add(key)
        return code

    def started(self, words: Sequence[str]) -> int:
        """Start a run that goes on by itself, and wait until it trains: only then it can be steered.

        By a process of its own: this one would be the parent of a process that outlives the test.
        """
        done = subprocess.run([sys.executable, "-P", "-m", "tui_app", *words], check=False)
        if done.returncode == 0 and words[0] == "replay":
            Workshop.wait_for(list_runs(self.home / "runs")[-1], lambda event: isinstance(event, StepLogged))
        return done.returncode


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Reader:
    """A reader whose cache holds the demo's model as it would lie there after its conversion, but tiny."""
    root = tmp_path_factory.mktemp("reader")
    made = Reader(root / "folder", root / "home", root / "cache")
    for folder in (made.folder, made.home, made.cache):
        folder.mkdir()
    gguf = bundled_file(bundled_model("smollm2-135m-instruct"))
    ((_, sha256, _),) = file_hashes(gguf, cache_dir=made.cache)
    tiny = shelf_of(made.cache) / folder_name(gguf, sha256)
    shutil.copytree(tiny_model_folder, tiny)
    found = file_hashes(tiny, cache_dir=made.cache)
    files = [{"name": name, "sha256": digest, "bytes": size} for name, digest, size in found]
    (tiny / MANIFEST).write_text(json.dumps({"gguf": {"sha256": sha256}, "notes": [], "files": files}))
    return made


@pytest.fixture
def typing(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], list[Done]]]:
    """Page -> what became of each of its commands. What still runs at the end of a page is not waited for."""
    monkeypatch.chdir(reader.folder)
    monkeypatch.setenv("FINETUI_HOME", str(reader.home))
    monkeypatch.setenv("FINETUI_CACHE", str(reader.cache))
    yield lambda page: list(walk(page, reader.folder, reader.types, added=ADDED))
    end_all(reader.home)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, typing: Callable[[Path], list[Done]]) -> None:
    done = typing(page)
    assert [each for each in done if each.code != each.expected] == []
