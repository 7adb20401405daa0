"""The loaded models of a conversation: each side's weights, and how its run renders what it is asked.

For the worker process: loading takes seconds and imports the training stack. Not here: the lines between worker and
viewer (`worker`), the loops that compute tokens (`engine.evaluation.streaming`, `engine.gguf_runtime`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from data.conversation import Conversation, Message
from engine.chat.detokenizing import GrowingText
from engine.chat.settings import Settings, fitting
from engine.chat.sides import Side
from engine.errors import OutOfMemoryError
from engine.evaluation.contenders import Contenders, precision, with_adapter
from engine.evaluation.generation import Limits
from engine.evaluation.streaming import Streamer, Switch, has_card, set_threads
from engine.foreign_code import refuse_unconfirmed
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, cache_dir, read_json

NUM_ROWS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run's models are asked: its tokenizer, rendering and stop tokens, on the device at hand.

    `system` is the system message that its rows have. `is_chat`: rendered by the chat template; else as completion,
    where every message is asked by itself, as the rows were.
    """

    run: RunDir
    recipe: Recipe
    plan: Plan
    renderer: Any
    stop_ids: frozenset[int]
    system: str | None
    notes: tuple[str, ...]

    @property
    def is_chat(self) -> bool:
        return bool(self.renderer.rendering == "chat")

    def prompt_ids(self, messages: tuple[Message, ...]) -> list[int]:
        """Raises DataError where the chat template cannot take them."""
        return list(self.renderer.prompt_ids(messages))

    def text(self, ids: Sequence[int]) -> str:
        """As answers are decoded when they are scored."""
        decode = self.renderer.tokenizer.decode
        return str(decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def manner_of(run: RunDir) -> Manner:
    """What a run says of how it is asked. Raises ModelError or RunDirError."""
    from engine.training.ready_model import ready_model
    from engine.training.rendering import Renderer, rendering_for
    from engine.training.tokenizer_loading import load_tokenizer

    recipe = refuse_unconfirmed(Recipe.load(run.recipe))
    if not run.model.exists():
        ready_model(run, recipe, cache_dir())
    tokenizer = load_tokenizer(Path(read_json(run.model)["folder"]), trust_remote_code=recipe.model.trust_remote_code)
    prepared = read_json(run.prepared) if run.prepared.exists() else None
    rendering = prepared["rendering"] if prepared else rendering_for(recipe.data.rendering, tokenizer)
    renderer = Renderer(tokenizer, rendering, recipe.data.completion_only_loss, recipe.data.trained_answers)
    plan = Plan.from_json(read_json(run.newest_plan_file()))
    notes: list[str] = []
    if plan.device != "cpu" and not has_card():
        dtype = "float32" if plan.dtype == "float16" else plan.dtype
        autocast = "none" if plan.autocast == "float16" else plan.autocast
        plan = replace(plan, device="cpu", dtype=dtype, autocast=autocast, attn_implementation="sdpa")
        notes.append("The run was trained on a graphics card; here the CPU answers.")
    if rendering == "plain":
        notes.append("Rows of this run are completed, not chatted with: each message is asked by itself.")
    stop_ids = frozenset(prepared["stop_ids"] if prepared else renderer.stop_ids())
    return Manner(run, recipe, plan, renderer, stop_ids, system_of(run, recipe), tuple(notes))


def system_of(run: RunDir, recipe: Recipe) -> str | None:
    """The recipe's system message; without one, that which the first training rows share."""
    if recipe.data.system:
        return recipe.data.system
    rows = run.dataset / "train.jsonl"
    if not rows.exists():
        return None
    from engine.training.dataset_files import read_examples

    found = {
        row.messages[0].content if isinstance(row, Conversation) and row.messages[0].role == "system" else None
        for row in islice(read_examples(rows), NUM_ROWS_LOOKED_AT)
    }
    return found.pop() if len(found) == 1 else None


@dataclass(slots=True)
class Speaker:
    """One side, ready to answer."""

    side: Side
    manner: Manner
    context: int | None
    _stream: Callable[..., Iterator[int]]
    _turn: _Turn | None = None

    def answer(self, messages: Sequence[Message], settings: Settings) -> Iterator[dict[str, Any]]:
        """{"text": piece} as they come, then {"ended", "num_tokens", "seconds", …}.

        A token that settles no text yet is an empty dict. `seconds` is the time that this side computed,
        `first_seconds` that until its first token. Raises DataError for a conversation that cannot be rendered or
        does not fit, OutOfMemoryError.
        """
        begun, spent, first = time.monotonic(), 0.0, None
        asked = tuple(messages) if self.manner.is_chat else without_past(messages)
        ids, dropped, room = fitting(asked, self.manner.prompt_ids, self.context, settings.max_new_tokens)
        limits = Limits(
            stop_ids=self.manner.stop_ids,
            max_new_tokens=room,
            batch_size=1,
            pad_id=0,
            autocast=precision(self.manner.plan)[1],
        )
        growing, num_tokens = GrowingText(self.manner.text), 0
        tokens = self._stream(ids, limits, settings.chooser)
        while True:
            if self._turn is not None:
                self._turn.switch.turn(is_on=self._turn.is_on)
            token = next(tokens, None)
            spent += time.monotonic() - begun
            first = spent if first is None else first
            if token is None:
                break
            num_tokens += 1
            piece = growing.add(token)
            yield {"text": piece} if piece else {}
            begun = time.monotonic()
        if rest := growing.rest():
            yield {"text": rest}
        yield {
            "ended": num_tokens < room,
            "num_tokens": num_tokens,
            "num_prompt_tokens": len(ids),
            "num_dropped": dropped,
            "seconds": round(spent, 3),
            "first_seconds": round(first, 3),
            "tokens_per_second": round((num_tokens - 1) / (spent - first), 1) if num_tokens > 1 else None,
        }


def without_past(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The system message and the last question."""
    return (*(message for message in messages[:1] if message.role == "system"), messages[-1])


def speakers_of(sides: Sequence[Side], tell: Callable[[str], None]) -> list[Speaker]:
    """Every side, loaded; `tell` is told whose turn it is. A base beside its adapter shares the base's weights.

    Raises ModelError, RunDirError or OutOfMemoryError.
    """
    manners: dict[Path, Manner] = {}
    found: list[Speaker] = []
    for side in sides:
        tell(side.title)
        if side.run not in manners:
            manners[side.run] = manner_of(RunDir(side.run))
        manner = manners[side.run]
        set_threads(manner.plan.num_threads)
        if side.kind == "gguf":
            found.append(_in_llama_cpp(side, manner))
            continue
        partners = [other for other in sides if other.run == side.run and {other.kind, side.kind} == {"base", "tuned"}]
        with within_memory(side):
            if partners and is_adapter(side.path or partners[0].path):
                earlier = next((each for each in found if each.side in partners), None)
                found.append(_switched(side, manner, earlier, partners[0]))
            else:
                found.append(_alone(side, manner))
    return found


def is_adapter(path: Path | None) -> bool:
    return path is not None and (path / "adapter_config.json").exists()


def _alone(side: Side, manner: Manner) -> Speaker:
    contenders = Contenders(manner.run, manner.recipe, manner.plan)
    if side.kind == "base":
        model = contenders.base()
    elif side.kind == "tuned":
        model = contenders.tuned(side.path)
    else:
        assert side.path is not None
        model = contenders.whole(side.path)
    return Speaker(side, manner, context_of(model), Streamer(model).stream)


def _switched(side: Side, manner: Manner, earlier: Speaker | None, partner: Side) -> Speaker:
    """The base or the tuned half of one model; the first of both loads it."""
    if earlier is None or earlier._turn is None:
        contenders = Contenders(manner.run, manner.recipe, manner.plan)
        folder = side.path or partner.path
        assert folder is not None
        switch = Switch(with_adapter(contenders.base(), folder, merge=False))
    else:
        switch = earlier._turn.switch
    model = switch.model
    return Speaker(side, manner, context_of(model), Streamer(model).stream, _Turn(switch, side.kind == "tuned"))


@dataclass(frozen=True, slots=True)
class _Turn:
    """Done before each token of a side: its adapter is on, or off."""

    switch: Switch
    is_on: bool


def _in_llama_cpp(side: Side, manner: Manner) -> Speaker:
    from engine.gguf_header import read_gguf_header
    from engine.gguf_runtime.model import GgufModel

    assert side.path is not None
    context = (read_gguf_header(side.path).config or {}).get("max_position_embeddings")
    model = GgufModel.open(side.path, n_ctx=context, n_threads=manner.plan.num_threads)
    return Speaker(side, manner, context, model.stream)


def context_of(model: Any) -> int | None:
    """Tokens that a conversation may have; None where nothing bounds it."""
    found: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return found


@contextmanager
def within_memory(side: Side) -> Iterator[None]:
    """Turns a library's lack of memory into OutOfMemoryError."""
    from engine.training.out_of_memory import out_of_memory

    try:
        yield
    except (RuntimeError, MemoryError) as fault:
        lacking = out_of_memory(fault)
        if lacking is None:
            raise
        raise OutOfMemoryError(
            f"Out of memory with {side.title}: {lacking.message}",
            means="The model, or what it remembers of the conversation, does not fit. Nothing of the run is damaged.",
            remedy="Close other programs, begin a new conversation, or talk to one side only; a GGUF file needs least.",
        ) from fault
