"""The one-pass loss of a frozen head against torch's own cross entropy, and what it keeps in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.training.frozen_head_loss import CHUNK, frozen_head_loss

HIDDEN, VOCABULARY = 48, 331


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any single tensor had, in whatever torch computed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.num_elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if torch.is_tensor(leaf)]
        self.num_elements = max([self.num_elements, *sizes])
        return made


def problem(positions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(hidden states with gradient, frozen head, targets)."""
    numbers = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, HIDDEN, generator=numbers, requires_grad=True)
    weight = torch.randn(VOCABULARY, HIDDEN, generator=numbers) / 3
    return hidden, weight, torch.randint(VOCABULARY, (positions,), generator=numbers)


def gradient_of(loss: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(loss, hidden)
    return gradient


@pytest.mark.parametrize("positions", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_loss_and_gradient_equal_cross_entropy(positions: int) -> None:
    hidden, weight, targets = problem(positions)
    ours = frozen_head_loss(hidden, weight, targets)
    theirs = cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    assert ours.dtype == torch.float32
    assert ours.shape == ()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    # Scaled, as a mean over tokens or a gradient scaler would.
    torch.testing.assert_close(
        gradient_of(ours * 0.25, hidden), gradient_of(theirs * 0.25, hidden), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("positions", [5, CHUNK + 1])
def test_under_autocast_it_is_as_close_as_bfloat16_allows(positions: int) -> None:
    hidden, weight, targets = problem(positions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = frozen_head_loss(hidden, weight, targets)
        theirs = cross_entropy((hidden @ weight.t()).float(), targets, reduction="sum")
    exact = cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2)
    mine, upstream, true = (gradient_of(loss, hidden) for loss in (ours, theirs, exact))
    assert mine.dtype == hidden.dtype
    assert (mine - true).norm() <= 1.5 * (upstream - true).norm()


def test_half_precision_weights_are_taken_as_they_are() -> None:
    hidden, weight, targets = problem(20)
    low = hidden.detach().bfloat16().requires_grad_()
    ours = frozen_head_loss(low, weight.bfloat16(), targets)
    theirs = cross_entropy((low @ weight.bfloat16().t()).float(), targets, reduction="sum")
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert gradient_of(ours, low).dtype == torch.bfloat16


def test_nothing_to_score_is_a_zero_with_a_zero_gradient() -> None:
    hidden, weight, targets = problem(0)
    loss = frozen_head_loss(hidden, weight, targets)
    assert loss.item() == 0.0
    assert gradient_of(loss, hidden).shape == (0, HIDDEN)


def test_hidden_states_that_are_not_trained_still_give_a_loss() -> None:
    hidden, weight, targets = problem(9)
    with torch.no_grad():
        expected = cross_entropy(hidden @ weight.t(), targets, reduction="sum")
        torch.testing.assert_close(frozen_head_loss(hidden, weight, targets), expected)


def test_a_logit_that_overflows_nothing_gives_no_nan() -> None:
    hidden, weight, targets = problem(4)
    huge = (hidden.detach() * 1e4).requires_grad_()
    loss = frozen_head_loss(huge, weight, targets)
    torch.testing.assert_close(loss, cross_entropy(huge @ weight.t(), targets, reduction="sum"))
    assert torch.isfinite(gradient_of(loss, huge)).all()


def test_a_trainable_head_is_refused() -> None:
    hidden, weight, targets = problem(3)
    with pytest.raises(ValueError, match="trainable"):
        frozen_head_loss(hidden, weight.requires_grad_(), targets)


def test_the_inputs_are_left_as_they_were() -> None:
    hidden, weight, targets = problem(CHUNK + 3)
    before = [tensor.detach().clone() for tensor in (hidden, weight, targets)]
    gradient_of(frozen_head_loss(hidden, weight, targets), hidden)
    assert all(torch.equal(a, b) for a, b in zip(before, (hidden, weight, targets), strict=True))


def test_never_more_than_one_chunk_of_logits_exists_at_once() -> None:
    hidden, weight, targets = problem(8 * CHUNK)
    with LargestTensor() as ours:
        gradient_of(frozen_head_loss(hidden, weight, targets), hidden)
    assert ours.num_elements == max(CHUNK * VOCABULARY, 8 * CHUNK * HIDDEN)
    with LargestTensor() as theirs:
        gradient_of(cross_entropy(hidden @ weight.t(), targets, reduction="sum"), hidden)
    assert theirs.num_elements == 8 * CHUNK * VOCABULARY, "the measure works"
