"""The detached process in charge of a run: stages, attempts, rungs, commands, the final event.

It loads neither torch nor textual nor transformers: work is done by worker processes that it starts, watches
and outlives. It reads nothing from them but their exit code and their event file. Not here: how rows are
prepared, trained on or scored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine import checkpoints, control, requests, worker_start
from engine.attempt_outcome import Outcome, outcome_of, silent_oom, stopped_request, with_team
from engine.climbing import Climber
from engine.device_samples import DeviceSampler
from engine.environment import child_environment, environment_of, worker_command
from engine.errors import FinetuiError, RunDirError, StoppedError
from engine.event_log import EventWriter
from engine.events import (
    AttemptEnded,
    CommandAcknowledged,
    OomHit,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    RunFinished,
    RunStarted,
    RunStopped,
    StageFinished,
    StageStarted,
    WarningRaised,
)
from engine.footing import Footing
from engine.hardware import Hardware
from engine.kernel_kills import Witness, volunteer
from engine.launcher import HELD, kill_group
from engine.liveness import HEARTBEAT_SECONDS, ProcessIdentity, announce, beat, take_lock
from engine.memory_refusals import exhausted, out_of_ram
from engine.notification import told_end
from engine.plan import Plan
from engine.ranks.beats import writer_of
from engine.ranks.hosts import call_others, forget_calls
from engine.ranks.launching import Meeting, attempt_command, rank_environment
from engine.ranks.team import Team, end, ending, team_of
from engine.ranks.watching import still_there, tell
from engine.recipe import Recipe
from engine.recipe_sections import DistributedSection
from engine.redaction import redact_file
from engine.run_dir import RunDir, read_json, write_atomic
from engine.salvage import drop_damaged_result
from engine.worker_edge import at_run_edge, failure, started

Child = subprocess.Popen[bytes]
POLL_SECONDS = 0.1
STOP_GRACE_SECONDS = 60.0
MAX_RESTARTS_WITHOUT_PROGRESS = 2


@dataclass(slots=True)
class Supervisor:
    """One run in the charge of this process."""

    run: RunDir
    writer: EventWriter
    samples: EventWriter
    """A file of their own: there are so many that the few events that matter would be lost among them."""
    resumed: bool
    offline: bool = False
    started: float = field(default_factory=time.monotonic)
    stop_requests: int = 0
    stopping_since: float | None = None
    testimony: str = ""
    """What shows that the kernel killed the last worker for its memory; empty for nothing."""
    _last_beat: float = 0.0
    footing: Footing = field(init=False)

    def __post_init__(self) -> None:
        self.footing = Footing.of(self.run)

    def supervise(self) -> int:
        """Run every stage that is not done yet. Ends with exactly one final event."""
        recipe = Recipe.load(self.run.recipe)
        self.offline = recipe.model.offline
        self.writer.write(
            RunStarted(
                run=self.run.reference,
                recipe=recipe.title or self.run.name,
                resumed=self.resumed,
                host=os.uname().nodename,
                pid=os.getpid(),
            )
        )
        try:
            self.end_orphan()
            climber = Climber(self.run, self.writer, recipe, self.keep_going)
            was_finished = requests.is_evaluation_only(self.run) or not self.own_stages(climber)
            exit_code = self.carry_out_requests(climber.newest_plan())
        except StoppedError as stopped:
            step = self.newest_step()
            self.writer.write(RunStopped(kept=stopped.means, step=step))
            return stopped.exit_code
        seconds = round(time.monotonic() - self.started, 1)
        self.writer.write(RunFinished(seconds=seconds, of_requests=was_finished))
        return exit_code

    def own_stages(self, climber: Climber) -> bool:
        """Every stage of the recipe that is not done yet; whether there was one."""
        recipe, is_due = climber.recipe, False
        if not self.run.prepared.exists():
            is_due = True
            climber.refuse_hopeless()
            self.stage("prepare", "engine.training.prepare")
        self.complete_record(climber)
        drop_damaged_result(self.run, self.writer)
        if not (self.run.adapter / checkpoints.MANIFEST).exists():
            is_due = True
            self.train(climber)
        if recipe.evaluation.enabled and not (self.run.answers / "done.json").exists():
            is_due = True
            self.stage("evaluate", "engine.evaluation.worker", climber.newest_plan())
        return is_due

    def carry_out_requests(self, plan: Plan) -> int:
        """What was asked for besides; the exit code of the last that failed.

        Raises the error of one that the recipe asked for: the run is not finished without it. What somebody else
        asked for fails alone, and a stop ends only that.
        """
        exit_code = 0
        for number, broken in requests.damaged(self.run):
            exit_code = self.give_up(number, broken)
        for request in requests.pending(self.run):
            started = time.monotonic()
            self.writer.write(RequestStarted(number=request.number, stage=request.stage, title=request.title))
            try:
                self.stage(request.stage, requests.MODULES[request.stage], plan, str(request.number))
            except FinetuiError as fault:
                if request.of_recipe:
                    raise
                if isinstance(fault, StoppedError):
                    fault = stopped_request(request.title)
                exit_code = self.give_up(request.number, fault)
                continue
            self.writer.write(RequestFinished(number=request.number, seconds=round(time.monotonic() - started, 2)))
            requests.finish(self.run, request.number, "done")
        return exit_code

    def give_up(self, number: int, fault: FinetuiError) -> int:
        """A request that cannot be carried out fails alone; its exit code."""
        self.writer.write(RequestFailed(number=number, **dataclasses.asdict(failure(fault))))
        requests.finish(self.run, number, fault.happened)
        return fault.exit_code

    def stage(self, name: str, module: str, plan: Plan | None = None, *arguments: str) -> None:
        """One worker process that is not an attempt, started again when it is killed. Raises its error."""
        started = time.monotonic()
        self.writer.write(StageStarted(stage=name))
        for tries_left in reversed(range(MAX_RESTARTS_WITHOUT_PROGRESS + 1)):
            exit_code = self.watch(module, name, *arguments, claims=control.COMMANDS, plan=plan)
            if self.stop_requests:
                raise StoppedError("The run was stopped.", means=self.kept())
            if exit_code == 0:
                break
            outcome = outcome_of(self.run, name, exit_code)
            if outcome.kind != "killed" or not tries_left:
                raise out_of_ram(name, self.testimony) if self.testimony else outcome.error
            self.writer.write(WarningRaised(text=f"{name}: {outcome.reason} Starting it again."))
        self.writer.write(StageFinished(stage=name, seconds=round(time.monotonic() - started, 2)))

    def complete_record(self, climber: Climber) -> None:
        """Put into plan and manifest what is known only now that model and rows are here."""
        record = read_json(self.run.manifest)
        if "rows" in record:
            return
        prepared = read_json(self.run.prepared)
        first = climber.complete_first_plan(Hardware.from_json(record["hardware"]), prepared)
        record |= {"plan": first.to_json(), "model": read_json(self.run.model), "rows": prepared}
        write_atomic(self.run.manifest, json.dumps(record, indent=1))

    def train(self, climber: Climber) -> None:
        """Attempts, one fresh process each, until one completes or nothing is left to try."""
        started = time.monotonic()
        self.writer.write(StageStarted(stage="train"))
        climber.before_attempts()
        limits = climber.recipe.ladder
        restarts, last_step, num_attempts = 0, -1, 0
        while True:
            attempt, num_attempts = self.run.next_attempt(), num_attempts + 1
            current = climber.newest_plan()
            outcome, oom = self.attempt(attempt, current, climber.recipe.distributed)
            climber.learn_from(attempt, current)
            if outcome.kind == "completed":
                break
            if outcome.kind == "stopped" or self.stop_requests:
                raise StoppedError("The run was stopped.", means=self.kept())
            if outcome.kind == "failed":
                raise outcome.error
            if oom is not None:
                if num_attempts >= limits.max_attempts:
                    why = f"{num_attempts} attempts were made"
                    raise exhausted(current, why, oom.message, oom.cause, (), limits)
                climber.climb_down(oom)
                continue
            step = self.newest_step()
            restarts, last_step = (restarts + 1, step) if step <= last_step else (1, step)
            if restarts > MAX_RESTARTS_WITHOUT_PROGRESS:
                raise outcome.error
            self.writer.write(WarningRaised(text=f"{outcome.reason} Starting again from {self.kept()}."))
        climber.settle()
        self.writer.write(StageFinished(stage="train", seconds=round(time.monotonic() - started, 2)))

    def attempt(self, number: int, plan: Plan, wanted: DistributedSection) -> tuple[Outcome, OomHit | None]:
        """One attempt to its end: how it ended, and the OOM it ended with, also one that it could not tell of."""
        team = team_of(self.run, number, plan, wanted.timeout_seconds)
        meeting = call_others(self.run, number, wanted) if plan.nnodes > 1 else Meeting()
        command, environment = attempt_command(self.run, number, plan, meeting), rank_environment(plan, meeting)
        try:
            exit_code = self.follow(command, writer_of(number, 0), ("abort",), plan, environment, team)
        finally:
            forget_calls(self.run)
        outcome = outcome_of(self.run, number, exit_code)
        if team is not None:
            outcome, exit_code, self.testimony = with_team(outcome, exit_code, team)
        oom = outcome.oom
        if outcome.kind == "killed" and not self.stop_requests:
            oom = silent_oom(self.run, number, plan, exit_code, self.testimony)
            if oom is not None:
                self.writer.write(oom)
        elif outcome.kind == "out_of_memory" and oom is None:
            oom = OomHit(attempt=number, phase="step", step=self.newest_step(), message=outcome.reason)
        kind = "out_of_memory" if oom else outcome.kind
        self.writer.write(AttemptEnded(attempt=number, outcome=kind, exit_code=exit_code))
        return outcome, oom

    def watch(self, module: str, name: str, *arguments: str, claims: tuple[str, ...], plan: Plan | None = None) -> int:
        """Start a worker of one process and follow it to its end; its exit code (negative for a signal)."""
        command = worker_command(worker_start.MODULE, module, str(self.run.path), str(os.getpid()), *arguments)
        return self.follow(command, name, claims, plan)

    def follow(
        self,
        command: list[str],
        name: str,
        claims: tuple[str, ...],
        plan: Plan | None = None,
        besides: Mapping[str, str] | None = None,
        team: Team | None = None,
    ) -> int:
        """Start a process, keep the heartbeat, pass on stops; its exit code (negative for a signal).

        `besides` is added to its environment; `team` are the ranks that it starts.
        """
        if self.stop_requests:
            raise StoppedError("The run was stopped.", means=self.kept())
        process = self.start(command, name, plan, besides or {})
        with process, ending(process.pid, team):
            ProcessIdentity.of(process.pid).write(self.run.worker)
            volunteer(process.pid)
            exit_code = self.attend(process, claims, plan, team)
        redact_file(self.run.log_file(name))  # what native code said; Python's own words are clean already
        return exit_code

    def attend(self, process: Child, claims: tuple[str, ...], plan: Plan | None, team: Team | None) -> int:
        """Look at a worker again and again until it ends; its exit code. RunDirError where the folder was moved."""
        witness, sampler, passed_on = Witness(process.pid), DeviceSampler(process.pid, plan, self.run.path), 0
        while (exit_code := process.poll()) is None:
            self.keep_beating()
            witness.look()
            if team is not None:
                sampler.ranks = team.pids
                if team.look():
                    end(process.pid, team)
            if sampler.is_due() and (sample := sampler.sample()):
                with contextlib.suppress(RunDirError):  # a full disk ends a run where something is lost by it
                    self.samples.write(sample)
            self.obey(claims)
            if self.stop_requests > passed_on:
                if self.stop_requests > 1:
                    end(process.pid, team)
                elif team is None or not team.stop():
                    kill_group(process.pid, signal.SIGTERM)
                passed_on = self.stop_requests
            if self.stopping_since and time.monotonic() - self.stopping_since > STOP_GRACE_SECONDS:
                end(process.pid, team)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
        self.testimony = witness.testimony() if exit_code == -signal.SIGKILL else ""
        return exit_code

    def start(self, command: list[str], name: str, plan: Plan | None, besides: Mapping[str, str]) -> Child:
        """A process in a session of its own, with the environment of what computes on the plan's device."""
        environment = child_environment(offline=self.offline)
        if plan is not None:
            environment |= environment_of(plan)
        with self.run.log_file(name).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.run.path,
                env={**environment, **besides},
            )

    def end_orphan(self) -> None:
        """Wait for a worker that outlived an earlier supervisor: two would spoil each other's checkpoints.

        It was told to stop when that supervisor died; one that does not obey in time is killed.
        """
        if not still_there(self.run):
            return
        self.writer.write(WarningRaised(text="waiting for a worker of the earlier supervisor to save and end"))
        tell(still_there(self.run), signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        while orphans := still_there(self.run):
            self.keep_beating()
            if time.monotonic() > deadline or self.stop_requests:
                tell(orphans, signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def keep_going(self) -> None:
        """While a prediction is made: beat, and honour a stop. Raises StoppedError."""
        self.keep_beating()
        self.obey(("abort", "stop"))
        if self.stop_requests:
            raise StoppedError("The run was stopped.", means=self.kept())

    def keep_beating(self) -> None:
        self.footing.require()
        if time.monotonic() - self._last_beat > HEARTBEAT_SECONDS:
            beat(self.run)
            self._last_beat = time.monotonic()

    def obey(self, claims: tuple[str, ...]) -> None:
        for command in control.claim(self.run, only=claims):
            status, reason = "accepted", ""
            if command.command == "stop":
                self.request_stop()
            elif command.command == "abort":
                self.stop_requests = max(self.stop_requests, 1)
                self.request_stop()
            elif command.command == "unreadable":
                status, reason = "refused", "it is no command"
            else:
                status, reason = "refused", "nothing is being trained at the moment"
            self.writer.write(
                CommandAcknowledged(
                    command_id=command.command_id, command=command.command, status=status, reason=reason
                )
            )

    def request_stop(self) -> None:
        self.stop_requests += 1
        self.stopping_since = self.stopping_since or time.monotonic()

    def newest_step(self) -> int:
        return max(checkpoints.steps(self.run.checkpoints), default=0)

    def kept(self) -> str:
        """What a stop leaves to go on from."""
        if (self.run.adapter / checkpoints.MANIFEST).exists():
            return "the trained result"
        if step := self.newest_step():
            return f"the checkpoint of step {step}"
        return "the prepared rows" if self.run.prepared.exists() else "nothing"


def main(arguments: list[str]) -> int:
    run = RunDir(Path(arguments[0]))
    lock = take_lock(run)
    if lock is None:
        print("another supervisor holds this run", file=sys.stderr)  # noqa: T201 - goes to the log file
        return HELD
    writer = EventWriter(run.event_file("supervisor"))
    supervisor = Supervisor(run, writer, EventWriter(run.event_file("samples")), resumed="--resumed" in arguments)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.request_stop())
    control.refuse_leftovers(run, writer)
    announce(run)
    return told_end(run, at_run_edge(supervisor.footing.held(supervisor.supervise), writer), supervisor.keep_beating)


if __name__ == "__main__":
    sys.exit(started(main, sys.argv[1:]))
