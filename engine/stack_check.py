"""Imports the training stack for real and multiplies by a 4-bit matrix, in a process of its own.

Lives here: that process (`python -P -m engine.stack_check`) and `run_stack_check`, which starts it in the
environment that a run's workers get. It tells what it has come to line by line, so that even a crash in native
code leaves the name of the library it came from. What the answers mean is `doctor`'s.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

from engine.environment import child_environment, worker_command

TIMEOUT_SECONDS = 300
"""Importing the stack takes 6 s from a warm disk; a network disk can take minutes."""
MARK = "FINETUI "
"""Libraries print lines of their own; ours begin with this."""


def run_stack_check() -> tuple[dict[str, Any], str]:
    """What the check told before it ended, and the last line of its error ("" if there was none).

    Keys: `importing` (the library it was at), `torch`, `hub`, `four_bit`; see `_check`.
    """
    try:
        done = subprocess.run(
            worker_command("engine.stack_check"),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            env=child_environment() | {"PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f"importing it did not end within {TIMEOUT_SECONDS} s"
    told: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            told |= json.loads(line.removeprefix(MARK))
    if done.returncode == 0 and "four_bit" in told:
        return told, ""
    ended = f"the process ended with exit code {done.returncode}"
    return told, next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), ended)


def _check() -> None:
    for library in ("torch", "bitsandbytes", "transformers", "peft", "trl"):
        _tell(importing=library)
        importlib.import_module(library)
    import torch
    from huggingface_hub import constants, get_token
    from trl import SFTTrainer

    # TRL imports its parts on first use, so only asking for the trainer loads it.
    assert SFTTrainer.__name__ == "SFTTrainer"
    _tell(
        hub={
            "cache": constants.HF_HUB_CACHE,
            "token": bool(get_token()),
            "offline": constants.HF_HUB_OFFLINE,
            "telemetry_off": constants.HF_HUB_DISABLE_TELEMETRY,
        }
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _tell(torch={"version": torch.__version__, "cuda_build": torch.version.cuda, "cuda": device == "cuda"})
    _tell(importing="bitsandbytes")
    _tell(four_bit={"device": device, "error": _four_bit_error(device)})


def _four_bit_error(device: str) -> float:
    """Relative error of an NF4 product of normally distributed numbers; about 0.1 where the kernel is right."""
    import bitsandbytes
    import torch

    torch.manual_seed(0)
    weight, rows = torch.randn(64, 64, device=device), torch.randn(4, 64, device=device)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4")
    product = bitsandbytes.matmul_4bit(rows, packed.t(), quant_state=state)
    exact = rows @ weight.t()
    return float((product - exact).norm() / exact.norm())


def _tell(**part: Any) -> None:
    sys.stdout.write(MARK + json.dumps(part) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _check()
