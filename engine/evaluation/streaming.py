"""One answer of a transformers model, token by token, with what it remembers of the conversation so far.

Also the switch that makes one model in memory both the base and the tuned one. Not here: many answers at once
(`generation`), and text (`engine.chat`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.evaluation.generation import Limits, autocast, has_plain_attention
from engine.evaluation.token_cache import roomy_cache

if TYPE_CHECKING:
    import numpy as np


class Streamer:
    """The conversation of one model; a second streamer may hold another one with the same model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._takes = set(inspect.signature(model.forward).parameters)
        self._cache: Any = None
        self._ids: list[int] = []
        """Tokens whose keys and values are in the cache."""
        self._is_plain = True

    def stream(
        self, ids: Sequence[int], limits: Limits, choose: Callable[[np.ndarray], int] | None = None
    ) -> Iterator[int]:
        """The new tokens as they come, without the stop token; greedy unless `choose` takes them from the logits.

        What `ids` shares with the conversation before is not computed again. Ends at a stop token or after
        `limits.max_new_tokens`. Raises ValueError for an empty prompt, and lets out-of-memory errors pass.
        """
        if not ids:
            raise ValueError("a prompt without a token cannot be answered")
        read = self._begin(ids, len(ids) + limits.max_new_tokens)
        everything = list(ids)
        for _ in range(limits.max_new_tokens):
            logits = read(everything, limits.autocast)
            token = int(logits.argmax()) if choose is None else choose(logits.cpu().numpy())
            if token in limits.stop_ids:
                return
            yield token
            everything.append(token)

    def forget(self) -> None:
        """Let go of the conversation's memory."""
        self._cache, self._ids = None, []

    def _begin(self, ids: Sequence[int], room: int) -> Callable[[list[int], str], Any]:
        """What reads all tokens so far and gives the logits behind the last one, as it suits the model."""
        if "past_key_values" not in self._takes:
            return lambda everything, dtype: self._logits(everything, dtype, {"use_cache": False})
        if has_plain_attention(self.model, room):
            if not self._is_plain:
                self.forget()  # such a cache cannot go back to what both begin with
            self._is_plain = True
            shared = next((i for i, (old, new) in enumerate(zip(self._ids, ids, strict=False)) if old != new), None)
            kept = min(len(self._ids), len(ids) - 1) if shared is None else min(shared, len(ids) - 1)
            for layer in self._cache.layers if self._cache is not None else ():
                layer.length = min(layer.length, kept)
            cache = roomy_cache(self.model, room, begin_with=self._cache)
        else:
            from transformers.cache_utils import DynamicCache

            kept, cache = 0, DynamicCache(config=self.model.config)
            self._is_plain = False
        self._cache, self._ids = cache, list(ids[:kept])
        return self._read_on

    def _read_on(self, everything: list[int], dtype: str) -> Any:
        new_ids = everything[len(self._ids) :]
        cached = {"past_key_values": self._cache, "use_cache": True}
        logits = self._logits(new_ids, dtype, cached, num_before=len(self._ids))
        self._ids = list(everything)
        return logits

    def _logits(self, ids: Sequence[int], dtype: str, more: dict[str, Any], num_before: int = 0) -> Any:
        import torch

        device = self.model.device
        length = num_before + len(ids)
        extras = {"position_ids": torch.arange(num_before, length, device=device)[None], "logits_to_keep": 1}
        with torch.inference_mode(), autocast(device.type, dtype):
            output = self.model(
                input_ids=torch.tensor([list(ids)], device=device),
                attention_mask=torch.ones((1, length), dtype=torch.long, device=device),
                **more,
                **{name: value for name, value in extras.items() if name in self._takes},
            )
        return output.logits[0, -1].float()


class Switch:
    """One model whose adapter is on or off: the tuned model and its base for the memory of one."""

    def __init__(self, model: Any) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils.other import AuxiliaryTrainingWrapper

        self.model = model
        self._layers = [
            module for module in model.modules() if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
        ]
        self._is_on = True

    def turn(self, *, is_on: bool) -> None:
        """Does nothing where it stands like that already."""
        if is_on != self._is_on:
            for layer in self._layers:
                layer.enable_adapters(is_on)
            self._is_on = is_on


def set_threads(number: int) -> None:
    """How many threads torch computes with in this process."""
    import torch

    torch.set_num_threads(number)


def has_card() -> bool:
    """Whether torch can use a graphics card here."""
    import torch

    return bool(torch.cuda.is_available())
