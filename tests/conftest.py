"""What every test gets unasked: a machine of its own, no network, and the slow tests last.

The environment is set here at import, before any library that reads it once (huggingface_hub does) can be
loaded, and child processes inherit it. Nothing of the developer's home, caches or tokens is read or written.
What a test needs for its own subject lives beside that test.
"""

from __future__ import annotations

import errno
import gc
import importlib.util
import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("finetui", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("finetui")
SESSION = Path(tempfile.mkdtemp(prefix="finetui-tests-"))
# One cache for the whole session, also where processes share the tests: a bundled model is converted once, and a dry
# run is made once, whichever test needs it first.
CACHE = Path(os.environ.setdefault("CACHE_OF_THE_TESTS", str(SESSION / "cache")))
NUM_MODULES_FROZEN = [0]
MANY_MODULES = 200
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "WANDB_API_KEY")
SHARED = {
    "FINETUI_CACHE": str(CACHE),
    "HF_HOME": str(SESSION / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def _own_machine(root: Path) -> dict[str, str]:
    """The variables that say where a program's files belong, all below `root`."""
    return {
        "HOME": str(root / "home"),
        "XDG_CONFIG_HOME": str(root / "home" / ".config"),
        "XDG_DATA_HOME": str(root / "home" / ".local" / "share"),
        "XDG_STATE_HOME": str(root / "home" / ".local" / "state"),
        "XDG_CACHE_HOME": str(root / "home" / ".cache"),
        "XDG_RUNTIME_DIR": str(root / "run"),
        "FINETUI_HOME": str(root / "finetui"),
    }


def _shut_out_the_machine() -> None:
    for name in list(os.environ):
        if name.startswith(("FINETUI_", "HF_", "XDG_", "TRANSFORMERS_")) or name in SECRETS:
            del os.environ[name]
    os.environ.pop("PYTHONPATH", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would compile the same modules
    os.environ.update(_own_machine(SESSION) | SHARED)
    for folder in (SESSION / "home", SESSION / "run", CACHE):
        folder.mkdir(exist_ok=True)


def _be_interruptible() -> None:
    """Let Ctrl-C reach what is started here: who runs the tests in the background of a script ignores it, and so does
    every child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_own_cores() -> None:
    """Give each of the processes that share the tests its share of the cores.

    Two that train on the same two cores wait for each other at every operation, and take three times as long.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw").removeprefix("gw")
    cores = sorted(os.sched_getaffinity(0))
    if number:
        share = cores[int(number) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, share or [cores[int(number) % len(cores)]])


_shut_out_the_machine()
_be_interruptible()
_take_own_cores()


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> None:
    """Take what was imported out of the garbage collector's way, again whenever much was imported since.

    Trainers look for garbage after each training: of the tests of one that was half of the time.
    """
    if not gc.get_freeze_count() or len(sys.modules) > NUM_MODULES_FROZEN[0] + MANY_MODULES:
        gc.collect()
        gc.freeze()
        NUM_MODULES_FROZEN[0] = len(sys.modules)


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a place for runs that no other test sees. Returns the folder that `FINETUI_HOME` names."""
    root = tmp_path_factory.mktemp("machine")
    for folder in ("home", "run", "finetui"):
        (root / folder).mkdir()
    for name, value in _own_machine(root).items():
        monkeypatch.setenv(name, value)
    return root / "finetui"


def _is_this_machine(host: object) -> bool:
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only loopback answers. An attempt to reach further fails as on a machine without a network, and so does the test.

    The second half matters: libraries swallow a failed telemetry call, and a swallowed call is still a call.
    """
    attempts: list[str] = []
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def allowed(endpoint: socket.socket, address: Any) -> bool:
        if endpoint.family not in (socket.AF_INET, socket.AF_INET6) or _is_this_machine(address[0]):
            return True
        attempts.append(f"connect to {address}")
        return False

    def guarded_connect(endpoint: socket.socket, address: Any) -> None:
        if not allowed(endpoint, address):
            raise OSError(errno.ENETUNREACH, "tests run without a network")
        connect(endpoint, address)

    def guarded_connect_ex(endpoint: socket.socket, address: Any) -> int:
        return connect_ex(endpoint, address) if allowed(endpoint, address) else errno.ENETUNREACH

    def guarded_resolve(host: Any, *rest: Any, **named: Any) -> Any:
        if _is_this_machine(host.decode() if isinstance(host, bytes) else host):
            return resolve(host, *rest, **named)
        attempts.append(f"look up {host!r}")
        raise socket.gaierror(socket.EAI_NONAME, "tests run without a network")

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield
    assert attempts == [], "something tried to leave this machine"


@pytest.fixture(scope="session")
def tiny_models() -> Any:
    """The module tests/tiny_model.py, loaded (and torch with it) only where a test asks for it."""
    spec = importlib.util.spec_from_file_location("tiny_model", Path(__file__).with_name("tiny_model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_model_of(tiny_models: Any) -> Callable[[str], Path]:
    """Family -> the folder of its tiny model, made once for the whole session. Read it, never write to it."""

    def folder_of(family: str) -> Path:
        folder = SESSION / "tiny-models" / family
        return folder if folder.is_dir() else Path(tiny_models.write_tiny_model(folder, family))

    return folder_of


@pytest.fixture(scope="session")
def tiny_model_folder(tiny_model_of: Callable[[str], Path]) -> Path:
    """A tiny Llama with a ChatML tokenizer: see tests/tiny_model.py."""
    return tiny_model_of("llama")


@pytest.fixture
def control_group() -> Iterator[Callable[[int], Path]]:
    """Makes a control group below our own that allows so many bytes."""
    from engine.host import control_groups

    made: list[Path] = []

    def make(limit: int) -> Path:
        own = next(iter(control_groups("memory")), None)
        name = next((each for each in ("memory.max", "memory.limit_in_bytes") if own and (own / each).exists()), "")
        if own is None or not name:
            pytest.skip("no control group of this process limits memory")
        group = own / f"finetui-test-{os.getpid()}"
        try:
            group.mkdir()
            made.append(group)
            (group / name).write_text(str(limit))
        except OSError as fault:
            pytest.skip(f"this user may make no control group: {fault}")
        return group

    yield make
    for group in made:
        group.rmdir()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, so that a plain mistake shows in seconds; the order within each half stays.

    `slow(seconds=…)` says how long a whole file takes about: the longest begin first, so that processes which share the
    work (`make test`) end together.
    """
    seconds: dict[Path, float] = {}
    for item in items:
        if slow := item.get_closest_marker("slow"):
            seconds[item.path] = max(seconds.get(item.path, 0.0), slow.kwargs.get("seconds", 0.0))

    def rank(item: pytest.Item) -> tuple[bool, float]:
        is_slow = item.get_closest_marker("slow") is not None
        return is_slow, -seconds[item.path] if is_slow else 0.0

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where processes share the tests, each file of tests/runs stays in one: what its tests share takes long to make.

    The plugin's own groups have no effect: xdist 3.8 writes them where pytest 9.2 does not look.
    """
    from xdist.scheduler import LoadScopeScheduling

    class RunsByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("::")[0] if nodeid.startswith("tests/runs/") else nodeid

    return RunsByFile(config, log)


def pytest_sessionfinish() -> None:
    shutil.rmtree(SESSION, ignore_errors=True)
