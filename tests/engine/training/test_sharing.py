"""How rows that all ranks score are shared out, and a loss that does not go through the model's forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.training.ranks import Ranks, peer_lost
from engine.training.rendering import IGNORED
from engine.training.sharing import make_ready, share, through


def rank(number: int, of: int) -> Ranks:
    ranks = Ranks()
    ranks.rank, ranks.size = number, of
    return ranks


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"labels": torch.tensor([row["label"] for row in rows])}


@pytest.mark.parametrize(("num_rows", "num_ranks"), [(1, 2), (7, 2), (8, 2), (9, 3), (4, 1)])
def test_every_row_is_scored_once_and_every_rank_gets_as_many_batches(num_rows: int, num_ranks: int) -> None:
    rows = [{"label": number} for number in range(num_rows)]
    shares = [list(share(rows, 2, collate, rank(number, num_ranks))) for number in range(num_ranks)]
    assert len({len(batches) for batches in shares}) == 1
    labels = [label for batches in shares for batch in batches for label in batch["labels"].tolist()]
    assert sorted(label for label in labels if label != IGNORED) == list(range(num_rows))


def test_a_model_made_ready_computes_as_before_and_also_what_it_is_handed() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(requires_grad=False)
    given = torch.ones(1, 3)
    expected = model(given)
    make_ready(model)
    assert torch.equal(model(given), expected)
    assert float(through(model, lambda: torch.tensor(5.0))) == 5.0


@pytest.mark.parametrize(
    "said",
    [
        "[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:22418",
        "NCCL communicator was aborted on rank 0.",
    ],
)
def test_the_loss_of_another_rank_is_told_from_other_faults(said: str) -> None:
    assert peer_lost(RuntimeError(said)) == said
    assert peer_lost(RuntimeError("shapes cannot be multiplied")) == ""
    assert peer_lost(ValueError(said)) == ""


def test_a_lone_process_agrees_with_itself() -> None:
    ranks = Ranks()
    assert ranks.alone
    assert ranks.agree((True, False)) == (True, False)
    assert ranks.figures((1.0, 2.0)) == [[1.0, 2.0]]
    assert ranks.gather("mine") == ["mine"]
    ranks.leave()
