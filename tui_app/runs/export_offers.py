"""What can be made of one trained run, with the size and time each takes, and what is in the way of those that cannot.

Reads the run's recipe and its base's config.json: for a thread. Not here: making them (`engine/exporters`).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import FinetuiError
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState
from engine.units import format_bytes, format_seconds
from tui_app.runs.offers import Asking, Offer
from tui_app.shell_words import shell_words

BITS_PER_WEIGHT = {"F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.57, "Q5_K_M": 5.7, "Q4_K_M": 4.85}
"""Of a model whose tensors are wide enough for every type; narrow ones take wider types for some tensors."""
TYPE_TEXTS = {
    "F16": "The weights as they are, in 16 bits: largest, answers as the merged model does.",
    "Q8_0": "8 bits: half the size, answers hardly ever differ.",
    "Q6_K": "6 bits: a little smaller than Q8_0, differences are rare.",
    "Q5_K_M": "5 bits: differences show on small models.",
    "Q4_K_M": "4 bits: smallest and fastest on a CPU; small models lose noticeably. Its agreement is measured.",
}
DEFAULT_TYPE = "Q8_0"
START_SECONDS = 40.0
"""Loading the libraries and the models, and the rows that each artifact answers, whatever its size."""
SECONDS_PER_GB = {"merged": 9.0, "gguf": 25.0}
"""Writing, reading back and checking a gigabyte: a guess from what SmolLM2-135M took on two cores, an order of
magnitude."""
IMATRIX_SECONDS = 160.0
"""For a gigabyte of weights, over 4,500 tokens of rows: a guess, too."""
TEXTS = {
    "adapter": "What was trained, as PEFT loads it: it lies in the run already. Checked again and, if wanted, copied.",
    "merged": "One model folder (safetensors) with base and adapter in the base's own number type: for transformers, "
    "vLLM and every further conversion.",
    "gguf": "One file for llama.cpp, LM Studio and Ollama. Each type is checked against the merged model and scored on "
    "rows; one whose answers fall apart is not put in place.",
    "ollama": "A Modelfile whose template, stop words and system text come from the model's own chat template, beside "
    "its GGUF file: `ollama create` takes it.",
    "notebook": "A notebook for Colab or VS Code that repeats this run with an explanation for every step.",
    "hub": "Uploading asks for a repository and a token, so it is done on the command line; without --push it only "
    "shows what would be sent.",
}
DETAILS = {"ollama": "Modelfile, checked; needs a gguf file", "notebook": "repeats the run; seconds, a few kilobytes"}


def export_offers(run: RunDir, state: RunState) -> list[Offer]:
    """Every kind, the GGUF types among them. Raises FinetuiError where the run's recipe cannot be read."""
    from engine.exporters import all_exporters
    from engine.recipe import Recipe

    recipe = Recipe.load(run.recipe)
    exporters = all_exporters()
    reasons = {name: _obstacle(exporters[name].problems(recipe, _config(run))) for name in exporters}
    weights = _weight_bytes(state)
    free = shutil.disk_usage(run.path).free
    offers = [_plain("adapter", "adapter", reasons, exporters, _adapter_detail(state))]
    offers.append(
        _plain(
            "merged", "merged model", reasons, exporters, _cost("merged", _merged_bytes(run, weights), state, "merged")
        )
    )
    for number, name in enumerate(BITS_PER_WEIGHT):
        size = None if weights is None else int(weights * BITS_PER_WEIGHT[name] / 16)
        detail = _cost("gguf", size, state, f"gguf-{name}")
        reason = _not_there("gguf", exporters) or reasons.get("gguf", "")
        if not reason and size is not None and size > free:
            reason = f"needs {format_bytes(size)}; {format_bytes(free)} are free on that disk"
        heading = "" if number else "GGUF, one file for each type"
        text = f"{TYPE_TEXTS[name]} {TEXTS['gguf']}"
        offers.append(Offer(f"gguf:{name}", name, detail, text, reason, heading))
    offers.append(_imatrix(weights, exporters, reasons))
    for number, name in enumerate(("ollama", "notebook")):
        plain = _plain(
            name, name, reasons, exporters, DETAILS[name], needs=f"gguf:{DEFAULT_TYPE}" if not number else ""
        )
        offers.append(plain if number else replace(plain, heading="Made of these"))
    told = f"on the command line: {shell_words(['finetui', 'export', run.reference])} --to hub"
    return [*offers, Offer("hub", "hub", "", TEXTS["hub"], told)]


def _plain(
    name: str, label: str, reasons: dict[str, str], exporters: Collection[str], detail: str, *, needs: str = ""
) -> Offer:
    reason = _not_there(name, exporters) or reasons.get(name, "")
    return Offer(name, label, detail, TEXTS[name], reason, needs=needs)


def _imatrix(weights: int | None, exporters: Collection[str], reasons: dict[str, str]) -> Offer:
    took = "" if weights is None else f"about {format_seconds(5 + IMATRIX_SECONDS * weights / 1e9)} more"
    text = (
        "An importance matrix computed from your own formatted rows weighs the rounding of K types. Its effect is "
        "measured and told; it may not help a small model."
    )
    reason = _not_there("gguf", exporters) or reasons.get("gguf", "")
    return Offer("imatrix", "with imatrix", took, text, reason, needs="gguf:Q4_K_M")


def _not_there(name: str, exporters: Collection[str]) -> str:
    return "" if name in exporters else "this version cannot make it"


def _obstacle(problems: Sequence[object]) -> str:
    """The first thing in the way, in a sentence."""
    first = next(iter(problems), None)
    if first is None:
        return ""
    return f"{getattr(first, 'happened', '')} {getattr(first, 'remedy', '')}".strip()


def _config(run: RunDir) -> dict[str, Any] | None:
    try:
        return dict(read_json(run.model_config))
    except FinetuiError:
        return None


def _weight_bytes(state: RunState) -> int | None:
    """Bytes of the base's weights in 16 bits; None where nobody knows how many there are."""
    if state.loaded is None:
        return None
    return 2 * state.loaded.num_parameters


def _merged_bytes(run: RunDir, weights: int | None) -> int | None:
    """The same in the base's own number type."""
    config = _config(run) or {}
    is_wide = "float32" in (config.get("dtype"), config.get("torch_dtype"))
    return weights if weights is None or not is_wide else 2 * weights


def _adapter_detail(state: RunState) -> str:
    size = f"{format_bytes(state.adapter.num_bytes)}, " if state.adapter else ""
    return f"{size}is there already"


def _cost(kind: str, num_bytes: int | None, state: RunState, artifact: str) -> str:
    """Size and time foreseen, or what it was where the run has made it before."""
    made = next((each for each in state.artifacts if each.artifact == artifact), None)
    if made is not None:
        return f"{format_bytes(made.num_bytes)}, made before in {format_seconds(made.seconds)}"
    if num_bytes is None:
        return ""
    seconds = START_SECONDS + SECONDS_PER_GB[kind] * num_bytes / 1e9
    return f"about {format_bytes(num_bytes)}, about {format_seconds(round(seconds, -1) or 10)}"


def usual_marks(offers: Sequence[Offer]) -> set[str]:
    """What most want: a merged model and one GGUF file; as far as it can be had and is not there."""
    wanted = ("merged", f"gguf:{DEFAULT_TYPE}")
    return {offer.name for offer in offers if offer.name in wanted and not offer.impossible}


def export_asking(run: RunDir, offers: Sequence[Offer], marked: Collection[str]) -> Asking:
    """What these marks ask for."""
    order = [offer.name for offer in offers if offer.name in marked and not offer.impossible]
    types = [name.partition(":")[2] for name in order if name.startswith("gguf:")]
    kinds = list(dict.fromkeys(name.partition(":")[0] for name in order if name != "imatrix"))
    words = ["finetui", "export", run.reference, "--to", ",".join(kinds)]
    if types:
        words += ["--quantization", ",".join(types)]
    if "imatrix" in order and types:
        words.append("--imatrix")
    named = [kind if kind != "gguf" else f"gguf {' '.join(types)}" for kind in kinds]
    problem = "" if kinds else "mark at least one thing to be made"
    title = f"export {', '.join(named)}"
    return Asking("export", title, tuple(words) if kinds else (), lambda: export_settings(run, words[2:]), problem)


def export_settings(run: RunDir, words: Sequence[str]) -> dict[str, Any]:
    """The request's arguments, as `finetui export` makes them of these words. Raises FinetuiError."""
    from argparse import ArgumentParser

    from engine.recipe import Recipe, recipe_error
    from engine.starting import export_problems
    from tui_app.result_commands import export

    parser = ArgumentParser()
    export.add(parser)
    recipe = Recipe.load(run.recipe)
    settings = export.settings_of(parser.parse_args(list(words)), recipe)
    if problems := export_problems(recipe, _config(run), settings):
        raise recipe_error(problems)
    return settings
