"""What a fresh interpreter really loads: the run-time half of the layering rule.

The static half is test_layers.py. Neither alone is enough: import-linter does not see what a third-party
package pulls in, and a run sees only the path it takes.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.event_log import EventWriter
from engine.events import (
    RunStarted,
    StageStarted,
    StepLogged,
    TrainingStarted,
)
from engine.run_dir import RunDir

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("tui_app", "presets", "engine", "data")
TRAINING = CHECKOUT / "engine" / "training"
HEAVY = {"torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets"}
SCREEN = {"textual", "rich", "questionary"}
COMMAND_LINE_BUDGET = HEAVY | SCREEN | {"pydantic"}
NEVER_ON_A_SCREEN = HEAVY | {"numpy"}
AFTER_THE_FIRST_FRAME = {"pydantic", "huggingface_hub"}
NO_WIDGETS = {"textual", "questionary"}
PAGE = """
import asyncio, json, sys
from pathlib import Path
from engine.run_dir import RunDir
from tui_app.app import FinetuiApp
from {module} import {page}

def loaded():
    return sorted({{name.partition(".")[0] for name in sys.modules}})

class Watched({page}):
    def on_mount(self):  # the page's own runs too, after this one
        self.call_after_refresh(lambda: print(json.dumps(loaded())))

async def main():
    async with FinetuiApp(lambda: Watched({arguments})).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    print(json.dumps(loaded()))

asyncio.run(main())
"""
"""Opens a page; prints what is loaded at its first frame, and what once it has read all it wants to show."""


def loaded_after(code: str) -> set[str]:
    """Top-level modules in `sys.modules` once a fresh `python -P` has run `code`, leaving out what it starts with."""
    report = "import sys, json; before = set(sys.modules)\n"
    report += f"try:\n    exec({code!r})\nexcept SystemExit:\n    pass\n"
    report += "names = {n.partition('.')[0] for n in set(sys.modules) - before}\n"
    report += "print('\\n' + json.dumps(sorted(names)))"
    done = subprocess.run([sys.executable, "-P", "-c", report], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules() -> list[str]:
    """Every module of the four packages that is importable without torch, by name."""
    names = []
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            if TRAINING not in path.parents and path.name != "__main__.py":
                relative = path.relative_to(CHECKOUT).with_suffix("")
                names.append(".".join(part for part in relative.parts if part != "__init__"))
    return names


def imported_at_module_level(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of each import that runs when the module is loaded; TYPE_CHECKING blocks do not."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]
        pending.extend(ast.iter_child_nodes(node))


def test_only_training_names_a_heavy_library_at_module_level() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for package in PACKAGES
        for path in sorted((CHECKOUT / package).rglob("*.py"))
        if TRAINING not in path.parents
        for line, name in imported_at_module_level(ast.parse(path.read_text()))
        if name in HEAVY or (name in SCREEN and package != "tui_app")
    ]
    assert found == []


def test_every_module_outside_training_imports_without_a_heavy_library() -> None:
    everything = "\n".join(f"import {name}" for name in modules() if not name.startswith("tui_app"))
    assert loaded_after(everything) & (HEAVY | SCREEN) == set()


def test_the_command_line_opens_without_torch_pydantic_or_a_screen() -> None:
    assert loaded_after("import tui_app.cli") & COMMAND_LINE_BUDGET == set()


@pytest.mark.parametrize("module", ["engine.supervisor", "engine.launcher", "engine.run_state"])
def test_what_watches_a_run_loads_no_training_and_no_screen(module: str) -> None:
    assert loaded_after(f"import {module}") & (HEAVY | SCREEN) == set()


@pytest.fixture
def recorded_run(own_machine: Path) -> str:
    """A run that took two steps and whose supervisor is gone; its name."""
    run = RunDir.create(own_machine / "runs", "recorded")
    writer = EventWriter(run.event_file("supervisor"))
    writer.write(RunStarted(run=run.name, recipe="recorded", resumed=False, host="elsewhere", pid=1))
    writer.write(StageStarted(stage="train"))
    writer.close()
    writer = EventWriter(run.event_file("attempt-1"))
    writer.write(TrainingStarted(max_steps=2, num_rows=4, effective_batch_size=2, resumed_from_step=0))
    for step in (1, 2):
        writer.write(
            StepLogged(
                step=step,
                max_steps=2,
                epoch=step / 2,
                loss=3.0,
                learning_rate=1e-3,
                grad_norm=None,
                num_tokens=80,
                step_seconds=2.0,
                rss_bytes=1 << 30,
            )
        )
    writer.close()
    return run.name


@pytest.mark.parametrize("command", ["--help", "runs", "status NAME", "presets"])
def test_looking_at_runs_loads_no_training_library(recorded_run: str, command: str) -> None:
    arguments = command.replace("NAME", recorded_run).split()
    loaded = loaded_after(f"from tui_app.cli import main; main({arguments!r})")
    assert loaded & (HEAVY | SCREEN) == set()


def test_the_status_of_a_run_is_told_without_pydantic(recorded_run: str) -> None:
    assert (
        loaded_after(f"from tui_app.cli import main; main(['status', {recorded_run!r}])") & COMMAND_LINE_BUDGET == set()
    )


@pytest.mark.parametrize(
    ("module", "page", "arguments"),
    [
        ("tui_app.screens.wizard", "WizardScreen", ""),
        ("tui_app.screens.live", "LiveScreen", "RunDir(Path({run!r}))"),
        ("tui_app.screens.runs", "RunsPage", ""),
    ],
)
def test_a_pages_first_frame_waits_for_no_slow_library_and_none_for_training_is_ever_loaded(
    module: str, page: str, arguments: str, own_machine: Path, recorded_run: str
) -> None:
    filled = arguments.format(run=str(own_machine / "runs" / recorded_run))
    code = PAGE.format(module=module, page=page, arguments=filled)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first_frame, at_the_end = (set(json.loads(line)) for line in done.stdout.splitlines())
    assert first_frame & (NEVER_ON_A_SCREEN | AFTER_THE_FIRST_FRAME) == set()
    assert at_the_end & NEVER_ON_A_SCREEN == set()


@pytest.mark.parametrize("package", ["chart", "panels", "runs", "steps"])
def test_what_is_asked_and_what_is_drawn_loads_no_widget(package: str) -> None:
    names = [name for name in modules() if name.startswith(f"tui_app.{package}.")]
    assert loaded_after("\n".join(f"import {name}" for name in names)) & (NO_WIDGETS | HEAVY) == set()
