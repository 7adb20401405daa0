"""How ranks share the work of a step and of an evaluation under DDP: each has the whole model, and some of the rows.

Not here: the order of rows and dealing out those of training (`row_order`, accelerate), models that are spread over the
ranks (`sharding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from engine.training.ranks import Ranks
from engine.training.rendering import IGNORED

_COMPUTED = "finetui_computed"


def make_ready(model: Any) -> None:
    """Prepare a model for DDP.

    What is not trained is the same file on every rank: it is neither sent nor checked. And its forward also takes a
    function to compute instead, for a loss that does not go through the whole model's forward.
    """
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    buffers = [name for name, _ in model.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, [*frozen, *buffers])
    plain = model.forward

    def forward(*arguments: Any, **named: Any) -> Any:
        computed = named.pop(_COMPUTED, None)
        return plain(*arguments, **named) if computed is None else computed()

    model.forward = forward


def through(model: Any, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Compute inside the forward of a model made ready, wrapped or not: DDP reduces gradients of nothing else."""
    computed: torch.Tensor = model(**{_COMPUTED: compute})
    return computed


def share(
    rows: Any, size: int, collate: Callable[[list[Any]], dict[str, Any]], ranks: Ranks
) -> Iterator[dict[str, Any]]:
    """This rank's batches of rows that all ranks score, each row once.

    Every rank gets the same number, since their forward passes may wait for each other: where there is none left for
    one, it gets rows without a label.
    """
    starts = range(0, len(rows), size)
    for first in range(0, len(starts), ranks.size):
        at = first + ranks.rank
        is_filler = at >= len(starts)
        start = starts[0 if is_filler else at]
        batch = collate([dict(rows[number]) for number in range(start, min(start + size, len(rows)))])
        if is_filler:
            batch["labels"] = torch.full_like(batch["labels"], IGNORED)
        yield batch
