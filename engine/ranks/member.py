"""Another host of a run: takes part in every attempt that the run's supervisor calls, until the run is over.

It owns nothing: it starts torchrun on its host, ends it, and leaves. Not here: the call (`hosts`), the command line.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.environment import child_environment, environment_of
from engine.errors import DiedError, FinetuiError, RunDirError
from engine.events import RunFailed, RunFinished, RunStopped
from engine.first_look import glimpse
from engine.hardware import read_hardware
from engine.launcher import kill_group
from engine.library_versions import step_versions
from engine.liveness import liveness
from engine.plan import Plan
from engine.ranks.hosts import Call, address_towards, interface_of, missing_here, present_call
from engine.ranks.launching import Meeting, attempt_command, rank_environment
from engine.ranks.planning import machine_of
from engine.ranks.watching import rank_processes, tell
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json

POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0
"""From the end of an attempt, or of its supervisor, to that of its processes here."""
FORSAKEN_SECONDS = 60.0
"""Without a sign of life of the supervisor: its heartbeat is renewed every two seconds."""


@dataclass(slots=True)
class Member:
    """This host's part in a run. `told` gets one line about each thing that happens."""

    run: RunDir
    told: Callable[[str], None]
    node_rank: int | None = None
    """Place among the hosts, from 1 on; needed with the static rendezvous only."""
    address: str = ""
    """Of this host, as the others reach it; empty to use the one that the first host is reached from."""
    wait_seconds: float = 600.0
    """How long to wait for the run to be started or resumed on its first host."""
    is_leaving: bool = False
    _answered: set[str] = field(default_factory=set)

    def follow(self) -> int:
        """Take part until the run is over; the exit code that its supervisor ended with.

        Raises RunDirError where this host cannot take part, DiedError where the supervisor fell silent.
        """
        self._can_ever()
        self._until_alive()
        host = socket.gethostname()
        self.told(f"{host} waits for the attempts of {self.run.name}")
        while not self.is_leaving:
            call = present_call(self.run)
            if call is not None and call.run_id not in self._answered:
                self._answered.add(call.run_id)
                self.told(f"attempt {call.attempt}: {host} meets the others at {call.rdzv_endpoint}")
                exit_code = self._take_part(call)
                self.told(f"attempt {call.attempt}: ended here with {exit_code}")
            elif self._is_over():
                return self._outcome()
            else:
                time.sleep(POLL_SECONDS)
        return 0

    def leave(self) -> None:
        """Called by a signal: the processes here are told to stop, and the run saves and stops with them."""
        self.is_leaving = True

    def _can_ever(self) -> None:
        """Raises RunDirError where no call could be answered: no need to wait for one."""
        if Recipe.load(self.run.recipe).distributed.nnodes == 1:
            raise RunDirError(
                f"Run {self.run.name} trains on one host: it calls no others.",
                means="This host did nothing.",
                remedy="Begin a run for several: finetui replay ... --set distributed.nnodes=2",
            )
        if self.address and not interface_of(self.address):
            raise RunDirError(
                f"This host has no address {self.address!r}.",
                means="The other hosts could not reach it there.",
                remedy="Leave --address out, or name one of its own (`ip addr` lists them).",
            )

    def _until_alive(self) -> None:
        deadline = time.monotonic() + self.wait_seconds
        while not self.is_leaving and liveness(self.run) == "dead":
            if isinstance(self._final(), RunFinished):
                return  # nobody will start it again
            if time.monotonic() > deadline:
                raise RunDirError(
                    f"Run {self.run.name} is not running: nobody has started it within {self.wait_seconds:.0f} s.",
                    means="The first host owns the run; others can only take part in it.",
                    remedy=f"Start it there, or: finetui resume {self.run.typed}",
                )
            time.sleep(POLL_SECONDS)

    def _is_over(self) -> bool:
        """Whether the run has ended, or its supervisor has shown no life for long."""
        silent_since = time.monotonic()
        while liveness(self.run) != "alive":
            if self._final() is not None or time.monotonic() - silent_since > FORSAKEN_SECONDS or self.is_leaving:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _final(self) -> RunFinished | RunStopped | RunFailed | None:
        """The event that the run ended with, where it has ended."""
        mine = [each.event for each in glimpse(self.run.events) if each.writer == "supervisor"]
        last = mine[-1] if mine else None
        return last if isinstance(last, RunFinished | RunStopped | RunFailed) else None

    def _outcome(self) -> int:
        match self._final():
            case RunFinished():
                self.told(f"run {self.run.name} is finished")
                return 0
            case RunStopped() as stopped:
                self.told(f"run {self.run.name} was stopped; kept: {stopped.kept}")
                return 7
            case RunFailed() as failed:
                self.told(f"run {self.run.name} failed: {failed.happened}")
                return failed.exit_code
        raise DiedError(
            f"The supervisor of run {self.run.name} has shown no life for {FORSAKEN_SECONDS:.0f} s.",
            means="The run has ended without saying why; its checkpoints are intact.",
            remedy=f"On the first host: finetui resume {self.run.typed}; then join again.",
        )

    def _take_part(self, call: Call) -> int:
        """This host's processes of one attempt; their exit code."""
        plan = self._local(Plan.from_json(read_json(self.run.path / call.plan_file)))
        self._check(call)
        command = attempt_command(self.run, call.attempt, plan, meeting := self._meeting(call))
        environment = child_environment(offline=Recipe.load(self.run.recipe).model.offline)
        environment |= environment_of(plan)
        with self.run.log_file(f"attempt-{call.attempt}-on-{socket.gethostname()}").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.run.path,
                env=environment | rank_environment(plan, meeting),
            )
        try:
            return self._watch(process, call)
        finally:
            tell(rank_processes(self.run, call.attempt), signal.SIGKILL)
            kill_group(process.pid, signal.SIGKILL)
            process.wait()

    def _watch(self, process: subprocess.Popen[bytes], call: Call) -> int:
        ending_since: float | None = None
        was_told = False
        while (exit_code := process.poll()) is None:
            if self.is_leaving and not was_told:
                tell(rank_processes(self.run, call.attempt))
                was_told = True
            present = present_call(self.run)
            is_called_off = present is None or present.run_id != call.run_id
            if is_called_off or self.is_leaving or liveness(self.run) == "dead":
                ending_since = ending_since or time.monotonic()
                if time.monotonic() - ending_since > GRACE_SECONDS:
                    return 1
            time.sleep(POLL_SECONDS)
        return exit_code

    def _local(self, plan: Plan) -> Plan:
        """The plan with this host's cards in place of the first host's."""
        if plan.device == "cpu":
            return plan
        hardware = read_hardware()
        alike = machine_of(Recipe.load(self.run.recipe), hardware).gpus
        if len(alike) < plan.nproc_per_node:
            raise self._unfit(f"it has {len(alike)} cards that could train together, not {plan.nproc_per_node}")
        uuids = tuple(gpu.uuid for gpu in alike[: plan.nproc_per_node])
        return replace(plan, device_uuid=uuids[0], device_uuids=uuids if len(uuids) > 1 else ())

    def _meeting(self, call: Call) -> Meeting:
        if call.rdzv_backend == "static" and not self.node_rank:
            raise self._unfit("the static rendezvous needs its place among the hosts: --node-rank 1, 2, …")
        address = self.address or address_towards(call.rdzv_endpoint)
        return Meeting(
            node_rank=self.node_rank or 0,
            rdzv_backend=call.rdzv_backend,
            rdzv_endpoint=call.rdzv_endpoint,
            local_addr=address,
            is_host=False,
            interface=interface_of(address),
            run_id=call.run_id,
        )

    def _check(self, call: Call) -> None:
        """Raises RunDirError where this host lacks what every host needs."""
        if call.versions != (here := step_versions()):
            theirs, ours = dict(call.versions), dict(here)
            other = [
                f"{name} {theirs.get(name, 'unknown')} there, {ours.get(name, 'unknown')} here"
                for name in dict.fromkeys((*theirs, *ours))
                if theirs.get(name) != ours.get(name)
            ]
            raise self._unfit(f"libraries differ: {', '.join(other)}")
        if folder := missing_here(self.run):
            raise self._unfit(f"the base model is not at {folder}, where the first host has it")

    def _unfit(self, why: str) -> FinetuiError:
        return RunDirError(
            f"{socket.gethostname()} cannot take part in {self.run.name}: {why}.",
            means="The hosts of a run need the same cards, libraries, run folder and model folder.",
            remedy="Mend that and join again; the run waits for this host, or ends when it has waited too long.",
        )
