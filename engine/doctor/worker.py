"""The process that tries the libraries for real: `python -P -m engine.doctor.worker TASK…`.

Lives here: doing one task after another and telling of each in a JSON line, before and after, so that even a crash in
native code leaves the name of the task it came from. A task is `import MODULE` or one of `TASKS`. Not here: starting
the process (`trying`), and what the answers mean (`libraries`, `devices`, `arithmetic`, `hub`, `model`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "FINETUI "
"""Libraries print lines of their own; ours begin with this."""


def torch_facts(_: str) -> dict[str, Any]:
    """What torch was built for, and which devices it can use."""
    import torch

    facts: dict[str, Any] = {
        "version": torch.__version__,
        "cuda_build": torch.version.cuda,
        "hip_build": getattr(torch.version, "hip", None),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "arch_list": torch.cuda.get_arch_list(),
        "cards": [],
        "error": "",
    }
    if facts["cuda"]:
        facts["cards"] = [
            {"name": torch.cuda.get_device_name(number), "capability": list(torch.cuda.get_device_capability(number))}
            for number in range(torch.cuda.device_count())
        ]
    elif torch.version.cuda is not None:
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as fault:  # says why it cannot
            facts["error"] = str(fault).strip().partition("\n")[0]
    return facts


def trainer(_: str) -> dict[str, Any]:
    """TRL imports its parts on first use, so only asking for the trainer loads it."""
    from trl import SFTTrainer

    return {"found": SFTTrainer.__name__}


def four_bit(_: str) -> dict[str, Any]:
    from engine.doctor.computing import four_bit_error

    return four_bit_error()


def eight_bit(_: str) -> dict[str, Any]:
    from engine.doctor.computing import eight_bit_error

    return eight_bit_error()


def gguf(_: str) -> dict[str, Any]:
    from engine.doctor.computing import quantized_gguf

    return quantized_gguf()


def hub(words: str) -> dict[str, Any]:
    from engine.doctor.hub_worker import hub_facts

    return hub_facts(is_offline=words == "offline")


def model(words: str) -> dict[str, Any]:
    import dataclasses

    from engine.doctor.model_worker import model_findings

    return {"findings": [dataclasses.asdict(each) for each in model_findings(**json.loads(words))]}


TASKS: dict[str, Callable[[str], dict[str, Any]]] = {
    "torch": torch_facts,
    "trainer": trainer,
    "four_bit": four_bit,
    "eight_bit": eight_bit,
    "gguf": gguf,
    "hub": hub,
    "model": model,
}


def do(task: str) -> dict[str, Any]:
    """One task's answer: {"error": …} where it raised, else what it tells."""
    kind, _, words = task.partition(" ")
    began = time.monotonic()
    try:
        if kind == "import":
            importlib.import_module(words)
            answer: dict[str, Any] = {}
        else:
            answer = TASKS[kind](words)
    except BaseException as fault:  # noqa: BLE001 - the process edge: whatever a library raises on import is the finding
        said = next((line.strip() for line in str(fault).splitlines() if line.strip()), "")
        return {"raised": f"{type(fault).__name__}: {said}" if said else type(fault).__name__}
    return answer | {"seconds": time.monotonic() - began}


def main() -> int:
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not ours
    for task in sys.argv[1:]:
        told.write(MARK + json.dumps({"task": task}) + "\n")
        told.flush()
        answer = do(task)
        told.write(MARK + json.dumps({"task": task, "answer": answer}) + "\n")
        told.flush()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # what libraries do on the way out, and how long they take for it, is not what was asked
