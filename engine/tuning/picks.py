"""What a plan picks for a device where the recipe leaves it open: each pick is a pair of the value and its reason.

A gain that a reason calls published is somebody else's figure, not measured by us. Pure. Not here: which devices are
alike (`hardware_class`), what cannot be applied (`faults`), what an attempt does where a pick fails (`training`).
"""

from __future__ import annotations

from engine.gpu import Capability, Gpu
from engine.hardware import Hardware
from engine.model_shape import ModelShape
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.tuning.hardware_class import is_apple_silicon
from engine.tuning.liger_families import LIGER_FAMILIES, LIGER_VERSION

ASKED = "the recipe asks for it"
EAGER_ONLY = ("gemma2",)
"""Families that sdpa cannot compute."""
VARLEN = "varlen_attn"
VARLEN_FROM: Capability = (8, 0)
"""torch.nn.attention.varlen runs on torch's flash kernel: Ampere and newer, 16-bit types."""
LARGEST_HEAD, HEAD_STEP = 256, 8
"""Sizes of a head that this kernel takes (aten flash_api.cpp, mha_varlen_fwd)."""
JOINING = (VARLEN, "flash_attention_2")
"""Attention on a card that keeps joined rows apart."""
LIGER = "liger_kernel"
NO_LIGER = f"{LIGER} is not installed here"
LIGER_FROM: Capability = (8, 0)
COMPILE_FROM: Capability = (7, 0)
"""Triton, which torch.compile writes a card's kernels in: Volta and newer."""


def dtype(recipe: Recipe, gpu: Gpu | None) -> tuple[str, str]:
    if recipe.model.dtype != "auto":
        return recipe.model.dtype, ASKED
    if gpu is None:
        return "float32", "a CPU keeps full precision and computes in the autocast type"
    if recipe.adapter.method == "full":
        return "float32", "full training loses small updates in 16-bit weights"
    if gpu.bf16.available:
        return "bfloat16", gpu.bf16.reason
    return "float16", gpu.bf16.reason


def autocast(hardware: Hardware, gpu: Gpu | None) -> tuple[str, str]:
    if gpu is not None:
        return ("bfloat16" if gpu.bf16.available else "float16"), gpu.bf16.reason
    flags = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in hardware.cpu_flags]
    if flags:
        return "bfloat16", f"the CPU has {flags[0]}"
    if is_apple_silicon(hardware):
        return "none", "16-bit types were not measured on Apple's processors"
    return "none", "the CPU has no bfloat16 instructions"


def device(hardware: Hardware, gpu: Gpu | None, free: str) -> str:
    """Why it is this one; `free` is the card's free memory in words."""
    if gpu is not None:
        return f"most free memory: {free}"
    if is_apple_silicon(hardware):
        return "a Mac trains on its processor: PyTorch's mps device was never measured here"
    return hardware.gpu_note or "no NVIDIA card"


def attention(recipe: Recipe, gpu: Gpu | None, shape: ModelShape | None) -> tuple[str, str]:
    """attn_implementation."""
    asked = recipe.model.attn_implementation
    if asked != "auto":
        return asked, ASKED
    if shape is not None and shape.architecture in EAGER_ONLY:
        return "eager", f"transformers has no other attention for {shape.architecture} here: it caps its scores"
    if gpu is None:
        return "sdpa", "PyTorch's own; on a CPU every row is attended by itself"
    if lacking := varlen_lacks(gpu, shape):
        return "sdpa", f"sdpa works on every device; {lacking}"
    if recipe.training.padding_free is False:
        return "sdpa", "rows are padded, as the recipe asks; varlen_attn is for joined ones"
    return VARLEN, "PyTorch's flash kernel for joined rows; tried out when the model is loaded, sdpa if it fails"


def varlen_lacks(gpu: Gpu | None, shape: ModelShape | None) -> str:
    """What keeps varlen_attn from running; empty where nothing does."""
    need = "varlen_attn needs compute capability 8.0 or newer"
    if gpu is None:
        return f"{need}, and there is no NVIDIA card"
    if gpu.compute_capability is None or gpu.compute_capability < VARLEN_FROM:
        has = "the driver does not tell the card's" if gpu.compute_capability is None else _of(gpu)
        return f"{need}; {has}"
    if shape is not None and (shape.head_dim > LARGEST_HEAD or shape.head_dim % HEAD_STEP):
        return f"varlen_attn takes heads of up to {LARGEST_HEAD} in steps of {HEAD_STEP}, not {shape.head_dim}"
    return ""


def padding_free(recipe: Recipe, gpu: Gpu | None, implementation: str) -> tuple[bool, str]:
    """Whether the rows of a micro-batch are joined, given its attention."""
    if recipe.training.padding_free != "auto":
        return recipe.training.padding_free, ASKED
    if implementation == "eager":
        return False, "eager attention pads"
    if gpu is None:
        return True, "on CPU rows are joined and attended one by one: no padding is computed"
    if implementation in JOINING:
        return True, f"{implementation} keeps joined rows apart: no padding is computed (published: up to 2x faster)"
    return False, "sdpa on a card pads; joined rows need a variable-length kernel"


def packing(recipe: Recipe, *, joined: bool) -> tuple[bool, str]:
    if recipe.training.packing:
        return True, ASKED
    if joined:
        return False, "rows are joined without padding already; packs would change how many rows a step learns from"
    return False, "packs need joined rows"


def order(
    recipe: Recipe, *, joined: bool, alone: bool, rows: RowLengths | None, batches: tuple[int, int]
) -> tuple[str, str]:
    """train_sampling_strategy. `batches`: rows of a micro-batch, and micro-batches of a step on all ranks."""
    asked = recipe.training.train_sampling_strategy
    if asked != "auto":
        return asked, ASKED
    if joined and alone:
        return "random", "joined rows have no padding that another order could save"
    if recipe.training.packing:
        return "random", "packs are all about as long"
    same = "the loss stays the same"
    if joined:
        return "by_step", f"the rows of a step are sorted by length, so that processes wait less: {same}"
    if batches[1] == 1:
        return "by_step", f"a step is one micro-batch; if the ladder halves it, its rows are sorted by length: {same}"
    if rows is None or (saved := rows.padding(recipe.training.max_length, *batches)) is None:
        return "by_step", f"the rows of a step are sorted by length, so micro-batches are padded less: {same}"
    before, after = saved
    return (
        "by_step",
        f"the rows of a step are sorted by length: {after:.0%} padding instead of {before:.0%}; {same}",
    )


def liger(recipe: Recipe, hardware: Hardware, gpu: Gpu | None, shape: ModelShape | None) -> tuple[bool, str]:
    """use_liger_kernel."""
    if recipe.training.use_liger_kernel != "auto":
        return recipe.training.use_liger_kernel, ASKED
    if lacking := liger_lacks(hardware, gpu, shape):
        return False, lacking
    if shape is None:
        return False, "decided once the model's config is here"
    return True, "liger_kernel is installed and knows the model (published: 20 % faster in full training, LoRA less)"


def liger_lacks(hardware: Hardware, gpu: Gpu | None, shape: ModelShape | None) -> str:
    """What keeps Liger's kernels from running; empty where nothing does, as far as is known."""
    if gpu is None:
        return "Liger's kernels are for NVIDIA cards, and there is none"
    if gpu.compute_capability is None or gpu.compute_capability < LIGER_FROM:
        has = "this card does not tell its own" if gpu.compute_capability is None else _of(gpu)
        return f"Liger's kernels are used from compute capability 8.0 on; {has}"
    if LIGER not in hardware.libraries:
        return NO_LIGER
    if shape is not None and shape.architecture not in LIGER_FAMILIES:
        return f"Liger {LIGER_VERSION} has no kernels for {shape.architecture}"
    return ""


def torch_compile(recipe: Recipe, gpu: Gpu | None) -> tuple[bool, str]:
    if recipe.training.torch_compile:
        return True, ASKED
    if gpu is None:
        return False, "on a CPU compiling took over 200 s for 135M parameters and was not done"
    if gpu.compute_capability is None or gpu.compute_capability < VARLEN_FROM:
        return False, "minutes at the start for a gain that nobody published on a card of this generation"
    return False, "5 to 15 minutes at the start for 14 to 19 % a step (published for an 8B LoRA): for runs of hours"


def num_workers(recipe: Recipe) -> tuple[int, str]:
    """dataloader_num_workers."""
    if recipe.training.dataloader_num_workers != "auto":
        return recipe.training.dataloader_num_workers, ASKED
    return 0, "rows come tokenized from a mapped file: there is next to nothing to make ahead"


def optimizer(recipe: Recipe) -> tuple[str, str]:
    """optim."""
    asked = recipe.training.optim
    if asked != "adamw_torch_fused":
        return asked, ASKED
    if recipe.adapter.method == "full":
        return asked, "the fastest; 8 bytes of state per parameter, which the ladder's 8-bit rung makes 2"
    return asked, "the fastest; an adapter's state is small"


def loss(recipe: Recipe, gpu: Gpu | None) -> tuple[bool, str]:
    """fused_loss."""
    if not recipe.training.fused_loss:
        return False, ASKED
    if gpu is None and recipe.adapter.method != "full":
        return True, "one pass over the trained positions, in pieces: the head is frozen"
    return True, "TRL's head in pieces: the logits of all positions are never there at once"


def _of(gpu: Gpu) -> str:
    major, minor = gpu.compute_capability or (0, 0)
    return f"{gpu.name} has {major}.{minor}"
