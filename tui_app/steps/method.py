"""The fourth step: what is trained and how. Each method with what it is, costs here and gains; then the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_app.steps.draft import METHOD, SIZE, Draft
from tui_app.steps.fields import advanced, asked, only
from tui_app.steps.schema import Choice, Question, Step

if TYPE_CHECKING:
    from engine.hardware import Hardware
    from tui_app.steps.foresight import Foresight
    from tui_app.steps.surroundings import Surroundings

METHODS: tuple[tuple[str, str, str], ...] = (
    (
        "lora",
        "LoRA",
        (
            "A small adapter is trained beside the model, whose own weights stay as they are. The usual choice: nearly "
            "the quality of full training on a narrow task, for a fraction of the memory."
        ),
    ),
    (
        "qlora",
        "QLoRA",
        (
            "LoRA on a base that is held in 4 bits. The base takes a quarter of the memory; a step is somewhat slower "
            "and the rounding costs a little quality."
        ),
    ),
    (
        "rslora",
        "LoRA with rsLoRA",
        "LoRA scaled by alpha / sqrt(r). Ranks above 32 learn as much as they could; costs nothing.",
    ),
    (
        "dora",
        "DoRA",
        (
            "LoRA that learns magnitude and direction of each weight apart. Often better at low ranks; every step is "
            "slower and takes more memory."
        ),
    ),
    (
        "qlora+dora",
        "QLoRA with DoRA",
        "DoRA on a 4-bit base: its better result where LoRA in 16 bits would not fit. The slowest of these.",
    ),
    (
        "full",
        "Full fine-tuning",
        (
            "Every weight is trained. Learns the most and forgets the most; about 16 bytes of memory per parameter, "
            "and the result is as large as the model."
        ),
    ),
)
COMBINED: tuple[tuple[str, str, str], ...] = (
    ("qlora+rslora", "QLoRA + rsLoRA", "rsLoRA on a 4-bit base: for ranks above 32 where memory is short."),
    ("rslora+dora", "rsLoRA + DoRA", "DoRA scaled by alpha / sqrt(r): for ranks above 32."),
    ("qlora+rslora+dora", "QLoRA + rsLoRA + DoRA", "All of it at once: DoRA at a high rank on a 4-bit base."),
)
"""(name, title, what it is) of the rarer ones; with `METHODS` they are every way there is."""


def method_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """Every method with its cost on this machine; a rarer one comes first where it is the draft's own."""
    present = draft.value(METHOD)
    own = [each for each in COMBINED if each[0] == present]
    rest = [each for each in COMBINED if each[0] != present]
    return [_method(each, draft, surroundings) for each in (*own, *METHODS, *rest)]


def _method(named: tuple[str, str, str], draft: Draft, surroundings: Surroundings) -> Choice:
    name, title, explanation = named
    if surroundings.hardware is None or not draft.value("model.name_or_path"):
        return Choice(name, title, "", explanation)
    from tui_app.steps.answering import answered
    from tui_app.steps.foresight import foresee

    other = answered(draft, METHOD, name, surroundings)
    hardware = surroundings.hardware
    if reason := _impossible(other, hardware, name):
        return Choice(name, title, "not possible here", explanation, reason)
    seen = foresee(other, hardware)
    return Choice(name, title, seen.cost() if seen.plan else "", f"{explanation}{_with_ladder(seen)}")


def _impossible(draft: Draft, hardware: Hardware, name: str) -> str:
    """Why the machine cannot apply a method at all; empty where it can."""
    from engine.errors import FinetuiError
    from engine.plan import machine_problems

    try:
        problems = machine_problems(draft.recipe(), draft.hardware(hardware))
    except FinetuiError:
        is_refused = name.startswith("qlora") and not draft.hardware(hardware).four_bit.available
        return draft.hardware(hardware).four_bit.reason if is_refused else ""
    return next((each.happened for each in problems if each.field == "adapter.method"), "")


def _with_ladder(seen: Foresight) -> str:
    """What the ladder makes of a plan that will not fit: it may be chosen all the same."""
    if seen.plan is None or seen.recipe is None or seen.plan.memory is None or seen.predictor is None:
        return ""
    if seen.plan.memory.verdict != "will not fit":
        return ""
    from presets.matching import with_the_ladder

    told = with_the_ladder(seen.plan, seen.recipe, seen.predictor).removeprefix("; ")
    return f" Will not fit as it is{': ' + told if told else ''}."


def size_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """Sizes for a model of one's own, with what each takes here."""
    from presets.sizing import WISHES
    from tui_app.steps.own_sizes import offered_sizes

    if surroundings.hardware is None:
        return [Choice(wish.name, wish.name, "", _sentence(wish.title)) for wish in WISHES]
    return [
        Choice(size.name, size.name, size.reason, _sentence(size.title))
        for size in offered_sizes(draft, surroundings.hardware)
    ]


def is_own(draft: Draft) -> bool:
    return draft.is_own


def has_adapter(draft: Draft) -> bool:
    return draft.value("adapter.method") != "full"


def is_scored(draft: Draft) -> bool:
    return draft.value("evaluation.enabled") == "true"


def makes_gguf(draft: Draft) -> bool:
    return any(kind in draft.value("export.to") for kind in ("gguf", "ollama"))


def consent_choices(draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    """What the ladder may give up, from nothing to everything that applies, in order of measured effect."""
    from engine.errors import FinetuiError
    from engine.ladder import COSTLY
    from engine.ladder_faults import never_applies
    from tui_app.recipe_values import as_text

    try:
        recipe = draft.with_answer("ladder.costly", "[]").recipe()
    except FinetuiError:
        return [Choice("[]", "Nothing", "", "")]
    sections = (recipe.ladder, recipe.adapter, recipe.training, recipe.data)
    rungs = [rung for rung in COSTLY if not never_applies(rung.name, *sections)]
    found = [Choice("[]", "Nothing", "", "Running out of memory ends the run once the free rungs are used up.")]
    for number in range(1, len(rungs) + 1):
        allowed = rungs[:number]
        label = ", ".join(rung.name for rung in allowed)
        explanation = _sentence("; then ".join(rung.cost for rung in allowed))
        found.append(Choice(as_text([rung.name for rung in allowed]), label, "", explanation))
    present = draft.value("ladder.costly")
    if present not in {each.value for each in found}:
        found.insert(0, Choice(present, "As it is", "", f"In this order: {present}."))
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


TARGETS = only(
    ("all-linear", "all linear layers"),
    ('["q_proj", "v_proj"]', "query and value only"),
    ('["q_proj", "k_proj", "v_proj", "o_proj"]', "attention only"),
)

MEASURED = only(
    ('["exact_match"]', "exact answers"),
    ('["exact_match", "perplexity", "stop_rate"]', "and perplexity, stops"),
    ('["exact_match", "rouge"]', "and ROUGE"),
    ('["exact_match", "token_f1"]', "and token F1"),
)
MADE = only(
    ("[]", "the adapter only"),
    ('["merged"]', "merged model"),
    ('["merged", "gguf"]', "merged and GGUF"),
    ('["gguf", "ollama"]', "GGUF and Ollama"),
    ('["notebook"]', "notebook"),
)
"""What most want; other lists go through --set and the recipe's file."""

STEP = Step(
    "method",
    "Method",
    "How the model learns from the rows: what is trained, for how long, in how much memory.",
    (
        Question(
            name=SIZE,
            label="Size",
            kind="choice",
            own_help="How much of the machine is used: rank, row length and batch follow from it, and each can be "
            "changed below. All sizes learn from 16 rows per optimizer step.",
            choices=size_choices,
            applies=is_own,
        ),
        Question(
            name=METHOD,
            label="Method",
            kind="choice",
            own_help="What is trained: all weights of the model, or a small adapter beside it. Combinations are "
            "written with +, as in qlora+rslora+dora.",
            choices=method_choices,
        ),
        advanced("adapter.r", "LoRA rank (r)", "integer", applies=has_adapter),
        advanced("adapter.lora_alpha", "LoRA alpha", "number", applies=has_adapter),
        advanced("adapter.lora_dropout", "LoRA dropout", "number", applies=has_adapter),
        advanced("adapter.target_modules", "Layers", "text", choices=TARGETS, applies=has_adapter),
        advanced("training.max_length", "Longest row", "integer"),
        advanced("training.per_device_train_batch_size", "Micro-batch", "integer"),
        advanced("training.gradient_accumulation_steps", "Accumulation", "integer"),
        advanced("training.learning_rate", "Learning rate", "number"),
        advanced("training.lr_scheduler_type", "Schedule", "choice"),
        advanced("training.warmup_steps", "Warm-up", "number"),
        advanced("training.num_train_epochs", "Epochs", "number"),
        advanced("training.max_steps", "Steps", "integer"),
        advanced("training.optim", "Optimizer", "choice"),
        advanced("training.gradient_checkpointing", "Gradient checkpointing", "choice"),
        advanced("training.eval_steps", "Eval loss every", "integer"),
        advanced("training.save_steps", "Checkpoint every", "integer"),
        advanced("training.seed", "Seed", "integer"),
        asked("evaluation.enabled", "Score at the end", "yes_no", is_advanced=True),
        advanced("evaluation.metrics", "Measured", "text", choices=MEASURED, applies=is_scored),
        advanced("evaluation.answer_pattern", "Answer pattern", applies=is_scored),
        advanced("evaluation.max_new_tokens", "Longest answer", "integer", applies=is_scored),
        advanced("evaluation.max_rows", "Rows scored", "integer", applies=is_scored),
        advanced("export.to", "Made at the end", "text", choices=MADE),
        advanced("export.quantization", "GGUF type", "choice", applies=makes_gguf),
        advanced("export.imatrix", "Importance matrix", "yes_no", applies=makes_gguf),
        advanced("ladder.enabled", "OOM ladder", "yes_no"),
        advanced("ladder.costly", "May be given up", "text", choices=consent_choices),
        advanced("memory.limit", "Memory cap", "text"),
    ),
)
