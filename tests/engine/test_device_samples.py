"""What the supervisor sees of a worker: real processes, and a driver that a stand-in library plays."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.device_samples import DeviceSampler, Processes, busy_percent, own_bytes, processes_of
from engine.gpu import GpuProcess
from engine.hardware import emulate, read_hardware
from engine.units import GIB, MIB

WORKER = """
import subprocess, sys
held = bytearray(200 * 2**20)
waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(waiting, stdin=subprocess.PIPE)
sum(number * number for number in range(3_000_000))
print(child.pid, flush=True)
sys.stdin.read()
"""
SAMPLE = """
import json, os, sys, dataclasses
from pathlib import Path
from engine.device_samples import DeviceSampler
os.setsid()
plan = type("Plan", (), {"device": "cuda:0", "device_uuid": sys.argv[1]})
sample = DeviceSampler(os.getpid(), plan, Path.cwd()).sample()
print(json.dumps(dataclasses.asdict(sample) if sample else None))
assert "torch" not in sys.modules
"""


@pytest.fixture
def worker() -> Iterator[tuple[int, int]]:
    """A process with a session of its own that holds 200 MiB, and its child: their pids."""
    command = [sys.executable, "-c", WORKER]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    child = next(int(line) for line in process.stdout if line.strip())
    yield process.pid, child
    process.communicate()


def test_a_worker_and_its_children_are_counted_together(worker: tuple[int, int]) -> None:
    found = processes_of(worker[0])
    assert found.pids == set(worker)
    assert 200 * MIB < found.rss_bytes < 1 * GIB
    assert found.cpu_seconds > 0
    assert processes_of(2**30).pids == frozenset()


def test_without_a_card_the_device_is_the_ram_and_the_cores(worker: tuple[int, int], tmp_path: Path) -> None:
    sampler = DeviceSampler(worker[0], None, tmp_path)
    assert sampler.is_due()
    first = sampler.sample()
    assert first is not None
    assert not sampler.is_due(), "the next look is seconds away"
    assert first.device == "cpu"
    assert first.utilisation_percent is None, "one look tells nothing of what happens in between"
    assert (first.device_used_bytes, first.device_total_bytes) == (first.ram_used_bytes, first.ram_total_bytes)
    assert first.own_bytes is not None
    assert 200 * MIB < first.own_bytes < first.ram_total_bytes
    assert first.disk_free_bytes > 0
    second = sampler.sample()
    assert second is not None
    assert second.utilisation_percent is not None
    assert 0 <= second.utilisation_percent <= 100


def test_the_busy_share_is_of_the_usable_cores_and_never_negative() -> None:
    def look(time: float, cpu_seconds: float) -> Processes:
        return Processes(time, frozenset(), 0, cpu_seconds)

    assert busy_percent(None, look(1, 1), 2) is None
    assert busy_percent(look(1, 1), look(6, 8.5), 2) == 75.0
    assert busy_percent(look(1, 5), look(6, 1), 2) == 0.0, "a child ended and took its seconds along"
    assert busy_percent(look(1, 0), look(2, 9), 2) == 100.0


def test_a_card_that_names_processes_by_other_pids_does_not_tell_which_are_ours() -> None:
    (card,) = emulate(read_hardware(), "t4").gpus

    def holding(*processes: GpuProcess) -> Any:
        return dataclasses.replace(card, processes=processes)

    ours, foreign, mute = GpuProcess(7, 100, "python"), GpuProcess(9, 50, None), GpuProcess(7, None, "python")
    assert own_bytes(holding(ours, foreign), frozenset({7, 8})) == 100
    assert own_bytes(holding(foreign), frozenset({7})) is None
    assert own_bytes(holding(GpuProcess(9, 50, "game")), frozenset({7})) == 0
    assert own_bytes(holding(mute), frozenset({7})) is None
    assert own_bytes(holding(), frozenset({7})) == 0


@pytest.fixture
def sampled(driver_dir: Path) -> Callable[[str, str], dict[str, Any] | None]:
    """One look at a card of the stand-in's scenario, taken by a process that is its own worker."""

    def look(scenario: str, uuid: str) -> dict[str, Any] | None:
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", "-c", SAMPLE, uuid],
            env=os.environ | {"LD_LIBRARY_PATH": str(driver_dir), "NVML_STUB_SCENARIO": scenario},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] | None = json.loads(done.stdout)
        return found

    return look


def test_of_a_card_its_memory_ours_and_others_its_load_heat_and_draw_are_told(sampled: Any) -> None:
    found = sampled("rtx3050-6gb", "GPU-30503050-3050")
    assert found is not None
    assert found["device"] == "cuda:0"
    assert found["device_total_bytes"] == 6144 * MIB
    assert found["device_used_bytes"] == (1024 + 205) * MIB
    assert found["own_bytes"] == 512 * MIB
    assert (found["utilisation_percent"], found["temperature_celsius"], found["power_watts"]) == (37, 55, 28.5)


def test_the_first_card_is_looked_at_where_the_plan_names_none(sampled: Any) -> None:
    assert sampled("two-unequal", "")["temperature_celsius"] == 55


def test_of_a_mig_slice_its_own_memory_and_its_cards_heat_are_told(sampled: Any) -> None:
    found = sampled("h100-mig", "MIG-33333333-bbbb")
    assert found["device_total_bytes"] == 40448 * MIB
    assert found["temperature_celsius"] == 33
    assert (found["utilisation_percent"], found["power_watts"]) == (None, None)


@pytest.mark.parametrize(
    ("scenario", "uuid"), [("one-lost", "GPU-00000000-lost"), ("t4", "GPU-unknown"), ("not-loaded", "")]
)
def test_a_card_that_does_not_answer_is_no_sample_and_no_error(sampled: Any, scenario: str, uuid: str) -> None:
    assert sampled(scenario, uuid) is None


def test_a_mute_card_still_tells_its_memory(sampled: Any) -> None:
    found = sampled("mute", "GPU-00000000-mute")
    assert found["device_total_bytes"] == 8192 * MIB
    assert (found["utilisation_percent"], found["temperature_celsius"], found["power_watts"]) == (None, None, None)
