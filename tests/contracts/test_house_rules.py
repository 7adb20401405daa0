"""Rules of the house that no linter holds: sizes, names, docstrings, process edges.

Each rule looks at the source as it lies in the checkout, so new files are held to it unasked. What needs the
import graph is in test_layers.py, what documents promise in test_documents.py.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("tui_app", "presets", "engine", "data")
SOURCES = sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py"))
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
LONG_FUNCTIONS: frozenset[str] = frozenset()
"""`path:name` of functions allowed to be longer. Meant to stay empty."""

VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}

BROAD_EXCEPTS = {
    "engine/worker_edge.py": 2,  # a worker's, and the supervisor's, escape becomes the last event
    "engine/doctor/worker.py": 1,  # whatever a library raises on import is what was asked
    "engine/evaluation/confined_program.py": 2,  # whatever a model's code does is its outcome
    "engine/training/dry_run/worker.py": 1,  # one question that cannot be tried must not end the process
    "tui_app/widgets/panel_view.py": 1,  # a panel that fails says so; the screen and the run go on
    "tui_app/cli.py": 1,  # the program's edge: no traceback reaches a screen
}
"""Where `except Exception` may stand, and how often: only at the edge of a process."""

UNSAFE_MODULES = {
    "multiprocessing": "it cannot start processes inside Textual; use subprocess",
    "pickle": "loading it runs code; use safetensors or JSON",
    "marshal": "loading it runs code",
    "shelve": "it is pickle underneath",
    "dill": "it is pickle underneath",
    "joblib": "it is pickle underneath",
}
UNSAFE_CALLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"}
RUNS_CODE = {"engine/evaluation/confined_program.py": ["exec", "exec"]}
"""The one file that runs code out of a text, after its process has given up what it may do."""


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of a kind in the four packages, with the file it stands in."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kind):
                yield path, node


def test_every_file_is_written_for_the_oldest_python_that_is_promised() -> None:
    faults = []
    for path in SOURCES + TESTS:
        try:
            ast.parse(path.read_text(), feature_version=(3, 11))
        except SyntaxError as fault:
            faults.append(f"{name_of(path)}:{fault.lineno} {fault.msg}")
    assert faults == []


def test_no_file_outgrows_four_hundred_lines() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES + TESTS}
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_no_function_outgrows_fifty_lines() -> None:
    long = set()
    for path, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        assert node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES:
            long.add(f"{name_of(path)}:{node.name}")
    assert long == LONG_FUNCTIONS


def test_every_module_says_what_lives_in_it() -> None:
    silent = [
        name_of(path)
        for path in SOURCES + TESTS
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    vague = []
    for path in SOURCES:
        words = [word for part in path.relative_to(CHECKOUT).with_suffix("").parts for word in part.split("_")]
        vague += [name_of(path)] if VAGUE_NAMES & set(words) else []
    for path, node in nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        words = [word.lower() for word in re.findall(r"[A-Z][a-z0-9]*", node.name)]
        vague += [f"{name_of(path)}:{node.name}"] if VAGUE_NAMES & set(words) else []
    assert vague == []


def test_everything_is_caught_only_at_the_edge_of_a_process() -> None:
    """ruff's BLE001 refuses every broad except that is not marked; here each mark is counted."""
    marks = Counter({name_of(path): path.read_text().count("noqa: BLE001") for path in SOURCES})
    assert +marks == Counter(BROAD_EXCEPTS)


def test_nothing_that_runs_foreign_code_is_imported() -> None:
    found = []
    for path, node in nodes((ast.Import, ast.ImportFrom)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            assert isinstance(node, ast.ImportFrom)
            modules = [node.module or ""] if not node.level else []
        unsafe = {module.partition(".")[0] for module in modules} & set(UNSAFE_MODULES)
        found += [f"{name_of(path)}:{node.lineno} {module}: {UNSAFE_MODULES[module]}" for module in unsafe]
    assert found == []


def test_no_call_hands_text_to_a_shell_or_an_interpreter() -> None:
    found, allowed = [], dict[str, list[str]]()
    for path, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        options = {word.arg: ast.unparse(word.value) for word in node.keywords}
        called = ast.unparse(node.func)
        if called in UNSAFE_CALLS and name_of(path) in RUNS_CODE:
            allowed.setdefault(name_of(path), []).append(called)
        elif called in UNSAFE_CALLS or options.get("shell", "False") != "False":
            found.append(f"{name_of(path)}:{node.lineno} {called}")
        if called == "torch.load" and options.get("weights_only") != "True":
            found.append(f"{name_of(path)}:{node.lineno} torch.load without weights_only=True")
    assert found == []
    assert allowed == RUNS_CODE
