"""Liger's Triton kernels for norms, rotary embedding and MLP, put into a loaded model and compared with plain PyTorch.

Its losses stay out: the trainer's own never makes all logits either. transformers' `use_kernels` is not used: it
downloads. Not here: whether a plan wants them (`engine.tuning`), what an attempt does without (`building`). Written for
liger-kernel 0.8.5.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from engine.training.out_of_memory import out_of_memory
from engine.training.trial_pass import Passed, differing, trial_pass

PATCHES = "liger_kernel.transformers.monkey_patch"
"""Its table MODEL_TYPE_TO_APPLY_LIGER_FN says which families it knows; each entry patches a loaded model."""
WANTED = {
    **dict.fromkeys(("rope", "rms_norm", "layer_norm", "swiglu", "geglu"), True),
    **dict.fromkeys(("cross_entropy", "fused_linear_cross_entropy"), False),
}
NUM_TOKENS = 12


def unusable_because(model: Any, *, autocast: str = "none") -> str:
    """Put the kernels into `model`; why they cannot be used, with the model as it was, or empty when they are in.

    A short row goes through before and after, backwards too, in the type that training computes in (`autocast`).
    Running out of memory passes through.
    """
    try:
        patches = importlib.import_module(PATCHES)
    except ImportError as absent:
        return f"liger-kernel cannot be imported ({_first_line(absent)})"
    model_type = model.config.model_type
    apply = patches.MODEL_TYPE_TO_APPLY_LIGER_FN.get(model_type)
    if apply is None:
        return f"it has none for models of the type {model_type}"
    taken = inspect.signature(apply).parameters
    plain = _pass(model, autocast)
    with _undoing(model) as undo:
        why = ""
        try:
            apply(model=model, **{name: wanted for name, wanted in WANTED.items() if name in taken})
            words = differing(model, _pass(model, autocast), plain, autocast)
            why = f"the model's states come out {words}" if words else ""
        except _refusals() as fault:
            if isinstance(fault, RuntimeError | MemoryError) and out_of_memory(fault) is not None:
                raise
            why = f"{type(fault).__name__}: {_first_line(fault)}"
        undo[0] = bool(why)
    return why


def _pass(model: Any, autocast: str) -> Passed:
    size = model.get_input_embeddings().num_embeddings
    row = torch.tensor([[(7 * place + 3) % size for place in range(NUM_TOKENS)]], device=model.device)
    was_training = model.training
    model.eval()
    try:
        return trial_pass(model, autocast, input_ids=row)
    finally:
        model.train(was_training)


@contextmanager
def _undoing(model: Any) -> Iterator[list[bool]]:
    """Yields [whether to put everything back at the end]: the model's own methods, and its family's classes."""
    modules: list[tuple[Any, dict[str, Any]]] = [(module, dict(vars(module))) for module in model.modules()]
    family: ModuleType = sys.modules[type(model).__module__]
    names = dict(vars(family))
    undo = [True]
    try:
        yield undo
    finally:
        if undo[0]:
            for module, attributes in modules:
                vars(module).clear()
                vars(module).update(attributes)
            vars(family).update(names)


def _refusals() -> tuple[type[Exception], ...]:
    """What a kernel that cannot be built or run raises; Triton's own errors descend from Exception alone."""
    plain = (ImportError, AttributeError, LookupError, TypeError, ValueError, AssertionError, OSError, RuntimeError)
    try:
        triton: Any = importlib.import_module("triton.errors")
    except ImportError:
        return plain
    return (*plain, triton.TritonError)


def _first_line(fault: BaseException) -> str:
    return next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)[:200]
