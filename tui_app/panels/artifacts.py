"""What a run left: its result and the artifacts made of it, each with where it lies and how well it was checked.

No panel of its own. Not here: making them (`engine/exporters`).
"""

from __future__ import annotations

from engine import events as ev
from engine.run_state import RunState
from engine.units import format_bytes
from tui_app.drawing import Line, line, literal, padded, wrap
from tui_app.panels.scores import wrapped
from tui_app.runs.view import RunView


def artifact_lines(view: RunView, width: int) -> list[Line]:
    """The folder, then each artifact with its size, type and checks."""
    found = kept(view.state) + [(literal(each.path), facts_of(each)) for each in view.state.artifacts]
    if not found:
        return []
    rows = [line(""), line(" ", ("where it lies", "title")), *wrapped(literal(view.folder), width, "", indent=2)]
    column = min(max(len(path) for path, _ in found), max(width // 2, 12))
    for path, what in found:
        is_beside = len(path) <= column
        told = wrap(what, max(width - column - 6, 16), "dim")
        if not is_beside:
            rows += wrapped(path, width, "strong", indent=4)
        for number, each in enumerate(told):
            name = path if is_beside and not number else ""
            rows.append((*line("    ", (padded(name, column + 2), "strong")), *each))
    for artifact in view.state.artifacts:
        for note in artifact.notes:
            rows += wrapped(f"{literal(artifact.artifact)}: {literal(note)}", width, "dim", indent=4)
    return rows


def kept(state: RunState) -> list[tuple[str, str]]:
    """(path, what it is) of what the run itself left."""
    found = list[tuple[str, str]]()
    if state.adapter:
        found.append((literal(state.adapter.path), f"the result, {format_bytes(state.adapter.num_bytes)}, read back"))
    if state.settled:
        found.append((literal(state.settled.path), "the recipe that starts where the ladder ended"))
    if state.scores:
        found.append(("answers/", "every answer, row by row"))
    if state.checkpoint and not state.adapter:
        found.append((literal(state.checkpoint.path), f"checkpoint of step {state.checkpoint.step}"))
    return found


def facts_of(artifact: ev.ArtifactExported) -> str:
    """Size, type and checks of one artifact, in one sentence."""
    parts = [literal(artifact.artifact), format_bytes(artifact.num_bytes)]
    if artifact.file_type:
        parts.append(literal(artifact.file_type))
    if artifact.bits_per_weight is not None:
        parts.append(f"{artifact.bits_per_weight:.2f} bits per weight")
    if artifact.agreement is not None:
        parts.append(f"{artifact.agreement:.1%} of {artifact.num_rows} rows answered as the tuned model does")
    if artifact.perplexity_change is not None:
        parts.append(f"perplexity {artifact.perplexity_change:+.1%}")
    if artifact.seconds_per_answer is not None:
        parts.append(f"{artifact.seconds_per_answer:.2f} s an answer")
    return ", ".join(parts)
