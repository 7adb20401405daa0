"""One run through its lives: begun or resumed, looked at after a fault, and held against what must be true of it.

Not here: the faults (`processes`), and how a run's files are read without the product (`tormented`).
"""

from __future__ import annotations

import atexit
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos_faults import Fault, Trial
from benchmarks.chaos_faults.tormented import (
    COMMAND_SECONDS,
    MAX_STEPS,
    QUIET_SECONDS,
    Bench,
    Ended,
    Run,
    at_some_instant,
    out_of_count,
    power_cut,
    torn_from,
    wait_for_end,
)

LIVE = {"waiting", "preparing", "training", "paused", "evaluating", "exporting"}
UNEXPECTED = ("Traceback", "unexpected", "defect of finetui")


class LostError(Exception):
    """Something is not as it must be after a fault; the sentence says what."""


@dataclass(slots=True)
class Life:
    """A run in its present life. `before` are its event files as the fault found them."""

    bench: Bench
    run: Run
    num_before: int = 0
    before: dict[str, bytes] = field(default_factory=dict)
    moment: str = ""
    goes_on: tuple[int, int] | None = None
    """How many attempts there were when it was resumed, and the newest complete checkpoint; None where it may move."""

    def strike_at(self, chance: random.Random) -> None:
        """Let the run come to a random instant, and note what there is."""
        at_some_instant(self.run, chance, self.num_before)
        self.note()

    def note(self) -> None:
        self.before, self.moment = self.run.files(), self.run.newest()

    def after(self, what: str) -> Trial:
        """Hold everything against what must be true, now that no process is left. Raises LostError."""
        self.quiet()
        self.files_hold()
        phase = self.state_is_told()
        return Trial(f"{what} after {self.moment}; {phase} at step {self.step()}")

    def quiet(self) -> None:
        """Wait until no process of the run is left. Raises LostError where one stays."""
        if not wait_for_end(self.bench, QUIET_SECONDS):
            left = [_command_line(pid) for pid in self.bench.processes()]
            raise LostError(f"processes are left over: {left}")

    def files_hold(self) -> None:
        """Events before the fault are there byte for byte, none is missing or twice, and no loss differs."""
        losses, unequal = self.run.told_losses()
        wrong = [f"step {step}: {told}" for step, told in losses.items() if self.bench.losses[step] != told]
        faults = [*torn_from(self.before, self.run.files()), *out_of_count(self.run), *([unequal] if unequal else [])]
        if faults or wrong:
            raise LostError("; ".join([*faults, *(f"not the undisturbed loss, {each}" for each in wrong[:3])]))
        self.goes_on_from_the_newest()
        for event in self.run.events("supervisor"):
            if event["event"] == "RunFailed" and any(word in str(event) for word in UNEXPECTED):
                raise LostError(f"the run failed without an error of its own: {event}")

    def state_is_told(self) -> str:
        """`finetui status` shows the state that the supervisor's last word means, and how to go on. The phase."""
        told, expected = self.status(), self.run.standing()
        if (told["phase"], told["liveness"]) != (expected, "dead"):
            raise LostError(f"shown as {told['phase']} ({told['liveness']}), but it {expected}")
        if told["step"] != self.step():
            raise LostError(f"shown at step {told['step']}, but its newest attempt is at {self.step()}")
        text = self.said(self.bench.command("status", str(self.run.path))).out
        way_on = "finetui resume" in text
        if way_on != (expected in ("died", "stopped", "failed")):
            raise LostError(f"{expected}, and the way on is {'' if way_on else 'not '}shown: {text}")
        return expected

    def status(self) -> dict[str, Any]:
        shown = self.said(self.bench.command("status", "--json", str(self.run.path)))
        if shown.code:
            raise LostError(f"status ended with {shown.code}: {shown.err}")
        told: dict[str, Any] = json.loads(shown.out)
        return told

    def still_goes_on(self, what: str) -> Trial:
        """The run was not to be ended by the fault: it is shown as going on, or has come to its own end since."""
        self.files_hold()
        told = self.status()
        if told["phase"] in LIVE and told["liveness"] == "alive":
            return Trial(f"{what} after {self.moment}; {told['phase']} at step {told['step']}")
        self.quiet()
        self.state_is_told()
        if self.run.standing() != "finished":
            raise LostError(f"{what} was to end nothing, but the run {self.run.standing()}")
        return Trial(f"{what} after {self.moment}; finished meanwhile")

    def step(self) -> int:
        """The step of the newest attempt: its last told one, or the one that it went on from."""
        step = 0
        for name in self.run.attempts()[-1:]:
            for event in self.run.events(name):
                step = event.get("resumed_from_step", step)
                step = event["step"] if event["event"] == "StepLogged" else step
        return step

    @staticmethod
    def said(ended: Ended) -> Ended:
        """What a command said, if it is fit for people. Raises LostError for a traceback."""
        if any(word in ended.out + ended.err for word in UNEXPECTED):
            raise LostError(f"a command ended with {ended.code} and said: {ended.out[-600:]}{ended.err[-1200:]}")
        return ended

    def resume(self, **more: Any) -> Ended:
        """Go on with the run; the newest complete checkpoint must be what it goes on from."""
        was_quiet = not self.bench.processes()
        self.num_before = self.run.num_events()
        self.goes_on = (
            (len(self.run.attempts()), max(self.run.complete_checkpoints(), default=0)) if was_quiet else None
        )
        return self.said(self.bench.command("resume", str(self.run.path), "--detach", **more))

    def goes_on_from_the_newest(self) -> None:
        """The first attempt since the run was resumed began at the newest complete checkpoint. Raises LostError."""
        if self.goes_on is None:
            return
        num_attempts, newest = self.goes_on
        for name in self.run.attempts()[num_attempts : num_attempts + 1]:
            for event in [each for each in self.run.events(name) if each["event"] == "AttemptStarted"][:1]:
                if event["resumed_from_step"] != newest:
                    raise LostError(f"{name} began with {event}; the newest complete checkpoint was of step {newest}")

    def is_equal(self) -> None:
        """A finished run is what the undisturbed one is. Raises LostError."""
        losses, _ = self.run.told_losses()
        adapter = (self.run.path / "adapter" / "adapter_model.safetensors").read_bytes()
        if losses != self.bench.losses or adapter != self.bench.adapter:
            raise LostError(f"finished, but {len(losses)} of {MAX_STEPS} losses are told or the adapter differs")


@dataclass(slots=True)
class Shared:
    """What all tries share: the bench, and the life of its present run; None once that was lost or has finished."""

    bench: Bench
    life: Life | None = None


_shared: dict[Path, Shared] = {}


def shared_by(folder: Path) -> Shared:
    """What the tries share whose folders lie beside this one, made by the first of them."""
    place = folder.parent / "shared"
    if place not in _shared:
        _shared[place] = Shared(Bench.made_in(place))
        atexit.register(_shared[place].bench.end_all)
    return _shared[place]


def life_for(folder: Path, *, going: bool = True) -> Life:
    """The present run: with its processes, begun or resumed if need be, or where it is not to be going with none.

    A finished run is compared with the undisturbed one and followed by a new one. Raises LostError.
    """
    shared = shared_by(folder)
    life = shared.life or _begun(shared)
    if not going:
        power_cut(life.bench)
        life.quiet()
        if life.run.standing() == "finished":
            life.is_equal()
            shared.life = None
            return life_for(folder, going=False)
    elif not life.bench.processes():
        done = life.resume()
        if done.code == 9 and life.run.standing() == "finished":
            life.is_equal()
            life = _begun(shared)
        elif done.code:
            raise LostError(f"resume ended with {done.code}: {done.out}{done.err}")
    else:
        life.num_before = life.run.num_events()
    return life


def _begun(shared: Shared) -> Life:
    bench = shared.bench
    bench.num_runs += 1
    name = f"tormented{bench.num_runs}"
    done = bench.command("replay", "tormented.toml", "--detach", "--set", f"run.name={name}")
    if done.code:
        raise LostError(f"a run could not be begun, {done.code}: {done.err}")
    shared.life = Life(bench, Run(bench, bench.runs / f"{name}-1"))
    return shared.life


def tried(body: Callable[[Path, random.Random], Trial]) -> Fault:
    """A fault whose LostError is the trial's loss; the run is given up then, and its folder kept as evidence."""

    def fault(folder: Path, chance: random.Random) -> Trial:
        try:
            return body(folder, chance)
        except LostError as lost:
            shared = shared_by(folder)
            life, shared.life = shared.life, None
            shared.bench.end_all()
            where = f" [{life.run.path}]" if life else ""
            return Trial(f"after {life.moment if life else 'nothing'}", f"{lost}{where}")

    return fault


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"{pid}, gone"


def in_time(process: Any, seconds: float = COMMAND_SECONDS) -> Ended:
    """How a started command ended. Raises LostError where it does not."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=seconds)
    except Exception as hanging:
        process.kill()
        raise LostError(f"{process.args} has not ended in {time.monotonic() - began:.0f} s") from hanging
    return Ended(process.returncode, out or "", err or "")
