"""A short pass through a loaded model, to compare two ways of computing the same: states, and gradients off the CPU.

Not here: what is compared (`joining`: rows joined and alone, `liger`: kernels and plain PyTorch).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

EXACT, ROUNDED = 1e-3, 1e-1
"""Largest relative difference of a hidden state that rounding explains: in float32, and in 16 bits."""
ROUNDED_BACK = 2e-1
"""The same of a gradient, which has come through the rounding of twice as many layers."""
Passed = tuple[torch.Tensor, torch.Tensor | None]
"""Last hidden states, and the gradient at the embeddings or None on a CPU; each (tokens, width)."""


def trial_pass(model: Any, autocast: str = "none", **inputs: Any) -> Passed:
    """One batch line through the model; off the CPU under `autocast`'s type and backwards too.

    On a CPU neither depends on a kernel that may be absent.
    """
    kind = model.device.type
    if kind == "cpu":
        with torch.no_grad():
            return model.get_decoder()(**inputs, use_cache=False).last_hidden_state[0], None
    casting: AbstractContextManager[Any] = nullcontext()
    if autocast != "none":
        casting = torch.autocast(kind, dtype=getattr(torch, autocast))
    entered: list[torch.Tensor] = []

    def enter(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        entered.append(output.detach().requires_grad_())
        return entered[-1]

    hook = model.get_input_embeddings().register_forward_hook(enter)
    try:
        with torch.enable_grad(), casting:
            states = model.get_decoder()(**inputs, use_cache=False).last_hidden_state[0]
        wanted = torch.linspace(-1, 1, states.shape[-1], device=states.device, dtype=states.dtype)
        (gradient,) = torch.autograd.grad((states * wanted).sum(), entered[-1])
    finally:
        hook.remove()
    return states.detach(), gradient[0]


def differing(model: Any, got: Passed, expected: Passed, autocast: str = "none") -> str:
    """By how much more than rounding explains they differ, in words: "12% different"; empty where they do not."""
    exact = expected[0].dtype == torch.float32 and autocast == "none" and not getattr(model, "is_quantized", False)
    apart = _apart(got[0], expected[0])
    if apart > (EXACT if exact else ROUNDED):
        return f"{apart:.0%} different"
    if got[1] is None or expected[1] is None:
        return ""
    apart = _apart(got[1], expected[1])
    return f"with gradients {apart:.0%} different" if apart > (EXACT if exact else ROUNDED_BACK) else ""


def _apart(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest relative difference of a row, infinite where one is not a number."""
    apart = float(((got.float() - expected.float()).norm(dim=-1) / expected.float().norm(dim=-1)).max())
    return apart if apart == apart else float("inf")
