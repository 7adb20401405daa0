"""Whether the kernel killed a worker for its memory: from kernel files laid out in a folder, and for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.kernel_kills import OOM_SCORE_ADJ, Witness, look, volunteer

GIB_IN_KB = 1024**2
V1 = "32 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 24 GiB RAM, half of it free, and a worker (process 7) that holds 4 GiB."""
    write(tmp_path, "proc/meminfo", f"MemTotal: {24 * GIB_IN_KB} kB\nMemAvailable: {12 * GIB_IN_KB} kB\n")
    write(tmp_path, "proc/vmstat", "nr_free_pages 5\noom_kill 3\n")
    write(tmp_path, "proc/7/status", f"Name:\tpython\nVmRSS:\t {4 * GIB_IN_KB} kB\n")
    return tmp_path


def test_without_evidence_a_kill_is_somebodys_kill(machine: Path) -> None:
    witness = Witness(7, machine)
    assert witness.testimony() == "", "nobody looked"
    witness.look()
    assert witness.testimony() == ""


@pytest.mark.parametrize(
    ("mount", "group", "name", "before", "after"),
    [
        (V2, "0::/job", "sys/fs/cgroup/job/memory.events", "oom 1\noom_kill 1\n", "oom 2\noom_kill 2\n"),
        (
            V1,
            "4:memory:/job",
            "sys/fs/cgroup/memory/job/memory.oom_control",
            "under_oom 0\noom_kill 0\n",
            "under_oom 0\noom_kill 1\n",
        ),
    ],
)
def test_the_counter_of_its_control_group_shows_it(
    machine: Path, mount: str, group: str, name: str, before: str, after: str
) -> None:
    write(machine, "proc/self/mountinfo", mount)
    write(machine, "proc/self/cgroup", f"{group}\n")
    write(machine, name, before)
    witness = Witness(7, machine)
    witness.look()
    write(machine, name, after)
    assert witness.testimony() == "The kernel killed it because its control group ran out of RAM; it held 4.0 GiB."


def test_the_machines_counter_shows_it_when_it_rose_at_that_moment(machine: Path) -> None:
    witness = Witness(7, machine)
    witness.look()
    write(machine, "proc/vmstat", "oom_kill 4\n")
    assert "for lack of RAM at that moment; it held 4.0 GiB" in witness.testimony()


def test_a_kill_that_no_counter_shows_is_believed_where_no_ram_was_left(machine: Path) -> None:
    write(machine, "proc/meminfo", f"MemTotal: {24 * GIB_IN_KB} kB\nMemAvailable: {GIB_IN_KB // 2} kB\n")
    witness = Witness(7, machine)
    witness.look()
    assert "killed when 512 MiB of 24.0 GiB RAM were left" in witness.testimony()
    write(machine, "proc/7/status", "VmRSS:\t 1024 kB\n")
    witness.look()
    assert witness.testimony() == "", "a small process in a full machine was not the one to blame"


def test_a_real_process_is_looked_at_with_its_real_memory() -> None:
    reading = look(os.getpid())
    assert 1024**2 < reading.worker_bytes < reading.total_bytes
    assert 0 < reading.available_bytes <= reading.total_bytes


def test_a_killed_process_leaves_no_evidence_and_a_volunteer_is_the_kernels_first_choice() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    volunteer(child.pid)
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == str(OOM_SCORE_ADJ)
    witness = Witness(child.pid)
    witness.look()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert witness.testimony() == ""
    volunteer(child.pid)  # of a process that is gone: nothing to do


KILLED = """
import subprocess, sys
from engine.kernel_kills import Witness, volunteer

child = subprocess.Popen([sys.executable, "-c", "input(); bytearray(200 * 2**20)"], stdin=subprocess.PIPE)
volunteer(child.pid)
witness = Witness(child.pid)
witness.look()
child.stdin.write(b"\\n")
child.stdin.close()
while child.poll() is None:
    witness.look()
print(child.returncode, witness.testimony())
"""


def test_a_real_kill_by_the_kernel_in_a_real_control_group_is_told_by_name(
    control_group: Callable[[int], Path],
) -> None:
    group = control_group(60 * 2**20)
    join = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"']
    done = subprocess.run([*join, sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert told.startswith("-9 The kernel killed it because its control group ran out of RAM; it held ")
    assert "held 0 B" not in told
