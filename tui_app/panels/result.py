"""What came of the run: every variant's scores with intervals, what is better and what is not, what was made of it.

While something is scored or exported it says how far that is; before the end it says what comes. Not here: the table
(`scores`), what lies where (`artifacts`), how rows are scored (`engine/evaluation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from engine import events as ev
from engine.findings import Finding, findings
from engine.units import format_seconds
from tui_app.drawing import Line, Role, line, literal, padded
from tui_app.meters import bar, short_seconds
from tui_app.panels.artifacts import artifact_lines
from tui_app.panels.failure import failure
from tui_app.panels.header import eta_of
from tui_app.panels.scores import datasets, scores_on, table_blocks, verdict_lines, wrapped
from tui_app.panels.scrolled import Scrolled
from tui_app.runs.later import LATER
from tui_app.runs.phases import LATE_PHASES, doing, fault_now, is_over, title_of, work_of
from tui_app.runs.view import RunView

MAX_BAR = 40
LOOK_STEPS = 20
"""Steps after which a run that goes on is looked through again."""
SAID_WITH_SCORES = ("better", "worse_than_base", "no_difference")
"""Findings that the words under the table tell."""


class Result(Scrolled):
    """Scrolled from its beginning."""

    NAME: ClassVar[str] = "result"
    TITLE: ClassVar[str] = "Result"

    def __init__(self) -> None:
        super().__init__()
        self._found: tuple[tuple[object, ...], list[Finding]] | None = None

    def findings(self, view: RunView) -> list[Finding]:
        """What the record shows that somebody should know; looked for again once enough of it is new."""
        state, trace = view.state, view.trace
        size = len(trace) if is_over(view) else len(trace) // LOOK_STEPS
        key = (id(trace), size, len(trace.evals), state.phase, state.scores, state.artifacts, state.spikes, state.ooms)
        if self._found is None or self._found[0] != key:
            self._found = (key, findings(state, trace))
        return self._found[1]

    def rows(self, view: RunView, width: int) -> list[Line]:
        width = max(width, 12)
        return [
            *standing_lines(view, width),
            *fault_lines(view, width),
            *score_lines(view, width),
            *finding_lines(self.findings(view), view, width),
            *artifact_lines(view, width),
            *next_actions(view, width),
        ]


def standing_lines(view: RunView, width: int) -> list[Line]:
    """How the run ended, or what is being done and what comes."""
    state = view.state
    if isinstance(state.final, ev.RunFinished):
        took = format_seconds(state.final.seconds)
        return [line(" ", (f"{view.glyphs.done} finished in {took}; the result was checked", "good"))]
    if isinstance(state.final, ev.RunFailed):
        return failure(state.final, width, view)
    if isinstance(state.final, ev.RunStopped):
        return wrapped(f"stopped after step {state.final.step}; kept: {literal(state.final.kept)}", width, "warn")
    if view.liveness == "dead":
        kept = "the trained result is kept; " if state.finished else ""
        return wrapped(f"the supervisor is gone and left no final event; {kept}R resumes the run", width, "bad")
    if state.phase in LATE_PHASES or state.finished is not None:
        return work_lines(view, width)
    return wrapped(_waiting(view), width, "dim")


def work_lines(view: RunView, width: int) -> list[Line]:
    """What is being scored or exported: a bar where it is known how much there is, a tick for what is done."""
    state, glyphs = view.state, view.glyphs
    head = literal(state.request.title) if state.request else doing(view)
    rows = wrapped(f"{glyphs.running} {head}", width, "accent")
    if (work := work_of(view)) is not None:
        rows += wrapped(work.what, width, "", indent=3)
        if work.share is not None:
            counted = f" {work.share:.0%}  {work.num_done} of {work.num_total}"
            eta = f"  about {short_seconds(work.eta_seconds)}" if work.eta_seconds is not None else ""
            room = max(min(width - len(counted) - len(eta) - 5, MAX_BAR), 4)
            rows.append(line("   ", *bar(work.share, room, glyphs), counted, (eta, "dim")))
    elif state.request:
        rows += wrapped(doing(view), width, "dim", indent=3)
    for name in done_since_request(view):
        rows.append(line("   ", (f"{glyphs.done} ", "good"), name))
    return [*rows, *wrapped("goes on when you leave; S ends it, the trained result stays", width, "dim", indent=3)]


def done_since_request(view: RunView) -> list[str]:
    """What was scored or put in place since the present request, or the stage of the run, began."""
    found: list[str] = []
    for stamped in reversed(view.trace.recent):
        match stamped.event:
            case ev.ArtifactExported(artifact=artifact):
                found.append(literal(artifact))
            case ev.VariantScored(variant=variant):
                found.append(f"{title_of(view.state, variant)} is scored")
            case ev.RunStarted() | ev.StageStarted(stage="train"):
                break
            case _:
                pass
    return list(dict.fromkeys(reversed(found)))


def _waiting(view: RunView) -> str:
    eta = eta_of(view)
    when = f" (in about {short_seconds(eta)})" if eta is not None else ""
    if view.has_evaluation is False:
        return f"no result yet: the trained weights are saved and checked at the end{when}; nothing is scored"
    return f"no result yet: base and tuned model are scored after the last step{when}"


def fault_lines(view: RunView, width: int) -> list[Line]:
    """Why what was asked for last could not be done, in three sentences."""
    fault = fault_now(view)
    if fault is None or not isinstance(view.state.final, ev.RunFinished):
        return []
    asked = view.state.newest_request
    title = f"not done: {literal(asked.title)}" if asked else "what was asked for was not done"
    rows = [line(""), *wrapped(f"{view.glyphs.impossible} {title}", width, "bad")]
    for text in (fault.happened, fault.means, fault.remedy):
        for part in text.splitlines():
            rows += wrapped(literal(part), width, "", indent=3)
    return rows


def finding_lines(found: Sequence[Finding], view: RunView, width: int) -> list[Line]:
    """Each in plain words with what to do; the comparison with the base stands under the table already."""
    signs: dict[str, tuple[str, Role]] = {
        "good": (view.glyphs.done, "good"),
        "warning": (view.glyphs.warning, "warn"),
        "bad": (view.glyphs.impossible, "bad"),
    }
    rows: list[Line] = []
    for each in found:
        if each.kind in SAID_WITH_SCORES and view.state.scores:
            continue
        sign, role = signs.get(each.severity, (view.glyphs.bullet, ""))
        first, *rest = wrapped(literal(each.text), width - 2, role, indent=0) or [line("")]
        rows += [(*line(" ", (sign, role), " "), *first), *((*line("   "), *more) for more in rest)]
        rows += wrapped(literal(each.remedy), width, "dim", indent=3) if each.remedy else []
    return [line(""), line(" ", ("what stands out", "title")), *rows] if rows else []


def score_lines(view: RunView, width: int) -> list[Line]:
    """One table for each set of rows that was asked, and under it what it means."""
    rows: list[Line] = []
    for dataset in datasets(view.state):
        scores = scores_on(view.state, dataset)
        what = "rows nobody trained on" if dataset == "test" else f"rows of {literal(dataset)}"
        asked = {score.num_rows for score in scores}
        count = f"{scores[0].num_rows}" if len(asked) == 1 else f"{min(asked)} to {max(asked)}"
        rows += [line(""), *wrapped(f"scores on {count} {what}", width, "title")]
        first, *further = table_blocks(view.state, dataset, width, view.glyphs)
        rows += first
        if told := verdict_lines(view.state, dataset, width, view.glyphs):
            rows += [line(""), *told]
        for each in further:
            rows += [line(""), *each]
    return rows


def next_actions(view: RunView, width: int) -> list[Line]:
    """Keys and commands that make sense now."""
    run, state = literal(view.state.run), view.state
    if state.final is None and view.liveness != "dead":
        return []
    found = list[tuple[str, str]]()
    is_finished = isinstance(state.final, ev.RunFinished)
    if is_finished:
        found += [(each.key, each.says) for each in LATER]
    else:
        kept = f"from the checkpoint of step {state.checkpoint.step}" if state.checkpoint else "from the start"
        found.append((f"finetui resume {run}", f"go on {kept} (R)"))
    commands = [(f"finetui replay {run}", "the same again, same rows and seed")]
    commands.append((f"finetui status {run}", "how it went, in one screen"))
    rows = [line(""), line(" ", ("next", "title"))]
    if is_finished:
        for key, text in found:
            first, *rest = wrapped(text, max(width - 5, 8), "", indent=0) or [line("")]
            rows += [(*line("   ", (key, "key"), "  "), *first), *((*line("      "), *each) for each in rest)]
        found = []
    found += commands
    column = max(len(command) for command, _ in found)
    for command, text in found:
        if column + len(text) + 5 <= width:
            rows.append(line("  ", (padded(command, column), "key"), "  ", (text, "dim")))
        else:
            rows += [line("  ", (command, "key")), line("    ", (text, "dim"))]
    return rows


PANEL = Result
