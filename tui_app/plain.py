"""How a run reads on a plain terminal: one line per event, a result table at the end. No escapes.

Only formats. Where a text comes from the user (rows, names), control characters are shown, not obeyed. Not
here: waiting for events (`tui_app/runs/following`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from functools import singledispatch
from typing import TYPE_CHECKING

from engine import events as ev
from engine.run_state import RunState
from engine.units import format_bytes, format_seconds
from tui_app.result_table import one_line as one_line
from tui_app.result_table import result_table as result_table
from tui_app.result_table import share as _share

if TYPE_CHECKING:
    from engine.findings import Finding


def printable(text: str) -> str:
    """The text with control characters made visible, line breaks kept."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def lines(stamped: ev.Stamped, state: RunState) -> list[str]:
    """What a watcher reads when this event arrives; `state` already holds it."""
    return [printable(line) for line in _lines(stamped.event, state)]


@singledispatch
def _lines(_event: ev.Event, _state: RunState) -> list[str]:
    return []


@_lines.register
def _(event: ev.RunStarted, state: RunState) -> list[str]:
    done = "started" if not event.resumed else "resumed" if state.finished is None else "back at trained"
    return [f"{done} run {event.run}: {one_line(event.recipe)}"]


@_lines.register
def _(event: ev.StageStarted, state: RunState) -> list[str]:
    if state.request is not None:
        return []  # its title was told
    texts = {"prepare": "preparing rows and model", "train": "training", "evaluate": "scoring base and tuned model"}
    return [f"== {texts.get(event.stage, event.stage)}"]


@_lines.register
def _(event: ev.ModelReady, _state: RunState) -> list[str]:
    notes = [f"   note: {note}" for note in event.notes]
    files = f"{event.num_files} file{'' if event.num_files == 1 else 's'}"
    return [f"   model {event.name}, {format_bytes(event.num_bytes)} in {files}", *notes]


@_lines.register
def _(event: ev.DataReady, _state: RunState) -> list[str]:
    rejected = f", {event.num_rejected} rejected" if event.num_rejected else ""
    return [
        (
            f"   rows: {event.num_train} train, {event.num_eval} eval, {event.num_test} test{rejected}; "
            f"{event.trained_share:.0%} of the tokens are trained"
        )
    ]


@_lines.register
def _(event: ev.AttemptStarted, _state: RunState) -> list[str]:
    resumed = f" from step {event.resumed_from_step}" if event.resumed_from_step else ""
    return [f"   attempt {event.attempt}{resumed}: loading libraries and model"]


@_lines.register
def _(event: ev.ModelLoaded, _state: RunState) -> list[str]:
    share = event.num_trainable_parameters / max(event.num_parameters, 1)
    return [
        (
            f"   {event.num_parameters / 1e6:,.1f} M parameters, {event.num_trainable_parameters / 1e6:,.2f} M trained "
            f"({share:.1%}), loaded in {format_seconds(event.seconds)}"
        )
    ]


@_lines.register
def _(event: ev.TrainingStarted, _state: RunState) -> list[str]:
    return [f"   {event.max_steps} steps of {event.effective_batch_size} rows, {event.num_rows} rows an epoch"]


@_lines.register
def _(event: ev.StepLogged, state: RunState) -> list[str]:
    # Resident memory counts the libraries too; only a card tells what tensors alone take.
    kind, memory = ("RSS", event.rss_bytes) if event.allocated_bytes is None else ("mem", event.allocated_bytes)
    width = len(str(event.max_steps))
    eta = format_seconds(state.eta_seconds) if state.eta_seconds is not None else "?"
    return [
        (
            f"step {event.step:>{width}}/{event.max_steps}  loss {event.loss:7.4f}  lr {event.learning_rate:.2e}  "
            f"{event.num_tokens / max(event.step_seconds, 1e-9):7,.0f} tok/s  {kind} {format_bytes(memory):>9}  "
            f"eta {eta}"
        )
    ]


@_lines.register
def _(event: ev.EvalLogged, _state: RunState) -> list[str]:
    return [f"   eval loss {event.loss:.4f} at step {event.step} on {event.num_rows} rows"]


@_lines.register
def _(event: ev.CheckpointSaved, _state: RunState) -> list[str]:
    return [f"   checkpoint of step {event.step} saved, {format_bytes(event.num_bytes)}"]


@_lines.register
def _(event: ev.CommandAcknowledged, _state: RunState) -> list[str]:
    return [f"   {event.command}: {event.status}{', ' + event.reason if event.reason else ''}"]


@_lines.register
def _(event: ev.TrainingPaused, state: RunState) -> list[str]:
    return [f"   paused after step {event.step}; `finetui continue {shlex.quote(state.run)}` goes on"]


@_lines.register
def _(event: ev.TrainingContinued, _state: RunState) -> list[str]:
    return [f"   going on after step {event.step}"]


@_lines.register
def _(event: ev.MemoryPredicted, _state: RunState) -> list[str]:
    after = f", {event.calibration}" if event.calibration else ""
    return [
        (
            f"   memory: {format_bytes(event.peak_bytes)} predicted ({event.method}{after}); needs "
            f"{format_bytes(event.needed_bytes)}, {format_bytes(event.capacity_bytes)} may be used: {event.verdict}"
        )
    ]


@_lines.register
def _(event: ev.MemoryProbed, _state: RunState) -> list[str]:
    predicted = f"; {format_bytes(event.predicted_bytes)} predicted" if event.predicted_bytes is not None else ""
    took = format_seconds(event.seconds)
    return [f"   memory: the longest rows took {format_bytes(event.peak_bytes)}{predicted} (probe, {took})"]


@_lines.register
def _(event: ev.MemoryMeasured, _state: RunState) -> list[str]:
    predicted = f"; {format_bytes(event.predicted_bytes)} predicted" if event.predicted_bytes is not None else ""
    return [f"   memory: {format_bytes(event.peak_bytes)} used by step {event.step}{predicted}"]


@_lines.register
def _(event: ev.OomHit, _state: RunState) -> list[str]:
    cause = f", {event.cause}" if event.cause else ""
    return [f"!! out of memory ({event.phase}, after step {event.step}{cause}): {event.message}"]


@_lines.register
def _(event: ev.RungTaken, _state: RunState) -> list[str]:
    costly = "; changes what is learned" if event.changes_objective else ""
    return [
        f"   ladder: {event.rung.replace('_', ' ')}{_saved(event)} ({event.cost}{costly}; {event.why}); {event.kept}"
    ]


@_lines.register
def _(event: ev.WeightsCarried, _state: RunState) -> list[str]:
    before, after = event.eval_loss_before, event.eval_loss_after
    losses = "" if after is None else f"; eval loss {'?' if before is None else f'{before:.4f}'} -> {after:.4f}"
    kept = "" if event.optimizer_kept else f"; the optimizer starts anew, {event.warmup_steps} steps of warm-up"
    return [
        (
            f"   weights of step {event.step} carried over ({', '.join(event.changes)}): "
            f"relative error {event.error:.2g}{losses}{kept}"
        )
    ]


@_lines.register
def _(event: ev.AdapterSaved, _state: RunState) -> list[str]:
    return [f"   result saved and read back: {event.path}, {format_bytes(event.num_bytes)}"]


@_lines.register
def _(event: ev.EvaluationProgressed, _state: RunState) -> list[str]:
    is_whole = event.num_done == event.num_rows
    return [f"   {event.variant}: answered {event.num_done} of {event.num_rows}"] if is_whole else []


@_lines.register
def _(event: ev.LossSpiked, _state: RunState) -> list[str]:
    rows = f"; its rows: lines {', '.join(map(str, event.rows[:8]))}" if event.rows else ""
    return [f"!! loss {event.loss:.4f} at step {event.step}, {event.usual:.4f} before{rows}"]


@_lines.register
def _(event: ev.RequestStarted, _state: RunState) -> list[str]:
    return [f"== {event.title}"]


@_lines.register
def _(event: ev.RequestFinished, _state: RunState) -> list[str]:
    return [f"   done in {format_seconds(event.seconds)}"]


@_lines.register
def _(event: ev.RequestFailed, _state: RunState) -> list[str]:
    told = (event.happened, event.means, event.remedy)
    return [f"!! {line}" for part in told for line in part.splitlines()]


@_lines.register
def _(event: ev.ExportProgressed, _state: RunState) -> list[str]:
    return [f"   {event.artifact}: {event.doing}"] if event.num_done in (0, event.num_total) else []


@_lines.register
def _(event: ev.ArtifactExported, _state: RunState) -> list[str]:
    kind = f", {event.file_type}" if event.file_type else ""
    bits = f" at {event.bits_per_weight:.2f} bits per weight" if event.bits_per_weight is not None else ""
    same = "" if event.agreement is None else f"; {event.agreement:.1%} of {event.num_rows} rows as the tuned model"
    done = "is checked and in place"
    if event.kind == "hub":
        done = "was sent" if "://" in event.path else "would send"
    told = f"   {event.artifact} {done}: {event.path}, {format_bytes(event.num_bytes)}{kind}{bits}{same}"
    return [told, *(f"      {note}" for note in event.notes)]


@_lines.register
def _(event: ev.WarningRaised, _state: RunState) -> list[str]:
    return [f"!! {event.text}"]


def died(state: RunState, log: str) -> list[str]:
    """The last lines for a run whose supervisor is gone without a final event."""
    saved = (
        f"the checkpoint of step {state.checkpoint.step} is kept" if state.checkpoint else "no checkpoint was written"
    )
    return [
        f"run {state.run} died: its supervisor is gone and left no final event; {saved}.",
        f"Resume it with: finetui resume {shlex.quote(state.run)}   (last words: {log})",
    ]


def ending(state: RunState, folder: str, log: str, program: str = "finetui") -> list[str]:
    """What stands at the end of a run: the table, where the result is, what to do next."""
    match state.final:
        case ev.RunFinished(seconds=seconds):
            return [*result_table(state), "", *next_steps(state, folder, seconds, program)]
        case ev.RunStopped(kept=kept):
            return [
                f"run {state.run} is stopped; kept: {printable(kept)}.",
                f"Go on with: finetui resume {shlex.quote(state.run)}",
            ]
        case ev.RunFailed() as failed:
            told = [failed.happened, failed.means, failed.remedy]
            lines_ = [printable(line) for line in told if line]
            return [f"run {state.run} failed.", *lines_, f"Log folder: {log}"]
        case _:
            return died(state, log)


def _saved(event: ev.RungTaken) -> str:
    """The predicted peaks before and after a rung, empty where nothing was predicted."""
    if event.before_bytes is None or event.after_bytes is None:
        return ""
    return f", {format_bytes(event.before_bytes)} -> {format_bytes(event.after_bytes)}"


def next_steps(state: RunState, folder: str, seconds: float, program: str) -> list[str]:
    told = [f"run {state.run} finished in {format_seconds(seconds)}."]
    if state.adapter:
        told.append(f"Result: {folder}/{state.adapter.path}" + (f"  (on {state.model.folder})" if state.model else ""))
    if state.scores:
        told.append(f"Answers, row by row: {folder}/answers/")
    if state.settled and state.settled.rungs:
        rungs = ", ".join(dict.fromkeys(state.settled.rungs))
        told.append(f"Memory was short, so the ladder took {rungs}. The recipe that starts there:")
        told.append(f"  {folder}/{state.settled.path}")
    for each in state.artifacts:
        place = each.path if "://" in each.path else f"{folder}/{each.path}"
        told.append(f"Made: {one_line(place)}, {format_bytes(each.num_bytes)}")
    name = shlex.quote(state.run)
    actions = (
        (f"attach {name}", "the result on the screen, row by row"),
        (f"export {name} --to gguf", "merged, GGUF, Ollama, notebook, hub"),
        (f"report {name}", "all of it on one page"),
        (f"status {name}", "how it went, in one screen"),
        (f"replay {name}", "the same again, from the same rows and seed"),
    )
    width = max(len(command) for command, _ in actions)
    return [*told, "Next:", *(f"  {program} {command:<{width}}  {what}" for command, what in actions)]


def standing(state: RunState, alive: str) -> str:
    """The phase a person should read: a run with no final event and no process died; `alive` as `liveness` says it."""
    if state.is_over or alive == "alive":
        return state.phase
    return "died" if alive == "dead" else alive


def status_lines(state: RunState, alive: str, folder: str, found: Sequence[Finding] = ()) -> list[str]:
    """A run on one screen; `found` is what stands out in its record."""
    phase = state.phase if state.is_over or alive != "dead" else "died"
    told = [f"{state.run}: {phase}" + (f" ({alive})" if alive not in ("alive", "dead") else "")]
    told.append(f"  recipe      {one_line(state.recipe)}")
    if state.max_steps:
        told.append(f"  step        {state.step} of {state.max_steps}, attempt {state.attempt}")
    if state.last_step and state.first_loss is not None:
        told.append(f"  loss        {state.last_step.loss:.4f} (first {state.first_loss:.4f})")
    if state.evals:
        told.append(f"  eval loss   {state.evals[-1].loss:.4f} at step {state.evals[-1].step}")
    if state.eta_seconds is not None and not state.is_over:
        told.append(f"  eta         {format_seconds(state.eta_seconds)}")
    if state.checkpoint:
        told.append(f"  checkpoint  step {state.checkpoint.step}, {format_bytes(state.checkpoint.num_bytes)}")
    told += _memory_status(state)
    told += [f"  rung        {rung.rung}{_saved(rung)}: {rung.cost}; {rung.kept}" for rung in state.rungs]
    told += [f"  warning     {warning}" for warning in state.warnings[-3:]]
    told += _asked_status(state, alive) + _score_status(state) + _artifact_status(state)
    told += [f"  {each.severity:<11} {one_line(each.text)}" for each in found]
    if isinstance(state.final, ev.RunFailed):
        told += [f"  {part}" for part in (state.final.happened, state.final.means, state.final.remedy) if part]
    if phase in ("died", "stopped", "failed"):
        told.append(f"  go on       finetui resume {shlex.quote(state.run)}")
    told.append(f"  folder      {folder}")
    return [printable(line) for line in told]


def _asked_status(state: RunState, alive: str) -> list[str]:
    """What is being done of what was asked for later, or why the last of it was not done."""
    if state.request is not None and not state.is_over and alive != "dead":
        now = state.exporting.doing if state.exporting else ""
        if (progress := state.progress) is not None:
            now = f"{progress.variant}: {progress.num_done} of {progress.num_rows} answers"
        return [f"  now         {one_line(state.request.title)}" + (f" ({one_line(now)})" if now else "")]
    newest, fault = state.newest_request, state.request_faults[-1] if state.request_faults else None
    if fault is None or (newest is not None and newest.number != fault.number):
        return []
    told = [part for part in (fault.happened, fault.means, fault.remedy) if part]
    return [f"  not done    {one_line(newest.title)}" if newest else "  not done", *(f"    {part}" for part in told)]


def _score_status(state: RunState) -> list[str]:
    """A line for each variant: exact answers with their 95 % interval."""
    width = max([26, *(len(one_line(score.title)) for score in state.scores)])
    told = []
    for score in state.scores:
        rows = "" if score.dataset == "test" else f", rows {one_line(score.dataset)}"
        share = f"{_share(score.num_correct, score.num_rows):>6} of {score.num_rows} rows exact"
        told.append(f"  {one_line(score.title):<{width}} {share} ({score.low:.1%} to {score.high:.1%}){rows}")
    return told


def _artifact_status(state: RunState) -> list[str]:
    """A line for each artifact: size, type, agreement with the tuned model, and where it lies."""
    told = []
    for each in state.artifacts:
        facts = [format_bytes(each.num_bytes)]
        facts += [one_line(each.file_type)] if each.file_type and each.file_type not in each.artifact else []
        facts += [] if each.agreement is None else [f"{each.agreement:.1%} as the tuned model"]
        told.append(f"  {one_line(each.artifact):<11} {', '.join(facts)}: {one_line(each.path)}")
    return told


def _memory_status(state: RunState) -> list[str]:
    """Predicted, probed and running peak of the present plan, and how often memory ran out."""
    peaks = [
        f"{word} {format_bytes(event.peak_bytes)}"
        for word, event in (("predicted", state.predicted), ("probe", state.probed), ("now", state.measured))
        if event is not None
    ]
    told = [f"  memory      {', '.join(peaks)}"] if peaks else []
    for each in state.ranks if len(state.ranks) > 1 else ():
        taken = f"RSS {format_bytes(each.rss_bytes)}"
        if each.allocated_bytes is not None:
            taken = f"allocated {format_bytes(each.allocated_bytes)}, reserved {format_bytes(each.reserved_bytes or 0)}"
        told.append(f"  rank {each.rank:<6} {one_line(each.host)} {each.device}: {taken} in {each.phase} {each.step}")
    if state.ooms:
        last = state.ooms[-1]
        times = f"{len(state.ooms)} times, last" if len(state.ooms) > 1 else "once,"
        told.append(f"  ran out     {times} in {last.phase} after step {last.step}")
    return told


def ago(then: float | None) -> str:
    """How long ago, in words."""
    return "never" if then is None else f"{format_seconds(max(0.0, time.time() - then))} ago"
