"""The sums that show whether kernels compute right: 4-bit product, 8-bit optimizer step, a quantized GGUF file.

Each is held against the exact result. Runs in the worker process only; torch is imported inside. Not here: how far off
is too far (`arithmetic`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

SIZE = 256
LEARNING_RATE, BETAS, EPSILON = 1e-2, (0.9, 0.999), 1e-8
STEPS = 3


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def four_bit_error() -> dict[str, Any]:
    """Relative error (Frobenius norm) of an NF4 product of normally distributed numbers, and the device it ran on."""
    import bitsandbytes
    import torch

    device = _device()
    torch.manual_seed(0)
    weight, rows = torch.randn(SIZE, SIZE, device=device), torch.randn(8, SIZE, device=device)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4")
    product = bitsandbytes.matmul_4bit(rows, packed.t(), quant_state=state)
    exact = rows @ weight.t()
    own = rows @ bitsandbytes.functional.dequantize_4bit(packed, state).t()
    return {
        "device": device,
        "error": float((product - exact).norm() / exact.norm()),
        "kernel_error": float((product - own).norm() / own.norm()),
    }


def eight_bit_error() -> dict[str, Any]:
    """Relative error of how far three steps of bitsandbytes' AdamW8bit move, against AdamW written out here.

    `num_states` counts the optimizer states that really are 8-bit: a parameter may be kept in 32 bits.
    """
    import bitsandbytes
    import torch

    device = _device()
    torch.manual_seed(0)
    start = torch.randn(SIZE, SIZE, device=device)
    gradients = [torch.randn(SIZE, SIZE, device=device) for _ in range(STEPS)]
    parameter = torch.nn.Parameter(start.clone())
    optimizer = bitsandbytes.optim.AdamW8bit([parameter], lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, weight_decay=0.0)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    moved, exact = parameter.detach() - start, _adamw(start, gradients) - start
    states = [value for value in optimizer.state[parameter].values() if getattr(value, "dtype", None) == torch.uint8]
    return {
        "device": device,
        "error": float((moved - exact).norm() / exact.norm()),
        "num_states": len(states),
    }


def _adamw(start: Any, gradients: list[Any]) -> Any:
    """Where AdamW without weight decay gets to, by its definition (Loshchilov and Hutter, arXiv:1711.05101)."""
    value, first, second = start.double(), 0.0, 0.0
    for number, gradient in enumerate(gradients, 1):
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient.double()
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient.double() ** 2
        mean, variance = first / (1 - BETAS[0] ** number), second / (1 - BETAS[1] ** number)
        value = value - LEARNING_RATE * mean / (variance.sqrt() + EPSILON)
    return value.to(start.dtype)


def quantized_gguf() -> dict[str, Any]:
    """A two-matrix GGUF file of random numbers, made Q8_0 by llama.cpp: its bits per weight and error."""
    import numpy as np
    from gguf import GGUFReader, GGUFWriter, dequantize

    from engine.gguf_runtime.quantizing import quantize

    values = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="finetui-doctor-") as folder:
        source, target = Path(folder) / "source.gguf", Path(folder) / "target.gguf"
        writer = GGUFWriter(source, "llama")
        writer.add_file_type(0)
        writer.add_context_length(64)
        writer.add_embedding_length(SIZE)
        writer.add_feed_forward_length(SIZE)
        writer.add_block_count(1)
        writer.add_head_count(4)
        writer.add_layer_norm_rms_eps(1e-5)
        for name in ("token_embd.weight", "blk.0.ffn_up.weight"):
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        made = quantize(source, target, "Q8_0")
        read = next(each for each in GGUFReader(target).tensors if each.name == "blk.0.ffn_up.weight")
        error = np.linalg.norm(dequantize(read.data, read.tensor_type) - values) / np.linalg.norm(values)
        return {"bits_per_weight": made.bits_per_weight, "error": float(error)}
