"""Options of a recipe that a machine cannot apply, as far as they concern how a step is computed.

Each is (dotted field, what is wrong, what to do). Pure. Not here: what is picked where the recipe leaves it open
(`picks`), and faults that the recipe has on any machine (`recipe`).
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.gpu import Gpu
from engine.hardware import Hardware
from engine.model_shape import ModelShape
from engine.recipe import Recipe
from engine.tuning import picks

Fault = tuple[str, str, str]


def tuning_faults(recipe: Recipe, hardware: Hardware, shape: ModelShape | None) -> Iterator[Fault]:
    """What cannot be applied here. Without `shape` nothing is said of the model's family."""
    gpu = hardware.best_gpu
    yield from _types(recipe, gpu)
    yield from _attention(recipe, hardware, shape)
    yield from _joining(recipe, gpu, shape)
    yield from _kernels(recipe, hardware, shape)
    if gpu is None:
        yield from _card_only(recipe)


def _types(recipe: Recipe, gpu: Gpu | None) -> Iterator[Fault]:
    asked = recipe.model.dtype
    if gpu is None and asked == "float16":
        yield "model.dtype", "float16 on a CPU computes ten times slower than float32.", 'Use "auto" or "float32".'
    if gpu is not None and asked == "bfloat16" and not gpu.bf16.available:
        yield "model.dtype", gpu.bf16.reason, 'Use "auto" or "float16".'


def _attention(recipe: Recipe, hardware: Hardware, shape: ModelShape | None) -> Iterator[Fault]:
    name, asked, gpu = "model.attn_implementation", recipe.model.attn_implementation, hardware.best_gpu
    if asked == "flash_attention_2":
        if gpu is None or not gpu.flash_attention.available:
            reason = "there is no NVIDIA card." if gpu is None else gpu.flash_attention.reason
            yield name, reason, 'Use "auto" or "sdpa".'
        elif "flash_attn" not in hardware.libraries and not gpu.emulated:
            yield name, "flash_attn is not installed here.", 'Use "auto", which takes PyTorch\'s own kernel.'
    if asked == picks.VARLEN and (lacking := picks.varlen_lacks(gpu, shape)):
        yield name, f"{lacking}.", 'Use "auto" or "sdpa".'


def _joining(recipe: Recipe, gpu: Gpu | None, shape: ModelShape | None) -> Iterator[Fault]:
    training = recipe.training
    implementation, _ = picks.attention(recipe, gpu, shape)
    eager, joins = implementation == "eager", gpu is None or implementation in picks.JOINING
    if training.padding_free is True and eager:
        yield "training.padding_free", "eager attention would let rows see each other.", 'Use "auto".'
    elif training.padding_free is True and not joins:
        happened = f"with {implementation} on this card rows would see each other: {_why_not(gpu, shape)}."
        yield "training.padding_free", happened, 'Use "auto".'
    if training.packing and training.padding_free != "auto" and not training.padding_free:
        return  # a fault on any machine
    if training.packing and (eager or not joins):
        why = "eager attention would let the rows of a pack see each other" if eager else _why_not(gpu, shape)
        yield "training.packing", f"packs are joined rows, which cannot be here: {why}.", 'Use "false".'
    alone = gpu is None and training.padding_free is not False  # the CPU's attention for joined rows
    if training.gradient_checkpointing == "selective" and (eager or alone):
        happened = "selective keeps the results of a fused attention kernel, and here there is none."
        yield "training.gradient_checkpointing", happened, 'Use "true" or "auto".'


def _why_not(gpu: Gpu | None, shape: ModelShape | None) -> str:
    return picks.varlen_lacks(gpu, shape) or 'it takes model.attn_implementation = "auto" or "varlen_attn"'


def _kernels(recipe: Recipe, hardware: Hardware, shape: ModelShape | None) -> Iterator[Fault]:
    training, gpu = recipe.training, hardware.best_gpu
    if training.use_liger_kernel is True and (lacking := picks.liger_lacks(hardware, gpu, shape)):
        install = lacking == picks.NO_LIGER
        remedy = 'Use "auto", or install it: pip install liger-kernel.' if install else 'Use "auto" or "false".'
        yield "training.use_liger_kernel", f"{lacking}.", remedy
    if training.torch_compile:
        if gpu is None:
            happened = "on a CPU compiling takes longer than it saves: over 200 s for 135M parameters, and not done."
            yield "training.torch_compile", happened, 'Use "false".'
        elif gpu.compute_capability is None or gpu.compute_capability < picks.COMPILE_FROM:
            happened = "torch.compile writes kernels for compute capability 7.0 or newer, and this card is older."
            yield "training.torch_compile", happened, 'Use "false".'


def _card_only(recipe: Recipe) -> Iterator[Fault]:
    """Options that mean nothing without a card."""
    if recipe.training.activation_offloading:
        happened = "there is no NVIDIA card whose activations could wait in RAM: on a CPU they are there already."
        yield "training.activation_offloading", happened, 'Use "false".'
    if recipe.memory.expandable_segments:
        happened = "it is a setting of PyTorch's pool on an NVIDIA card, and there is none."
        yield "memory.expandable_segments", happened, 'Use "false".'
