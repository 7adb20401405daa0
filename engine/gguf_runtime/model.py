"""A GGUF file loaded by llama.cpp: its tokens, its logits, its greedy answers.

One file at a time per object; answers mean what `engine.evaluation.generation` means by them. Not here: the library
itself (`binding`), a decoding context with its memory of tokens (`context`), and judging answers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError, OutOfMemoryError
from engine.evaluation.generation import Limits, common_prefix
from engine.gguf_header import read_gguf_header
from engine.gguf_runtime import binding
from engine.gguf_runtime.context import Context

if TYPE_CHECKING:
    import numpy as np

IGNORED = -100
"""Label of a token whose loss does not count, as everywhere."""
CHUNK = 128
"""Tokens whose logits are held at once: 128 rows of Gemma's 262,144 logits are 134 MB."""
CHAT_ROOM = 4096
"""Tokens that a conversation has room for at first; it is made larger when it needs more."""


class GgufModel:
    """Open with `GgufModel.open`; a context manager, since the weights lie outside Python's memory."""

    def __init__(
        self, path: Path, handle: Any, n_ctx: int | None, n_threads: int, *, has_weights: bool, exact: bool = False
    ) -> None:
        self.path, self.n_ctx, self.n_threads = path, n_ctx, n_threads
        self.has_weights, self.exact = has_weights, exact
        self._library = binding.library()
        self._handle: Any = handle
        self._vocabulary = self._library.llama_model_get_vocab(handle)
        self._chat: Context | None = None
        self._chat_ids: list[int] = []

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        vocabulary_only: bool = False,
        exact: bool = False,
    ) -> GgufModel:
        """Load a file. `n_ctx` bounds a row with its answer, in tokens (None: no bound); -1 GPU layers are all.

        With `vocabulary_only` it can only turn text into tokens and back: quick, whatever the file's size. With
        `exact` it computes as `Context` says, for comparisons of logits.
        Raises ModelError for a file that is missing, cut short, no GGUF file or of an unknown architecture.
        """
        header = read_gguf_header(path)
        library = binding.library()
        parameters = library.llama_model_default_params()
        parameters.n_gpu_layers = n_gpu_layers
        parameters.vocab_only = vocabulary_only
        binding.forget()
        handle = library.llama_model_load_from_file(os.fsencode(path), parameters)
        if not handle:
            said = binding.reason()
            if "alloc" in said:
                raise _no_memory(path, said)
            raise ModelError(
                f"llama.cpp cannot load {path.name}" + (f": {said}." if said else "."),
                means=f"It holds a model of the architecture {header.architecture!r}; the file is damaged, or this "
                "version of llama.cpp does not know what is in it.",
                remedy="Export it again. A file from elsewhere may need a newer llama-cpp-python.",
            )
        threads = n_threads or len(os.sched_getaffinity(0))
        return cls(path, handle, n_ctx, threads, has_weights=not vocabulary_only, exact=exact)

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary."""
        return int(self._library.llama_vocab_n_tokens(self._vocabulary))

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer, by the file's own metadata: end of text, end of turn and their like."""
        is_end = self._library.llama_vocab_is_eog
        return frozenset(token for token in range(self.num_tokens) if is_end(self._vocabulary, token))

    @property
    def chat_template(self) -> str | None:
        """The Jinja text in the file's metadata."""
        template = self._library.llama_model_chat_template(self._handle, None)
        return template.decode("utf-8", errors="replace") if template else None

    def tokenize(self, text: str, *, special: bool = True, start_token: bool = False) -> list[int]:
        """Token ids; with `special`, control tokens spelled in the text count as such.

        With `start_token`, the start (and end) token comes where the file's metadata wants one around a text.
        """
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8
        ids = (self._library.llama_token * room)()
        count = self._library.llama_tokenize(self._vocabulary, raw, len(raw), ids, room, start_token, special)
        if count < 0:
            raise ModelError(
                f"llama.cpp cannot tokenize a text of {len(raw):,} bytes with {self.path.name}.",
                means="Its vocabulary is missing something that every text needs.",
                remedy="Export the file again.",
            )
        return list(ids[:count])

    def text(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of token ids; control tokens only with `special`. Bytes that are no UTF-8 become U+FFFD."""
        import ctypes

        self._check(ids)
        tokens = (self._library.llama_token * len(ids))(*ids)
        room = 16 * len(ids) + 16
        for _ in range(2):
            buffer = ctypes.create_string_buffer(room)
            length = self._library.llama_detokenize(self._vocabulary, tokens, len(ids), buffer, room, False, special)
            if length >= 0:
                return buffer.raw[:length].decode("utf-8", errors="replace")
            room = -length
        raise AssertionError("llama.cpp asked twice for more room")

    def logits(self, ids: Sequence[int], places: Sequence[int] | None = None) -> np.ndarray:
        """float32, places x vocabulary: row i is what follows ids[: places[i] + 1]; None are all places.

        Raises ModelError beyond `n_ctx`, OutOfMemoryError.
        """
        import numpy as np

        blocks = list(self._logits(ids, range(len(ids)) if places is None else places))
        return np.concatenate(blocks) if blocks else np.empty((0, self.num_tokens), np.float32)

    def losses(self, rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> Iterator[tuple[float, int]]:
        """(mean loss in nats, trained tokens) of each row of (ids, labels); (0.0, 0) where nothing is trained.

        `labels` repeats the id where it is trained and is -100 elsewhere, as rendered rows have them.
        """
        import numpy as np

        for ids, labels in rows:
            places = [place - 1 for place, label in enumerate(labels) if place and label != IGNORED]
            total, done = 0.0, 0
            for block in self._logits(ids[:-1], places) if places else ():
                targets = [labels[place + 1] for place in places[done : done + len(block)]]
                done += len(block)
                exact = block.astype(np.float64)
                top = exact.max(axis=1)
                sums = np.log(np.exp(exact - top[:, None]).sum(axis=1)) + top
                total += float((sums - exact[np.arange(len(targets)), targets]).sum())
            yield (total / done if done else 0.0), done

    def generate(self, prompts: Sequence[Sequence[int]], limits: Limits) -> Iterator[tuple[int, list[int]]]:
        """(index of the prompt, new token ids without the stop token), each as soon as its row is finished.

        Greedy, and the same meaning as `engine.evaluation.generation.generate`. What all prompts begin with is
        computed once; `limits.batch_size` rows grow at a time, and the next one takes the place of a finished one.
        Raises ValueError for an empty prompt, ModelError beyond `n_ctx`, OutOfMemoryError.
        """
        if not all(prompts):
            raise ValueError("a prompt without a token cannot be answered")
        if not prompts:
            return
        for prompt in prompts:
            self._check(prompt)
        prefix = list(common_prefix(prompts))
        longest = max(self._room(prompt, limits) for prompt in prompts) - len(prefix)
        num_lanes = min(limits.batch_size, len(prompts), self._library.llama_max_parallel_sequences() - 1)
        waiting = deque(sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index)))
        with self._context(len(prefix) + num_lanes * longest, num_sequences=num_lanes + 1) as context:
            context.read(0, prefix)
            free = list(range(1, num_lanes + 1))
            growing: dict[int, tuple[int, list[int]]] = {}  # sequence: (row, its new tokens)
            while waiting or growing:
                feed = {sequence: [new_ids[-1]] for sequence, (_, new_ids) in growing.items()}
                while free and waiting:
                    sequence, row = free.pop(), waiting.popleft()
                    context.share(0, sequence)
                    growing[sequence] = (row, [])
                    feed[sequence] = list(prompts[row][len(prefix) :])
                for sequence, token in context.next_tokens(feed).items():
                    row, new_ids = growing[sequence]
                    if self._is_finished(new_ids, token, limits, len(prompts[row])):
                        yield row, new_ids
                        context.drop(sequence)
                        free.append(sequence)
                        del growing[sequence]

    def stream(
        self, ids: Sequence[int], limits: Limits, choose: Callable[[np.ndarray], int] | None = None
    ) -> Iterator[int]:
        """The new tokens of one answer as they come, without the stop token; greedy unless `choose` takes them.

        `choose` gets the logits of the whole vocabulary. What `ids` shares with the conversation before is not
        computed again. Errors as `generate`.
        """
        if not ids:
            raise ValueError("a prompt without a token cannot be answered")
        self._check(ids)
        context = self._conversation(self._room(ids, limits))
        room = min(len(ids) - 1, len(self._chat_ids))
        kept = next((place for place in range(room) if ids[place] != self._chat_ids[place]), room)
        context.drop(0, kept)
        feed, self._chat_ids, new_ids = list(ids[kept:]), list(ids[:kept]), list[int]()
        while True:
            if choose is None:
                token = context.next_tokens({0: feed})[0]
            else:
                token = choose(context.some_logits(0, feed, {len(feed) - 1})[0])
            self._chat_ids += feed
            if token in limits.stop_ids:
                return
            finished = self._is_finished(new_ids, token, limits, len(ids))
            yield token
            if finished:
                return
            feed = [token]

    def close(self) -> None:
        """Give the memory back; the object cannot be used after that."""
        if self._chat is not None:
            self._chat.close()
            self._chat = None
        if self._handle is not None:
            self._library.llama_model_free(self._handle)
            self._handle = None

    def __enter__(self) -> GgufModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _logits(self, ids: Sequence[int], places: Sequence[int]) -> Iterator[np.ndarray]:
        """The logits behind these places, in their order, in blocks of at most `CHUNK` rows."""
        self._check(ids)
        self._within(len(ids))
        wanted = set(places)
        with self._context(len(ids), num_sequences=1) as context:
            for start in range(0, len(ids), CHUNK):
                block = context.some_logits(0, ids[start : start + CHUNK], {place - start for place in wanted})
                if len(block):
                    yield block

    def _is_finished(self, new_ids: list[int], token: int, limits: Limits, num_prompt: int) -> bool:
        """Add a token to a row's; whether it was the last one."""
        if token in limits.stop_ids:
            return True
        new_ids.append(token)
        full = self.n_ctx is not None and num_prompt + len(new_ids) >= self.n_ctx
        return full or len(new_ids) >= limits.max_new_tokens or limits.is_complete(new_ids)

    def _room(self, prompt: Sequence[int], limits: Limits) -> int:
        """Tokens that a prompt takes with its answer."""
        self._within(len(prompt) + 1)
        room = len(prompt) + limits.max_new_tokens
        return room if self.n_ctx is None else min(room, self.n_ctx)

    def _within(self, num_tokens: int) -> None:
        if self.n_ctx is not None and num_tokens > self.n_ctx:
            raise ModelError(
                f"{num_tokens:,} tokens do not fit a context of {self.n_ctx:,}.",
                means="A prompt needs room for a token of its answer, too.",
                remedy="Shorten it, or ask for a longer context.",
            )

    def _check(self, ids: Sequence[int]) -> None:
        size = self.num_tokens
        strange = next((token for token in ids if not 0 <= token < size), None)
        if strange is not None:
            raise ModelError(
                f"Token {strange:,} is not in the vocabulary of {self.path.name}, which has {size:,} tokens.",
                means="The file was made with another tokenizer than the one that wrote these tokens.",
                remedy="Export it again from the run that these rows belong to.",
            )

    def _context(self, num_tokens: int, *, num_sequences: int) -> Context:
        if not self.has_weights:
            raise ValueError("opened for its vocabulary only")  # llama.cpp would abort the process
        try:
            return Context(
                self._handle,
                num_tokens,
                num_sequences=num_sequences,
                n_threads=self.n_threads,
                exact=self.exact,
            )
        except MemoryError as fault:
            raise _no_memory(self.path, str(fault)) from fault

    def _conversation(self, num_tokens: int) -> Context:
        """The context of `stream`, made anew when it is too small."""
        if self._chat is not None and self._chat.num_tokens < num_tokens:
            self._chat.close()
            self._chat = None
        if self._chat is None:
            room = max(num_tokens, CHAT_ROOM) if self.n_ctx is None else max(num_tokens, min(self.n_ctx, CHAT_ROOM))
            self._chat, self._chat_ids = self._context(room, num_sequences=1), []
        return self._chat


def _no_memory(path: Path, said: str) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"There is not enough memory to run {path.name}: {said or 'llama.cpp could not allocate it'}.",
        means="Its weights, or what it remembers of the tokens, do not fit.",
        remedy="Close other programs, ask for shorter answers or fewer rows at once, or use a smaller file type.",
    )
