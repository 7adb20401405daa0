"""Generation that survives a lack of memory: what is left goes on in batches half the size.

Not here: the generation itself (`generation`), and the ladder, which is for training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine.errors import OutOfMemoryError
from engine.evaluation.generation import Limits, generate
from engine.event_log import EventWriter
from engine.events import WarningRaised, clip


def generate_within_memory(
    model: Any, prompts: dict[int, list[int]], limits: Limits, writer: EventWriter
) -> Iterator[tuple[int, list[int]]]:
    """(row, new token ids) as `generate` gives them, with half the batch once memory runs out.

    Raises OutOfMemoryError when one row is too much.
    """
    import gc

    import torch

    from engine.training.out_of_memory import out_of_memory

    left = dict(prompts)
    while left:
        rows, reason = list(left), ""
        try:
            for index, new_ids in generate(model, [left[row] for row in rows], limits):
                left.pop(rows[index])
                yield rows[index], new_ids
        except (RuntimeError, MemoryError) as fault:
            if out_of_memory(fault) is None:
                raise
            reason = clip(str(fault).split("\n")[0], 300) or type(fault).__name__
        if not reason:
            continue
        if limits.batch_size == 1:
            raise OutOfMemoryError(
                f"Out of memory while the model answered a single test row: {reason}",
                means="The trained adapter is safe; only its score is missing.",
                remedy="Free memory, then `finetui resume` the run; or replay it with shorter answers.",
            )
        limits = replace(limits, batch_size=limits.batch_size // 2)
        writer.write(WarningRaised(text=f"Out of memory: test rows go on in batches of {limits.batch_size}. {reason}"))
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
