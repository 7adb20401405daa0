"""Real training steps on this machine's NVIDIA card against what the dry run says of them: peak allocated, within 3 %.

Each row is a published model's shape with random weights, loaded and trained as an attempt does it, in a process of
its own. `python benchmarks/gpu_steps.py [NAME …]` prints a line per row, with what PyTorch's pool held beside what
the allocator's replay says. Without a card it says so and measures nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
import torch

from benchmarks.model_configs import config_of
from benchmarks.real_steps import Case, real_step, write_model
from engine.step_specs import spec_of
from engine.training.dry_run.dry_run import dry_run

MIB = 1 << 20
_GC, _NO_GC = {"gradient_checkpointing": True}, {"gradient_checkpointing": False}
_ALL7 = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_QLORA = {"method": "qlora", **_GC}
_LOGITS = {"fused_loss": False, **_NO_GC}
_SEED = {**_QLORA, "r": 64, "use_rslora": True, "use_dora": True, "lean_dora": False, "target_modules": _ALL7}
_LEAN = {**_SEED, "lean_dora": True}
_PLAIN = {**_SEED, "use_dora": False}
_SMOL, _QWEN, _LLAMA1 = "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.2-1B"
_LLAMA3, _LLAMA8, _GEMMA12 = "meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.1-8B", "google/gemma-3-12b-it"

CASES = (
    Case("full, checkpointing", _SMOL, (1024,) * 8, {"method": "full", **_GC}),
    Case("full", _SMOL, (1024,) * 4, {"method": "full", **_NO_GC}),
    Case("lora", _SMOL, (1024,) * 8, _NO_GC),
    Case("full", _QWEN, (2048,) * 4, {"method": "full", **_GC}),
    Case("qlora", _QWEN, (2048,) * 4, _QLORA),
    Case("lora", "google/gemma-3-1b-it", (2048,) * 2, _GC),
    Case("qlora r32 dora of PEFT", "google/gemma-3-1b-it", (2048,) * 2, {**_SEED, "r": 32}),
    Case("full, fused AdamW", _LLAMA1, (2048,) * 4, {"method": "full", **_GC}),
    Case("full, 8-bit AdamW", _LLAMA1, (2048,) * 4, {"method": "full", "optim": "adamw_8bit", **_GC}),
    Case("lora r32 q,v, all logits", _LLAMA3, (645,) * 4, {"r": 32, "target_modules": ("q_proj", "v_proj"), **_LOGITS}),
    Case("qlora", _LLAMA3, (2048,) * 2, _QLORA),
    Case("lora", _LLAMA8, (2048,), _GC),
    Case("qlora", _LLAMA8, (2048,), _QLORA),
    Case("qlora r64", _LLAMA8, (8192,), {**_QLORA, "r": 64}),
    Case("qlora, paged 8-bit AdamW", "Qwen/Qwen2.5-7B", (4096,), {**_QLORA, "optim": "paged_adamw_8bit"}),
    Case("qlora, eager", "Qwen/Qwen2.5-7B", (1024,), {**_QLORA, "attn_implementation": "eager"}),
    Case("seed", _GEMMA12, (4096,), _SEED),
    Case("seed, lean dora", _GEMMA12, (4096,), _LEAN),
    Case("seed, no dora", _GEMMA12, (4096,), _PLAIN),
    Case("seed, offloading", _GEMMA12, (4096,), {**_SEED, "activation_offloading": True}),
    Case("seed, no dora, 2 micro-batches", _GEMMA12, (4096,), {**_PLAIN, "gradient_accumulation_steps": 2}),
)


def measure(case: Case, place: Path) -> dict[str, int]:
    """One row, in this process: real and predicted bytes."""
    config = config_of(case.shape)
    assert config is not None
    folder = write_model(place / case.shape.replace("/", "--"), config)
    resident, found, settled = real_step(case, folder, place / "runs", "cuda:0")
    stored: dict[str, Any] = json.loads((folder / "config.json").read_text())
    predicted = dry_run(stored, spec_of(settled))
    return {
        "real": resident + found.peak_bytes,
        "predicted": predicted.peak_bytes,
        "real_reserved": found.reserved_bytes or 0,
        "predicted_reserved": predicted.reserved_bytes,
    }


def rows(cases: Sequence[Case] = CASES) -> list[tuple[str, int, int]]:
    """Name, real and predicted peak allocated of every row, each from a fresh process."""
    found = []
    with tempfile.TemporaryDirectory(prefix="finetui-gpu-steps-") as place:
        for case in cases:
            command = [sys.executable, __file__, "--one", str(CASES.index(case)), place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            name = f"{case.shape.rpartition('/')[2]}: {case.name}"
            if done.returncode:
                print(f"{name}: no measurement: {(done.stderr.strip().splitlines() or ['?'])[-1]}", flush=True)
                continue
            sizes = json.loads(done.stdout.splitlines()[-1])
            pool = f"reserved {sizes['real_reserved'] / MIB:.0f}, replayed {sizes['predicted_reserved'] / MIB:.0f}"
            print(f"{name:44}{sizes['real'] / MIB:10.1f}{sizes['predicted'] / MIB:10.1f} MiB   {pool}", flush=True)
            found.append((name, sizes["real"], sizes["predicted"]))
    return found


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(CASES[int(arguments[1])], Path(arguments[2]))))
        return 0
    if not torch.cuda.is_available():
        print("there is no NVIDIA card here: nothing was measured")
        return 0
    print(f"on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    chosen = [
        case for case in CASES if not arguments or any(word in f"{case.shape}: {case.name}" for word in arguments)
    ]
    off = [abs(predicted / real - 1) for _, real, predicted in rows(chosen)]
    print(f"{len(off)} of {len(chosen)} rows measured, worst {max(off, default=0):.2%}")
    return 0 if len(off) == len(chosen) and max(off, default=0) <= 0.03 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
