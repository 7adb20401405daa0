"""What finetui reads about the machine around the card, from kernel files laid out in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import host
from engine.units import GIB, MIB


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no driver library"),
        ({"dev/kfd": ""}, "AMD"),
        ({"sys/class/drm/card0/device/vendor": "0x1002\n"}, "AMD"),
        ({"sys/class/drm/card0/device/vendor": "0x8086\n"}, "Intel"),
        ({"sys/class/drm/card1/device/vendor": "0x10de\n"}, "start the container with --gpus all"),
        (
            {"sys/bus/pci/devices/0:1/vendor": "0x10de\n", "sys/bus/pci/devices/0:1/class": "0x030200\n"},
            "sudo ubuntu-drivers install",
        ),
        (
            {"sys/bus/pci/devices/0:2/vendor": "0x10de\n", "sys/bus/pci/devices/0:2/class": "0x0403\n"},
            "no driver library",
        ),
    ],
)
def test_a_machine_without_nvidia_driver_says_what_it_has_instead(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    assert reason in host.other_accelerator(lay_out(tmp_path, files))


MEMINFO = {"proc/meminfo": f"MemTotal: {24 * MIB} kB\nMemFree: 5 kB\nMemAvailable: {20 * MIB} kB\n"}
V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = (
    "32 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 23 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
)


def test_ram_is_the_machines_where_nothing_limits_it(tmp_path: Path) -> None:
    ram = host.read_ram(lay_out(tmp_path, MEMINFO))

    assert (ram.total_bytes, ram.available_bytes, ram.limit_note) == (24 * GIB, 20 * GIB, "")


def test_the_tightest_control_group_above_the_process_limits_its_ram(tmp_path: Path) -> None:
    files = MEMINFO | {
        "proc/self/cgroup": "0::/batch/job7/step\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/batch/memory.max": f"{16 * GIB}\n",
        "sys/fs/cgroup/batch/memory.current": f"{15 * GIB}\n",
        "sys/fs/cgroup/batch/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
        "sys/fs/cgroup/batch/job7/memory.max": f"{8 * GIB}\n",
        "sys/fs/cgroup/batch/job7/memory.current": f"{1 * GIB}\n",
        "sys/fs/cgroup/batch/job7/step/memory.max": "max\n",
    }

    ram = host.read_ram(lay_out(tmp_path, files))

    assert ram.total_bytes == 8 * GIB
    assert ram.available_bytes == 3 * GIB, "the batch has 16 - (15 - 2 of cache) left, which is less than the job's 7"
    assert "job7 allows 8.0 GiB of the machine's 24.0 GiB" in ram.limit_note


def test_version_1_control_groups_limit_ram_and_cores_too(tmp_path: Path) -> None:
    # A container without a namespace: the mount begins at the container's own group.
    files = MEMINFO | {
        "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        "proc/self/mountinfo": V1.replace("0:29 /", "0:29 /docker/abc"),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GIB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {1 * GIB}\n",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us": "100000\n",
        "sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": "100000\n",
    }
    root = lay_out(tmp_path, files)

    assert (host.read_ram(root).total_bytes, host.read_ram(root).available_bytes) == (4 * GIB, 2 * GIB)
    assert host.count_cores(root) == 1


def test_a_version_1_group_without_a_limit_writes_a_huge_number_which_limits_nothing(tmp_path: Path) -> None:
    files = MEMINFO | {
        "proc/self/cgroup": "4:memory:/\n",
        "proc/self/mountinfo": V1,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }

    assert host.read_ram(lay_out(tmp_path, files)).limit_note == ""


@pytest.mark.parametrize(("cpu_max", "cores"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None)])
def test_a_cpu_quota_is_whole_cores_and_never_none(tmp_path: Path, cpu_max: str, cores: int | None) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2, "sys/fs/cgroup/cpu.max": f"{cpu_max}\n"}

    assert host.count_cores(lay_out(tmp_path, files)) == (cores or len(os.sched_getaffinity(0)))


def test_a_group_outside_the_namespace_falls_back_to_the_mount(tmp_path: Path) -> None:
    files = MEMINFO | {
        "proc/self/cgroup": "0::/../other\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
    }

    assert host.read_ram(lay_out(tmp_path, files)).total_bytes == 2 * GIB


def test_the_processor_names_itself_and_the_flags_that_matter(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"proc/cpuinfo": "model name\t: AMD EPYC\nflags\t\t: fpu avx2 amx_bf16 avx512_bf16\n"})

    assert host.cpu_name(root) == "AMD EPYC"
    assert host.cpu_flags(root) == ("avx2", "avx512_bf16", "amx_bf16")
