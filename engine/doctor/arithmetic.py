"""Whether the kernels that finetui trains with compute right on this device, within stated bounds.

The sums are done by the worker process (`computing`). Measured on a CPU with bitsandbytes 0.50.2 and llama.cpp of
llama-cpp-python 0.3.36: 9.6 %, 0.8 % and 0.5 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.doctor import versions
from engine.doctor.finding import Finding
from engine.doctor.trying import Answers, reason_of

FOUR_BIT_ERROR_AT_MOST = 0.25
"""Relative error of an NF4 product of normally distributed numbers is about 0.1; a broken kernel is off by 1."""
KERNEL_ERROR_AT_MOST = 0.02
"""The same product against that of the dequantized weights: only rounding of the sum, at most that of float16."""
EIGHT_BIT_ERROR_AT_MOST = 0.05
"""Of how far AdamW moves in 3 steps with both states in 8 bits: 0.008; a broken step is off by 1 or more."""
Q8_0_ERROR_AT_MOST = 0.02
"""A Q8_0 block keeps 32 numbers to 1/254 of the largest: 0.005 for normally distributed ones."""


def arithmetic(answers: Answers) -> Iterator[Finding]:
    """4-bit product, 8-bit optimizer step, and a quantized GGUF file where that extra is installed."""
    for task, name, package, judged in (
        ("four_bit", "4-bit product", "bitsandbytes", _four_bit),
        ("eight_bit", "8-bit optimizer", "bitsandbytes", _eight_bit),
        ("gguf", "GGUF quantization", "llama-cpp-python", _gguf),
    ):
        if (answer := answers.get(task)) is None:
            continue
        if blamed := answer.get("untried"):
            told = str(blamed).removeprefix("import ")
            yield Finding(name, "warn", f"not tried: {told} failed", f"Mend {told} first.")
        elif reason := reason_of(answer):
            yield Finding(name, "fail", reason, "Install it anew, as tested.", versions.reinstall(package))
        else:
            is_right, found = judged(answer)
            mend = ("Install it anew, as tested.", versions.reinstall(package)) if not is_right else ("", "")
            yield Finding(name, "ok" if is_right else "fail", found, *mend)
    if "four_bit" in answers and "gguf" not in answers:
        hint = "To make GGUF files yourself."
        yield Finding("GGUF quantization", "ok", "llama-cpp-python is not installed; optional", hint, _install_gguf())


def _install_gguf() -> str:
    return versions.install("llama-cpp-python")


def _four_bit(answer: dict[str, Any]) -> tuple[bool, str]:
    is_right = answer["error"] <= FOUR_BIT_ERROR_AT_MOST and answer["kernel_error"] <= KERNEL_ERROR_AT_MOST
    found = f"NF4 on {answer['device']}: {answer['error']:.1%} off the exact product"
    return is_right, f"{found} (10% is NF4's own rounding; at most {FOUR_BIT_ERROR_AT_MOST:.0%})"


def _eight_bit(answer: dict[str, Any]) -> tuple[bool, str]:
    is_right = answer["error"] <= EIGHT_BIT_ERROR_AT_MOST and answer["num_states"] == 2
    found = f"AdamW8bit on {answer['device']}: {answer['error']:.1%} off exact AdamW"
    states = "" if answer["num_states"] == 2 else f"; {answer['num_states']} of its 2 states are kept in 8 bits"
    return is_right, f"{found} (at most {EIGHT_BIT_ERROR_AT_MOST:.0%}){states}"


def _gguf(answer: dict[str, Any]) -> tuple[bool, str]:
    found = f"llama.cpp made Q8_0 of a small file: {answer['error']:.1%} off (at most {Q8_0_ERROR_AT_MOST:.0%})"
    return answer["error"] <= Q8_0_ERROR_AT_MOST, found
