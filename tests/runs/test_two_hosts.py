"""Two hosts, networks of their own with a cable between them, and a folder that both reach: one run, the first's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.ranks.beats import read_beats
from engine.run_state import fold_all

pytestmark = pytest.mark.slow(seconds=90)
ADDRESSES = {"hosta": "10.203.77.1", "hostb": "10.203.77.2"}
SPREAD = (
    *("distributed.nnodes=2", f"distributed.rdzv_endpoint={ADDRESSES['hosta']}:29511"),
    *("training.per_device_train_batch_size=2", "adapter.lora_dropout=0"),
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Start commands on either host; both see the same files."""

    workshop: Any

    def start(self, host: str, *arguments: str) -> subprocess.Popen[str]:
        inside = f'hostname {host} && exec "$0" "$@"'
        entering = ("ip", "netns", "exec", f"finetui-{host}", "unshare", "--uts", "sh", "-c", inside)
        return subprocess.Popen(
            [*entering, sys.executable, "-P", "-m", "tui_app", *arguments],
            cwd=self.workshop.folder,
            env=os.environ | {"FINETUI_HOME": str(self.workshop.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        out, _ = process.communicate(timeout=240)
        return process.returncode, out


@pytest.fixture(scope="module")
def hosts(workshop: Any) -> Iterator[Hosts]:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("two hosts need root, iproute2 and unshare")
    try:
        for words in cabling():
            subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as fault:
        cut()
        pytest.skip(f"this machine lets nobody make networks: {fault.stderr.strip()}")
    yield Hosts(workshop)
    cut()


def cabling() -> Iterator[str]:
    a, b = (f"finetui-{host}" for host in ADDRESSES)
    yield f"netns add {a}"
    yield f"netns add {b}"
    yield f"link add name eth0 netns {a} type veth peer name eth0 netns {b}"
    for host, address in ADDRESSES.items():
        yield f"-n finetui-{host} address add {address}/24 dev eth0"
        yield f"-n finetui-{host} link set lo up"
        yield f"-n finetui-{host} link set eth0 up"


def cut() -> None:
    for host in ADDRESSES:
        subprocess.run(["ip", "netns", "delete", f"finetui-{host}"], check=False, capture_output=True)


def test_two_hosts_train_as_one_and_meet_again_after_one_lost_its_process(hosts: Hosts, workshop: Any) -> None:
    sets = [part for each in (*SPREAD, "run.name=spread") for part in ("--set", each)]
    code, said = hosts.ended(hosts.start("hosta", "replay", "tiny.toml", "--detach", *sets))
    assert code == 0, said
    run = workshop.run("spread-1")
    member = hosts.start("hostb", "join", str(run.path))
    workshop.wait_for_step(run, 6)
    beats = read_beats(run.beats(1))
    assert {beat.process.host for beat in beats.values()} == {"hosta", "hostb"}
    (there,) = [beat.process.pid for beat in beats.values() if beat.process.host == "hostb"]
    os.kill(there, signal.SIGKILL)

    code, said = hosts.ended(member)
    assert code == 0, said
    assert "attempt 2: hostb meets the others" in said
    state = fold_all(read_events(run.events))
    assert isinstance(state.final, ev.RunFinished)
    assert state.attempt == 2
    assert list(workshop.losses(run)) == [*range(1, 13)]
