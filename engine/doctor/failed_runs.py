"""Why one run did not end well: which of the common troubles it is, and the command that goes on.

Read from its events, plan, manifest and logs; nothing is started. Not here: what a finished run's numbers mean
(`engine.findings`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from engine import events as ev
from engine.doctor import versions
from engine.doctor.finding import Finding
from engine.doctor.hub import LOG_IN
from engine.errors import FinetuiError
from engine.event_log import EventReader
from engine.hardware import Hardware
from engine.ladder import COSTLY
from engine.liveness import liveness
from engine.recipe import Recipe
from engine.replaying import recipe_of
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold_all
from engine.units import GIB, format_bytes

LOG_BYTES = 64_000
"""Of the end of each log: the last words stand there."""
MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
SYNTAX = re.compile(r"^(?:SyntaxError|TypeError: unsupported operand type\(s\) for \|).*", re.MULTILINE)
LIBRARY = re.compile(
    r"^(?:ImportError|OSError): (.*(?:cannot open shared object|undefined symbol|GLIBC).*)", re.MULTILINE
)
CUDA_GONE = re.compile(
    r"CUDA error: (?!out of memory)([^\n]*)|no kernel image is available[^\n]*|CUDA driver version is[^\n]*"
)


def failed_run(run: RunDir, hardware: Hardware) -> Iterator[Finding]:
    """What became of a run, then what its record shows of known troubles."""
    state = fold_all(EventReader(run.events).poll())
    log = last_words(run)
    yield ending(run, state, log, hardware)
    yield from wrong_python(run)
    yield from libraries_in_log(log)
    yield from gpu_unused(run, hardware)


def last_words(run: RunDir) -> str:
    """The ends of a run's logs, the newest last."""
    texts = []
    for path in sorted(run.log.glob("*.txt"), key=lambda path: path.stat().st_mtime):
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - LOG_BYTES, 0))
            texts.append(file.read().decode("utf-8", errors="replace"))
    return "\n".join(texts)


def ending(run: RunDir, state: RunState, log: str, hardware: Hardware) -> Finding:
    """The trouble that ended it, by its final event; of a run without one, that it died."""
    name = f"run {run.name}"
    resume = f"finetui resume {run.typed}"
    match state.final:
        case ev.RunFinished():
            return Finding(name, "ok", "finished")
        case ev.RunStopped(kept=kept):
            return Finding(name, "ok", f"stopped as asked; kept: {kept}", "To go on:", resume)
        case ev.RunFailed() as failed:
            return failure(run, state, failed, hardware)
        case _:
            pass
    alive = liveness(run)
    if alive != "dead":
        return Finding(name, "ok", f"{state.phase}, {alive}")
    if state.ooms and state.ooms[-1].attempt == state.attempt:
        return out_of_memory(run, state, f"died after it ran out of memory: {state.ooms[-1].message}", hardware)
    kept = (
        f"the checkpoint of step {state.checkpoint.step} is kept" if state.checkpoint else "no checkpoint was written"
    )
    found = f"died in {state.phase} without a last word, after step {state.step}; {kept}"
    remedy = "Its supervisor was killed, or the machine went down. It goes on from there:"
    if match_ := MISSING_MODULE.search(log):
        remedy = f"Its log names a missing module ({match_[1]}); mend that first."
    return Finding(name, "fail", found, remedy, resume)


def failure(run: RunDir, state: RunState, failed: ev.RunFailed, hardware: Hardware) -> Finding:
    """A run that said why it failed."""
    name, resume = f"run {run.name}", f"finetui resume {run.typed}"
    told = " ".join(failed.happened.split())
    if failed.error == "OutOfMemoryError":
        return out_of_memory(run, state, told, hardware)
    if failed.error == "ModelError" and "is gated" in told:
        page = re.search(r"https://\S+", failed.remedy)
        remedy = f"The licence is not accepted. Accept it{f' at {page[0]}' if page else ''}, log in, then go on:"
        return Finding(name, "fail", told, remedy, f"{LOG_IN} && {resume}")
    if failed.error == "ModelError" and re.search(r"HTTP 40[13]", told):
        return Finding(
            name, "fail", told, "The hub did not accept the access token. Log in, then go on:", f"{LOG_IN} && {resume}"
        )
    if failed.error == "ModelError" and "padding token" in told:
        remedy = f"The pad token is missing. {failed.remedy} Then go on:"
        return Finding(name, "fail", told, remedy, resume)
    if failed.error == "DivergedError":
        return Finding(name, "fail", told, "Learn more slowly:", slower(run))
    if failed.error == "RunDirError":
        return Finding(name, "fail", told, failed.remedy, resume)
    if failed.error in ("RecipeError", "DataError"):
        again = f"finetui plan {shlex.quote(str(run.recipe))}"
        return Finding(name, "fail", told, failed.remedy, again)
    return Finding(name, "fail", told, failed.remedy or "Mend what the findings below name, then go on:", resume)


def slower(run: RunDir) -> str:
    """The command that trains again with a third of the learning rate."""
    try:
        rate = Recipe.load(run.recipe).training.learning_rate / 3
    except FinetuiError:
        rate = 1e-4
    return f"finetui replay {run.typed} --set training.learning_rate={rate:.1e}"


def out_of_memory(run: RunDir, state: RunState, told: str, hardware: Hardware) -> Finding:
    """Out of memory: a higher cap where the recipe's own was too low, else rungs that it has not allowed."""
    name = f"run {run.name}"
    replay = f"finetui replay {run.typed}"
    try:
        recipe = recipe_of(run)
    except FinetuiError as fault:
        return Finding(name, "fail", told, fault.remedy, replay)
    needed = state.predicted.needed_bytes if state.predicted else None
    gpu = hardware.best_gpu
    room = gpu.free_bytes if gpu else hardware.ram_available_bytes
    if recipe.memory.limit and needed is not None and needed < room:
        halves = -(-needed // (GIB // 2))
        wanted = f"{halves / 2:g}GiB"
        remedy = (
            f"Out of memory under its own cap, {recipe.memory.limit}; {format_bytes(needed)} are needed. "
            "With a higher cap:"
        )
        return Finding(name, "fail", told, remedy, f"{replay} --set memory.limit={wanted}")
    allowed = recipe.ladder.costly
    taken = {rung.rung for rung in state.rungs}
    more = [
        rung.name for rung in COSTLY if rung.name not in {*allowed, *taken} and _may_allow(run, [*allowed, rung.name])
    ]
    if more:
        names = json.dumps([*allowed, *more]).replace(" ", "")
        setting = shlex.quote(f"ladder.costly={names}")
        return Finding(name, "fail", told, "Out of memory. Allow it to give something up:", f"{replay} --set {setting}")
    half = max(recipe.training.max_length // 2, 8)
    remedy = "Out of memory, and all that the ladder has is given. Shorter rows, or a smaller model:"
    return Finding(name, "fail", told, remedy, f"{replay} --set training.max_length={half}")


def _may_allow(run: RunDir, costly: list[str]) -> bool:
    """Whether a replay of the run takes these rungs: one that could change nothing is refused."""
    try:
        recipe_of(run, [f"ladder.costly={json.dumps(costly)}"])
    except FinetuiError:
        return False
    return True


def wrong_python(run: RunDir) -> Iterator[Finding]:
    """A run that was made by other versions than those installed here."""
    from engine.starting import versions as versions_here

    try:
        then = read_json(run.manifest)["versions"]
        here = versions_here()
        changed = [
            f"{name} {here[name]} (was {then[name]})" for name in here if name in then and then[name] != here[name]
        ]
    except (FinetuiError, KeyError, TypeError):
        return
    if changed:
        remedy = "The same numbers need the same versions."
        yield Finding("versions of the run", "warn", f"here: {', '.join(changed)}", remedy)


def libraries_in_log(log: str) -> Iterator[Finding]:
    """What a log's last words say of Python and libraries."""
    if found := MISSING_MODULE.findall(log):
        module = found[-1].partition(".")[0]
        remedy = "The process ran without it: another Python, or a broken environment."
        yield Finding("wrong Python", "fail", f"no module {module}", remedy, versions.install(module))
    if match := SYNTAX.search(log):
        remedy = "An older Python than finetui needs ran it."
        yield Finding("wrong Python", "fail", match[0], remedy, "finetui doctor --quick")
    if match := LIBRARY.search(log):
        yield Finding("library", "fail", match[1], "A library does not fit this system.", "finetui doctor")
    if match := CUDA_GONE.search(log):
        yield Finding(
            "CUDA", "fail", match[0], "The driver or the torch build does not suit the card.", "finetui doctor"
        )


def gpu_unused(run: RunDir, hardware: Hardware) -> Iterator[Finding]:
    """A run on the processor of a machine with a card."""
    try:
        plan = read_json(run.newest_plan_file())
        device, note = str(plan["device"]), str(read_json(run.manifest)["hardware"]["gpu_note"])
    except (FinetuiError, KeyError, TypeError):
        return
    if device != "cpu":
        return
    again = f"finetui replay {run.typed}"
    if hardware.gpus:
        found = f"it used the CPU; now {hardware.gpus[0].name} can be used"
        yield Finding("GPU not used", "fail", found, "A replay is planned anew, for the card:", again)
    elif "No NVIDIA card" not in note:
        yield Finding("GPU not used", "warn", f"it used the CPU. {note}", "Mend the driver; see:", "finetui doctor")


def is_run(path: Path) -> bool:
    """Whether a folder is a run's."""
    return (path / "events").is_dir()
