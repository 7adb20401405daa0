"""What llama.cpp remembers of the tokens it read: several sequences in one memory, read on together.

Greedy choices and raw logits leave it as Python and numpy values. Not here: whose answer a sequence is (`model`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError
from engine.gguf_runtime import binding

if TYPE_CHECKING:
    import numpy as np

MICRO_BATCH = 512
"""Tokens that one pass over the weights takes, llama.cpp's own default."""
NO_ROOM = 1
"""What `llama_decode` returns when its memory of tokens is full."""
ROUNDED = 256
"""llama.cpp rounds the room for tokens up to this."""


class Context:
    """Room for `num_tokens` tokens of all sequences together; a context manager.

    With `exact`, keys and values are float32 and attention is not fused: slower, and free of their rounding.
    Raises MemoryError, with what llama.cpp said, when that room cannot be had.
    """

    def __init__(self, model: Any, num_tokens: int, *, num_sequences: int, n_threads: int, exact: bool = False) -> None:
        self._library = library = binding.library()
        self.num_tokens = -(-num_tokens // ROUNDED) * ROUNDED
        parameters = library.llama_context_default_params()
        parameters.n_ctx = self.num_tokens
        parameters.n_batch = max(MICRO_BATCH, self.num_tokens)
        parameters.n_ubatch = MICRO_BATCH
        parameters.n_seq_max = num_sequences
        parameters.n_threads = parameters.n_threads_batch = n_threads
        parameters.kv_unified = True  # sequences share a prefix without copying it
        parameters.swa_full = True  # a sliding window would forget what a sequence begins with
        parameters.no_perf = True
        if exact:
            parameters.type_k = parameters.type_v = library.GGML_TYPE_F32
            parameters.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._vocabulary_size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
        binding.forget()
        self._handle = library.llama_init_from_model(model, parameters) if self.num_tokens < 2**31 else None
        if not self._handle:
            raise MemoryError(binding.reason())
        self._memory = library.llama_get_memory(self._handle)
        self._batch: Any = library.llama_batch_init(parameters.n_batch, 0, 1)
        self._lengths = [0] * num_sequences

    def read(self, sequence: int, ids: Sequence[int]) -> None:
        """Read tokens without asking what follows."""
        if ids:
            self._decode([(sequence, token, False) for token in ids])

    def next_tokens(self, feed: Mapping[int, Sequence[int]]) -> dict[int, int]:
        """Read each sequence's tokens, at least one; the likeliest next token of each."""
        items: list[tuple[int, int, bool]] = []
        last: dict[int, int] = {}
        for sequence, ids in feed.items():
            items += [(sequence, token, place == len(ids) - 1) for place, token in enumerate(ids)]
            last[sequence] = len(items) - 1
        self._decode(items)
        return {sequence: int(self._row(place).argmax()) for sequence, place in last.items()}

    def some_logits(self, sequence: int, ids: Sequence[int], wanted: Container[int]) -> np.ndarray:
        """float32, wanted tokens x vocabulary, a copy; `wanted` counts from the first of `ids`."""
        import numpy as np

        self._decode([(sequence, token, place in wanted) for place, token in enumerate(ids)])
        rows = [self._row(place) for place in range(len(ids)) if place in wanted]
        return np.stack(rows) if rows else np.empty((0, self._vocabulary_size), np.float32)

    def share(self, source: int, sequence: int) -> None:
        """Let a sequence begin with what another one holds; what it held itself is dropped."""
        self.drop(sequence)
        if self._lengths[source]:
            self._library.llama_memory_seq_cp(self._memory, source, sequence, 0, -1)
        self._lengths[sequence] = self._lengths[source]

    def drop(self, sequence: int, kept: int = 0) -> None:
        """Forget a sequence's tokens from place `kept` on."""
        if kept and not self._library.llama_memory_seq_rm(self._memory, sequence, kept, -1):
            # Recurrent models cannot go back in part; nothing here asks that of them.
            raise ValueError("this model cannot forget a part of a sequence")
        if not kept:
            self._library.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        self._lengths[sequence] = min(self._lengths[sequence], kept)

    def close(self) -> None:
        if self._handle:
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(self._handle)
            self._handle = None

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _row(self, place: int) -> np.ndarray:
        """The logits behind one token of the last batch: a view that the next batch overwrites."""
        import numpy as np

        found = self._library.llama_get_logits_ith(self._handle, place)
        return np.ctypeslib.as_array(found, shape=(self._vocabulary_size,))

    def _decode(self, items: Sequence[tuple[int, int, bool]]) -> None:
        """Read (sequence, token, whether its logits are wanted), in order."""
        batch = self._batch
        batch.n_tokens = len(items)
        for place, (sequence, token, wanted) in enumerate(items):
            batch.token[place] = token
            batch.pos[place] = self._lengths[sequence]
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = sequence
            batch.logits[place] = wanted
            self._lengths[sequence] += 1
        binding.forget()
        code = self._library.llama_decode(self._handle, batch)
        if code:
            raise ModelError(
                f"llama.cpp could not read {len(items):,} tokens: {binding.reason() or f'its code is {code}'}.",
                means="There is no room left in its context."
                if code == NO_ROOM
                else "The file is damaged, or memory ran out in the middle of it.",
                remedy="Export the file again, or ask for fewer rows at once.",
            )
