"""What a report says and in which order: the verdict first, then how it came about, then what is needed to do it again.

Pure: from the facts to a document. Not here: how a document looks (`markdown`, `html`), the answers and tables of the
result (`results`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from data.receipt import lines as receipt_lines
from engine.events import RunFailed, RunStopped
from engine.recipe import Recipe, field_sentence
from engine.report.document import Block, Bullets, Code, Document, Figure, Paragraph, Section, Table
from engine.report.facts import Facts
from engine.report.results import result_section, samples_section
from engine.units import format_bytes, format_seconds

ALTS = {
    "loss": "Loss by optimizer step: of each step, its moving average, and on the eval split.",
    "memory": "Allocated memory of each plan: predicted, probed and peak.",
    "device": "Memory in use over the run's time.",
    "throughput": "Tokens per second by optimizer step.",
}
NOT_TOLD = ("version", "run.name", "run.root", "title", "description", "hardware")


def document(facts: Facts, drawn: Sequence[str]) -> Document:
    """The whole report; `drawn` names the curves there are."""
    title = (facts.recipe.title if facts.recipe else "") or facts.state.recipe or facts.run.name
    sections = [
        verdict(facts),
        result_section(facts),
        samples_section(facts),
        training(facts, drawn),
        memory(facts, drawn),
        ladder(facts),
        rows(facts),
        recipe_section(facts),
        artifacts(facts),
        environment(facts),
        replay(facts),
    ]
    return Document(title, _subtitle(facts), tuple(section for section in sections if section and section.blocks))


def phase_of(facts: Facts) -> str:
    """The run's phase, or died where nobody works on it any more and it never ended."""
    if facts.state.is_over or facts.alive != "dead":
        return facts.state.phase
    return "died" if facts.state.started_at else "never started"


def _subtitle(facts: Facts) -> str:
    began = _when(facts.state.started_at)
    took = (facts.state.updated_at or 0) - (facts.state.started_at or 0)
    spent = f", {format_seconds(took)} from the first to the last event" if took > 0 else ""
    return f"Run {facts.run.name}: {phase_of(facts)}{f', began {began}' if began else ''}{spent}."


def verdict(facts: Facts) -> Section:
    """What came of it, in sentences."""
    told = [Paragraph(f"{each.text} {each.remedy}".strip(), each.severity) for each in facts.findings]
    return Section("Verdict", (*_ending(facts), *told))


def _ending(facts: Facts) -> Iterator[Block]:
    phase, final = phase_of(facts), facts.state.final
    at = f"step {facts.state.step}" + (f" of {facts.state.max_steps}" if facts.state.max_steps else "")
    if isinstance(final, RunFailed):
        yield Paragraph(f"The run failed at {at}. {final.happened} {final.means} {final.remedy}", "bad")
    elif isinstance(final, RunStopped):
        again = f"finetui resume {facts.run.typed} goes on"
        yield Paragraph(f"The run was stopped at {at}; {final.kept or 'nothing'} is kept, and {again}.", "warning")
    elif phase == "died":
        text = (
            f"The run died at {at}: its process is gone without a last word. finetui resume {facts.run.typed} goes on."
        )
        yield Paragraph(text, "bad")
    elif phase != "finished":
        text = f"The run is not over ({phase}, {at}): this report is of what is known so far."
        yield Paragraph(text, "note")


def training(facts: Facts, drawn: Sequence[str]) -> Section:
    """Curves and figures of the steps."""
    trace, state = facts.trace, facts.state
    if not len(trace):
        return Section("Training", (Paragraph("No step was trained yet."),))
    rate = sum(trace.num_tokens) / seconds if (seconds := sum(trace.step_seconds)) > 0 else None
    figures = [
        ("optimizer steps", f"{trace.steps[-1]} of {state.max_steps}"),
        ("train loss", f"{trace.losses[0]:.3f} at step {trace.steps[0]}, {trace.losses[-1]:.3f} at the last"),
        ("eval loss", ", ".join(f"{loss:.3f} at step {step}" for step, loss in trace.evals[-6:]) or "not measured"),
        ("tokens trained on", f"{sum(trace.num_tokens):,}"),
        ("tokens per second", f"{rate:.0f}" if rate else "unknown"),
        ("seconds per step", f"{sum(trace.step_seconds) / sum(trace.num_steps):.2f}"),
        ("steps trained twice", str(trace.num_repeated_steps)),
        ("attempts", str(max(len(state.attempts), state.attempt))),
    ]
    if state.loaded:
        share = 100 * state.loaded.num_trainable_parameters / max(state.loaded.num_parameters, 1)
        trained = f"{state.loaded.num_trainable_parameters:,} of {state.loaded.num_parameters:,} ({share:.2f} %)"
        figures.insert(0, ("trained parameters", trained))
    blocks: list[Block] = [Figure(name, ALTS[name]) for name in ("loss", "throughput") if name in drawn]
    blocks.append(Table("The steps in figures", ("What", "Value"), tuple(figures)))
    if state.warnings:
        blocks.append(Bullets(tuple(dict.fromkeys(state.warnings))))
    return Section("Training", tuple(blocks))


def memory(facts: Facts, drawn: Sequence[str]) -> Section | None:
    """Predicted, probed, peak: allocated memory of each plan."""
    if not facts.plans:
        return None
    table = tuple(
        (
            f"plan {plan.number}",
            *(_size(size) for size in (plan.predicted_bytes, plan.probed_bytes, plan.peak_bytes)),
            _error(plan.predicted_bytes, plan.peak_bytes or plan.probed_bytes),
            _size(plan.needed_bytes),
            _size(plan.capacity_bytes),
            f"{plan.verdict} ({plan.method})" if plan.verdict else "",
        )
        for plan in facts.plans
    )
    columns = ("Plan", "Predicted", "Probed", "Peak", "Off by", "Needed", "May use", "Verdict")
    caption = "Allocated memory: predicted, probed with the longest rows, and the running peak"
    blocks: list[Block] = [Figure(name, ALTS[name]) for name in ("memory", "device") if name in drawn]
    terms = facts.state.predicted.terms if facts.state.predicted else ()
    parts = tuple((name, format_bytes(size)) for name, size in terms)
    shown = (Table("What the last prediction is made of", ("Term", "Size"), parts),) if parts else ()
    return Section("Memory", (*blocks, Table(caption, columns, table), *shown))


def _error(predicted: int | None, measured: int | None) -> str:
    return f"{100 * (predicted - measured) / measured:+.1f} %" if predicted and measured else ""


def ladder(facts: Facts) -> Section | None:
    """Each change of plan, with why and what it brought."""
    if not (facts.state.rungs or facts.state.ooms):
        return None
    taken = tuple(
        (
            rung.rung.replace("_", " "),
            rung.why,
            rung.cost,
            "yes" if rung.changes_objective else "no",
            f"{_size(rung.before_bytes)} to {_size(rung.after_bytes)}",
            rung.kept,
        )
        for rung in facts.state.rungs
    )
    columns = ("Rung", "Why", "Cost", "Changes what is learned", "Predicted peak", "Kept")
    hits = tuple((str(oom.attempt), oom.phase, str(oom.step), oom.cause, oom.message) for oom in facts.state.ooms)
    tables = (
        Table("Rungs of the ladder that were taken", columns, taken) if taken else None,
        Table("Where memory ran out", ("Attempt", "Phase", "Step", "Cause", "Message"), hits) if hits else None,
    )
    return Section("Ladder", tuple(table for table in tables if table))


def rows(facts: Facts) -> Section:
    """The data receipt and the files behind it."""
    if facts.receipt is None:
        return Section("Data", (Paragraph("The rows are not prepared yet, or their receipt is missing."),))
    blocks: list[Block] = [Code("What was read, kept and rejected", "\n".join(receipt_lines(facts.receipt)))]
    files = tuple(
        (str(file.get("name", "")), format_bytes(int(file.get("num_bytes") or 0)), str(file.get("sha256", "")))
        for file in facts.prepared.get("files", ())
    )
    if files:
        blocks.append(Table("Files the rows were read from", ("File", "Size", "SHA-256"), files))
    return Section("Data", tuple(blocks))


def recipe_section(facts: Facts) -> Section | None:
    """What the recipe sets otherwise than the defaults, and what the ladder changed of it."""
    if facts.recipe is None:
        return None
    changed = tuple((name, told, field_sentence(name)) for name, told, _ in differences(facts.recipe))
    blocks: list[Block] = [Table("Fields that are not at their default", ("Field", "Value", "Meaning"), changed)]
    if facts.settled is not None and facts.settled.sha256() != facts.recipe.sha256():
        others = tuple((name, old, new) for name, new, old in differences(facts.settled, facts.recipe))
        blocks.append(Table("What the ladder left of it (settled.toml)", ("Field", "Asked", "Settled"), others))
    return Section("Recipe", tuple(blocks))


def differences(recipe: Recipe, other: Recipe | None = None) -> list[tuple[str, str, str]]:
    """(field, its value, the other's) wherever two recipes differ; the other is the defaults unless given."""
    mine, others = _flat(recipe), _flat(other or _defaults(recipe))
    names = [name for name in dict.fromkeys((*mine, *others)) if name not in NOT_TOLD]
    pairs = [(name, _value(mine.get(name)), _value(others.get(name))) for name in names]
    named = ("model.name_or_path", "data.dataset") if other is None else ()
    return [pair for pair in pairs if pair[1] != pair[2] or pair[0] in named]


def _defaults(recipe: Recipe) -> Recipe:
    names = {"model": {"name_or_path": recipe.model.name_or_path}, "data": {"dataset": recipe.data.dataset}}
    return Recipe.model_validate(names)


def _flat(recipe: Recipe) -> dict[str, Any]:
    values = recipe.model_dump(mode="json")
    found: dict[str, Any] = {}
    for section, value in values.items():
        found |= (
            {f"{section}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {section: value}
        )
    return found


def _value(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def artifacts(facts: Facts) -> Section | None:
    """What the result was turned into, as checked; the adapter's files."""
    exported = tuple(
        (
            each.artifact,
            each.file_type + (f" ({each.bits_per_weight:.2f} bits per weight)" if each.bits_per_weight else ""),
            format_bytes(each.num_bytes),
            f"{100 * each.agreement:.1f} % of {each.num_rows} rows" if each.agreement is not None else "",
            f"{100 * each.perplexity_change:+.2f} %" if each.perplexity_change is not None else "",
            f"{each.seconds_per_answer:.2f} s" if each.seconds_per_answer is not None else "",
            each.path,
            "; ".join(each.notes),
        )
        for each in facts.state.artifacts
    )
    columns = ("Artifact", "Type", "Size", "Answers as the tuned model", "Perplexity", "Per answer", "Path", "Notes")
    blocks: list[Block] = [Table("Exports, each loaded again and checked", columns, exported)] if exported else []
    if facts.files:
        listed = tuple((name, format_bytes(size), digest) for name, size, digest in facts.files)
        blocks.append(Table("The trained weights", ("File", "Size", "SHA-256"), listed))
    return Section("Artifacts", tuple(blocks)) if blocks else None


def environment(facts: Facts) -> Section | None:
    """Host, device, versions, git."""
    manifest, state = facts.manifest, facts.state
    if not manifest:
        return None
    machine = manifest.get("hardware") or {}
    told = [
        ("host", state.host),
        ("device", f"{manifest.get('device', '')} {manifest.get('device_name', '')}".strip()),
        *(("card", f"{gpu.get('name', '')}, {_size(gpu.get('total_bytes'))}") for gpu in machine.get("gpus") or ()),
        ("processor", f"{machine.get('cpu_name', '')}, {machine.get('num_cores', '')} cores"),
        ("RAM", _size(machine.get("ram_total_bytes"))),
        ("system", str(machine.get("platform", ""))),
        ("base model", state.model.name if state.model else ""),
        ("git", _git(manifest.get("git"))),
        *((name, str(version)) for name, version in (manifest.get("versions") or {}).items()),
    ]
    kept = tuple((name, value) for name, value in told if value)
    notes = (Bullets(state.model.notes),) if state.model and state.model.notes else ()
    return Section("Environment", (Table("Where it ran", ("What", "Value"), kept), *notes))


def _git(raw: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in raw.items()) if isinstance(raw, dict) else str(raw or "")


def replay(facts: Facts) -> Section:
    """How the same run is made again, and the hashes that say it is the same."""
    blocks: list[Block] = [
        Code("The same recipe, bit for bit on the same machine", f"finetui replay {facts.run.typed}")
    ]
    if facts.state.rungs and facts.settled is not None:
        text = f"finetui replay {facts.run.path / 'settled.toml'}"
        blocks.append(Code("From where the ladder ended", text))
    hashes = [("recipe", str(facts.manifest.get("recipe_sha256", "")))]
    for name, split in (facts.prepared.get("splits") or {}).items():
        hashes.append((f"{name} rows", str(split.get("sha256", ""))))
    hashes.append(("test rows", str((facts.prepared.get("test") or {}).get("sha256", ""))))
    kept = tuple((name, digest) for name, digest in hashes if digest)
    if kept:
        blocks.append(Table("Hashes", ("What", "SHA-256"), kept))
    if facts.recipe is not None:
        blocks.append(Code("recipe.toml", facts.recipe.to_toml().rstrip()))
    return Section("Replay", tuple(blocks))


def _size(size: Any) -> str:
    return format_bytes(int(size)) if size else ""


def _when(moment: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment)) if moment else ""
