"""One optimizer step, and an eval batch, under a tracker: the record of everything they allocate.

Which model is built is `building`; what the record amounts to is `measuring`.
"""

from __future__ import annotations

import gc
import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import Trainer, masking_utils

from engine.dry_run_types import StepSpec
from engine.training import lean_dora
from engine.training.dry_run import cuda_kernels, four_bit, losses
from engine.training.dry_run.building import rebinding
from engine.training.dry_run.cuda_autocast import cuda_rules
from engine.training.dry_run.losses import Batch, base_of, card_head, frozen_loss, fused_loss, plain_loss
from engine.training.dry_run.offloading import offloading
from engine.training.dry_run.optimizers import optimizer
from engine.training.dry_run.tracking import CUDA_GRANULARITY, Record, Tracker
from engine.training.model_loading import torch_dtype

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_CLIP = 1.0


@contextmanager
def emulated(spec: StepSpec) -> Iterator[None]:
    """Inside, the CPU stand-in allocates as the spec's device does. Everything patched is put back."""
    with ExitStack() as stack:
        stack.enter_context(four_bit.readable_by_peft())
        stack.enter_context(_first_block_only())
        if spec.device == "cuda":
            stack.enter_context(card_head())
            if spec.attention in ("flash", "varlen", "efficient", "math"):
                stack.enter_context(cuda_kernels.card_attention(spec.attention))
            stack.enter_context(cuda_rules())
        if not spec.padding_free or spec.attention in ("flash", "varlen"):
            stack.enter_context(_no_packing())
        yield


@contextmanager
def _first_block_only() -> Iterator[None]:
    """Lean DoRA works block by block, and one block allocates what each of them does: hundreds tell nothing more."""
    original = lean_dora.blocks
    lean_dora.blocks = lambda num_rows, row_size: itertools.islice(original(num_rows, row_size), 1)
    try:
        yield
    finally:
        lean_dora.blocks = original


@contextmanager
def _no_packing() -> Iterator[None]:
    """transformers looks into position_ids for joined rows and, as tensors without values tell nothing, expects some.

    Here there are none, or the kernel keeps them apart without a mask.
    """
    original = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda *_, **__: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = original


def new_tracker(spec: StepSpec) -> Tracker:
    """A tracker that counts as the spec's device would."""
    on_card = spec.device == "cuda"
    hidden = four_bit.HIDDEN_BYTES | losses.HIDDEN_BYTES
    if on_card:
        hidden |= cuda_kernels.HIDDEN_BYTES
    return Tracker(granularity=CUDA_GRANULARITY if on_card else 1, hidden=hidden)


def run_step(model: nn.Module, spec: StepSpec) -> Record:
    """Load, one step in its steady state, and eval if asked: the optimizer's state is there before the step."""
    tracker = new_tracker(spec)
    enabled = gc.isenabled()
    gc.disable()  # else cycles die at moments that differ from run to run
    gc.freeze()  # what is there already need not be looked through at every phase
    try:
        with rebinding(), emulated(spec), tracker:
            tracker.phase("load")
            trained = _name_parameters(model, spec, tracker)
            tracker.phase("state")
            if spec.device == "cuda":
                for _ in range(2):
                    tracker.add(spec.cublas_workspace_bytes, "temporaries")
            embeddings: list[Any] = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
            parameters = _in_step_order(model, trained)
            stepper = optimizer(spec.optim, parameters, spec.device, embeddings=embeddings)
            _fill_state(stepper, trained, tracker, on_card=spec.device == "cuda")
            hooks = _watch_gradients(trained, tracker) + _watch_layers(model, tracker)
            kept: list[Any] = []
            for _ in range(2 if spec.keeps_output else 1):  # what the step before left is there too
                for _ in range(min(spec.gradient_accumulation_steps, 2)):
                    kept = _micro_batch(model, spec, tracker, kept)
                tracker.phase("optimizer")
                tracker.kind = "temporaries"
                if spec.clips_gradients:
                    torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
                stepper.step()
                stepper.zero_grad(set_to_none=True)
            del kept
            if spec.eval_row_lengths:
                _eval_batch(model, spec, tracker)
            tracker.phase("end")
            for hook in hooks:
                hook.remove()
            return tracker.finish()
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


def layer_of(name: str) -> int | None:
    """The decoder layer that a parameter of this name belongs to."""
    found = _LAYER.search(f".{name}")
    return int(found[1]) if found and "vision" not in name else None


def _name_parameters(model: nn.Module, spec: StepSpec, tracker: Tracker) -> list[tuple[str, nn.Parameter]]:
    """Write down all that is loaded, the base before the adapter; returns what is trained, in the optimizer's order."""
    named = list(model.named_parameters())
    base = [(name, parameter) for name, parameter in named if "lora_" not in name]
    with ExitStack() as narrow:
        if spec.kbit_upcast:  # all is loaded in 16 bits first, and widened when all is there
            for name, parameter in base:
                if parameter.dtype == torch.float32:
                    narrow.enter_context(tracker.around(2 * parameter.numel(), layer_of(name)))
        for name, parameter in base:
            _name_base(model, name, parameter, tracker)
    for name, buffer in model.named_buffers():
        tracker.name(buffer, "weights", layer_of(name))
    for name, parameter in named:
        if "lora_" in name:
            tracker.name(parameter, "adapter", layer_of(name))
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


def _name_base(model: nn.Module, name: str, parameter: nn.Parameter, tracker: Tracker) -> None:
    """One parameter of the base model. A 4-bit one arrives in full width, which shapes the allocator's segments."""
    layer = layer_of(name)
    owner = model.get_submodule(name.rpartition(".")[0])
    if not (isinstance(owner, four_bit.DryLinear4bit) and parameter is owner.weight):
        tracker.name(parameter, "weights", layer)
        return
    with tracker.around(owner.quant_state.shape.numel() * owner.quant_state.dtype.itemsize, layer):
        tracker.name(parameter, "weights", layer)
        for tensor in four_bit.overhead(owner):
            tracker.name(tensor, "quantization overhead", layer)


def _in_step_order(model: nn.Module, trained: list[tuple[str, nn.Parameter]]) -> list[nn.Parameter]:
    """As transformers' Trainer groups them: norms and biases, which do not decay, come last."""
    trainer: Any = Trainer
    decaying = set(trainer.get_decay_parameter_names(None, model))
    return [parameter for _, parameter in sorted(trained, key=lambda pair: pair[0] not in decaying)]


def _fill_state(
    stepper: torch.optim.Optimizer, trained: list[tuple[str, nn.Parameter]], tracker: Tracker, *, on_card: bool
) -> None:
    """Bring the optimizer into the state it has after its first step. Its counters stay with the host unless fused."""
    groups: dict[torch.dtype, list[int | None]] = {}
    with tracker.scope("optimizer state"):
        for name, parameter in trained:
            groups.setdefault(parameter.dtype, []).append(layer_of(name))
            parameter.grad = torch.empty_like(parameter)
            tracker.name(parameter.grad, "gradients", layer_of(name))
        tracker.list_layers = {len(layers): layers for layers in groups.values()}
        stepper.step()
        stepper.zero_grad(set_to_none=True)
    for name, parameter in trained:
        for key, value in stepper.state[parameter].items():
            if isinstance(value, torch.Tensor):
                if key == "step" and on_card and not stepper.defaults.get("fused"):
                    tracker.leave(value)
                else:
                    tracker.name(value, "optimizer state", layer_of(name))


def _watch_gradients(trained: list[tuple[str, nn.Parameter]], tracker: Tracker) -> list[Any]:
    def watch(name: str, parameter: nn.Parameter) -> Any:
        def accumulated(trained_one: torch.Tensor) -> None:
            assert trained_one.grad is not None
            tracker.name(trained_one.grad, "gradients", layer_of(name))

        return parameter.register_post_accumulate_grad_hook(accumulated)

    return [watch(name, parameter) for name, parameter in trained]


def _watch_layers(model: nn.Module, tracker: Tracker) -> list[Any]:
    """Marks in the record where each decoder layer begins, forwards and backwards."""
    hooks = []
    decoder = base_of(model).get_decoder()
    for index, layer in enumerate(decoder.layers):

        def before(_module: nn.Module, _inputs: Any, index: int = index) -> None:
            if not torch._C._current_graph_task_id() >= 0:
                tracker.record.mark(f"forward {index}")

        def after(_module: nn.Module, _inputs: Any, output: Any, index: int = index) -> None:
            if torch._C._current_graph_task_id() >= 0:
                return
            tracker.record.mark(f"after {index}")
            tensor = output[0] if isinstance(output, tuple) else output
            if tensor.requires_grad:
                tensor.register_hook(lambda _: tracker.record.mark(f"backward {index}"))

        hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    return hooks


def _micro_batch(model: nn.Module, spec: StepSpec, tracker: Tracker, previous: list[Any]) -> list[Any]:
    """Forward and backward. Returns what the loop still holds until the next forward pass has taken its place.

    `previous` is what the micro-batch before returned, emptied here.
    """
    tracker.phase("forward")
    tracker.kind = "activations"
    batch = make_batch(spec, spec.row_lengths, spec.num_labelled)
    with offloading(model, spec, tracker):
        loss, kept = _loss(model, spec, batch, tracker)
    previous.clear()
    del batch
    tracker.phase("backward")
    tracker.kind = "backward"
    loss.backward()
    return kept


def _eval_batch(model: nn.Module, spec: StepSpec, tracker: Tracker) -> None:
    tracker.phase("eval")
    tracker.kind = "activations"
    model.eval()
    with torch.no_grad():
        result = _loss(model, spec, make_batch(spec, spec.eval_row_lengths, None), tracker)
        del result
    model.train()


def _loss(model: nn.Module, spec: StepSpec, batch: Batch, tracker: Tracker) -> tuple[torch.Tensor, list[Any]]:
    """The loss, and what else stays alive during the backward pass."""
    autocast: Any = nullcontext()
    if spec.autocast != "none":
        autocast = torch.autocast("cpu", dtype=torch_dtype(spec.autocast), cache_enabled=True)
    with autocast:
        if spec.loss == "plain":
            loss, output = plain_loss(model, batch)
            if spec.autocast != "none":  # accelerate hands outputs on in float32
                output.logits = output.logits.float()
            return loss, [output] if spec.keeps_output else []
        if spec.loss == "frozen_head":
            return frozen_loss(model, batch, tracker), []
        return fused_loss(model, batch, tracker, on_card=spec.device == "cuda"), []


def make_batch(spec: StepSpec, lengths: tuple[int, ...], num_labelled: int | None) -> Batch:
    """The batch as TRL's collator makes it: rows joined (padding-free) or padded to the longest."""
    shape = (1, sum(lengths)) if spec.padding_free else (len(lengths), max(lengths))
    ids = torch.zeros(shape, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": ids}
    if spec.padding_free:
        inputs["position_ids"] = torch.zeros(shape, dtype=torch.long)
        if spec.attention == "segments":
            inputs["cu_seq_lens_q"] = _Boundaries(lengths)
        elif spec.attention == "varlen":
            inputs["cu_seq_lens_q"] = torch.zeros(len(lengths) + 1, dtype=torch.int32)
            inputs["max_length_q"] = max(lengths)
    elif spec.attention_mask:
        mask = torch.ones(shape, dtype=torch.long)
        # transformers drops a mask that masks nothing, which it cannot see in a tensor without values.
        inputs["attention_mask"] = mask if len(set(lengths)) > 1 else None
    labelled = ids.numel() if num_labelled is None else num_labelled
    return Batch(inputs, torch.zeros(shape, dtype=torch.long), labelled)


class _Boundaries:
    """Stands for `cu_seq_lens_q`, whose values decide where rows are cut: a tensor without values has none."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._lengths = lengths

    def diff(self) -> _Boundaries:
        return self

    def tolist(self) -> list[int]:
        return list(self._lengths)
