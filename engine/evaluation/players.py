"""A loaded variant: it answers prompts and tells the loss of rows, whether torch or llama.cpp runs it.

Not here: which variants there are (`variants`), and their weights' way into memory (`contenders`, `gguf_runtime`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.errors import OutOfMemoryError
from engine.evaluation.contenders import Contenders
from engine.evaluation.generation import Limits
from engine.evaluation.held_out_loss import Row, losses, num_scored
from engine.evaluation.smaller_batches import generate_within_memory
from engine.evaluation.variants import Variant
from engine.event_log import EventWriter
from engine.events import clip


class Player(Protocol):
    """What can be asked. `context` is how many tokens a row may have with its answer; None where nothing bounds it."""

    @property
    def context(self) -> int | None: ...

    def answers(
        self, prompts: Mapping[int, list[int]], limits: Limits, writer: EventWriter
    ) -> Iterator[tuple[int, list[int]]]:
        """(row, new token ids without the stop token), each once it is finished. Raises OutOfMemoryError."""

    def losses(self, rows: Mapping[int, Row], limits: Limits) -> Iterator[tuple[int, float, int]]:
        """(row, mean nats per scored token, scored tokens) of each row that has some. Raises OutOfMemoryError."""


@dataclass(frozen=True, slots=True)
class TorchPlayer:
    """A transformers model."""

    model: Any

    @property
    def context(self) -> int | None:
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def answers(
        self, prompts: Mapping[int, list[int]], limits: Limits, writer: EventWriter
    ) -> Iterator[tuple[int, list[int]]]:
        yield from generate_within_memory(self.model, dict(prompts), limits, writer)

    def losses(self, rows: Mapping[int, Row], limits: Limits) -> Iterator[tuple[int, float, int]]:
        yield from losses(self.model, rows, limits)


@dataclass(frozen=True, slots=True)
class GgufPlayer:
    """A GGUF file in llama.cpp; its tokens are those of the run's tokenizer."""

    model: Any
    context: int | None

    def answers(
        self,
        prompts: Mapping[int, list[int]],
        limits: Limits,
        writer: EventWriter,  # noqa: ARG002 - the protocol's
    ) -> Iterator[tuple[int, list[int]]]:
        order = list(prompts)
        for index, new_ids in self.model.generate([prompts[row] for row in order], limits):
            yield order[index], new_ids

    def losses(self, rows: Mapping[int, Row], limits: Limits) -> Iterator[tuple[int, float, int]]:  # noqa: ARG002
        order = [row for row in rows if num_scored(rows[row])]
        for row, (mean, count) in zip(order, self.model.losses([rows[row] for row in order]), strict=True):
            yield row, mean, count


def player(variant: Variant, contenders: Contenders) -> AbstractContextManager[Player]:
    """The variant, loaded; what was loaded before and is not part of it is let go of.

    Raises ModelError or RunDirError for weights that cannot be used, OutOfMemoryError when they do not fit.
    """
    if variant.kind == "gguf":
        contenders.free()
        assert variant.path is not None
        return _in_llama_cpp(variant.path, contenders.plan.num_threads)
    return nullcontext(TorchPlayer(_loaded(variant, contenders)))


@contextmanager
def _in_llama_cpp(path: Path, num_threads: int) -> Iterator[Player]:
    from engine.gguf_header import read_gguf_header
    from engine.gguf_runtime.model import GgufModel

    config = read_gguf_header(path).config or {}
    with GgufModel.open(path, n_threads=num_threads) as model:
        yield GgufPlayer(model, config.get("max_position_embeddings"))


def _loaded(variant: Variant, contenders: Contenders) -> Any:
    from engine.training.out_of_memory import out_of_memory

    try:
        if variant.kind == "base":
            return contenders.base()
        if variant.kind == "tuned":
            return contenders.tuned(variant.path)
        assert variant.path is not None
        return contenders.whole(variant.path)
    except (RuntimeError, MemoryError) as fault:
        if out_of_memory(fault) is None:
            raise
        raise OutOfMemoryError(
            f"Out of memory while the model was loaded for scoring: {clip(str(fault), 300)}",
            means="The trained adapter is safe; only its score is missing.",
            remedy="Free memory, then `finetui resume` the run.",
        ) from fault
