"""A real Slurm of one controller and so many hosts, all on this machine, in a folder and on ports of its own.

Needs root (slurmd starts jobs as their owners) and Debian's slurm-wlm and munge. Not here: what is asked of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
START_SECONDS = 30.0
CONFIG = """
ClusterName=finetui
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmdParameters=config_overrides
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=20
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What keeps a cluster from being brought up here; empty for nothing."""
    absent = [program for program in PROGRAMS if not _path_of(program)]
    if absent:
        return f"not installed: {', '.join(absent)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "slurmd has to be root"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster; its commands find it by SLURM_CONF."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def command(self, *words: str) -> str:
        """What a command of Slurm prints. Raises CalledProcessError."""
        done = subprocess.run(
            words, env=os.environ | self.environment, cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says of a job, by key."""
        words = self.command("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for_state(self, number: str, *states: str, seconds: float = 120.0) -> dict[str, str]:
        """The job once it is in one of the states."""
        until(lambda: self.job(number)["JobState"] in states, f"job {number} becomes {states}", seconds)
        return self.job(number)

    def are_idle(self, num_nodes: int) -> bool:
        """Whether all hosts are up and none has a job, nor the end of one."""
        try:
            return self.command("sinfo", "--noheader", "--Node", "--format=%t").split() == ["idle"] * num_nodes
        except subprocess.CalledProcessError:
            return False

    def begin_at_once(self, number: str) -> None:
        """Let a requeued job begin again, for which Slurm alone would wait two minutes.

        Not before its first stretch is cleared away: a host refuses what was granted no later than it was revoked.
        """
        until(lambda: self.are_idle(1), "the host is free again")
        self.command("scontrol", "update", f"JobId={number}", "StartTime=now+2")


def until(holds: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def cluster(folder: Path, *, num_nodes: int = 1) -> Iterator[Cluster]:
    """Bring it up, and take it down with all its jobs."""
    names = [f"n{number + 1}" for number in range(num_nodes)]
    key = _write_settings(folder, names)
    found = Cluster(folder)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(_start(found, words) for words in _daemons(folder, names, key))
        try:
            until(lambda: found.are_idle(num_nodes), "Slurm comes up", START_SECONDS)
        except AssertionError as fault:
            fault.add_note(_logs(folder))
            raise
        yield found
    finally:
        with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError):
            found.command("scancel", "--user=root", "--signal=KILL", "--full")
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)


def _daemons(folder: Path, names: list[str], key: Path) -> Iterator[tuple[str, ...]]:
    """What is started, in that order."""
    files = (f"--{kind}-file={folder}/munged.{kind}" for kind in ("pid", "seed", "log"))
    yield ("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}", *files)
    yield ("slurmctld", "-D")
    for name in names:
        yield ("slurmd", "-D", "-N", name)


def _write_settings(folder: Path, names: list[str]) -> Path:
    """The configuration, the folders that it names, and munge's key, which is returned."""
    ports = _free_ports(len(names) + 1)
    host = socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=64000 State=UNKNOWN"
        for name, port in zip(names, ports[1:], strict=True)
    )
    for name in ("state", *(f"spool-{name}" for name in names)):
        (folder / name).mkdir()
    text = CONFIG.format(folder=folder, host=host, ports=ports, nodes=nodes, names=",".join(names))
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    return key


def _start(found: Cluster, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    path = _path_of(words[0])
    assert path
    with (found.folder / f"{words[0]}.out").open("ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", path, *words[1:]],  # should the tests be killed, it ends too
            env=os.environ | found.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("slurm*.[lo]*[gt]")))


def _path_of(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
