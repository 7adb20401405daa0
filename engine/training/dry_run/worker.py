"""A process that answers dry runs: one JSON line per question on stdin, one JSON line per answer on stdout.

Question: {"id", "config", "spec", "full_depth"}; answer: {"id", "result"} or {"id", "error": {"happened",
"means", "remedy"}}. It ends when stdin does. Run as `python -P -m engine.training.dry_run.worker`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from typing import Any, TextIO

from engine.dry_run_types import StepSpec
from engine.errors import FinetuiError
from engine.worker_start import loading


def answer(line: str) -> dict[str, Any]:
    """The answer to one question. A broad catch, because this is the edge of the process."""
    with loading():
        from engine.training.dry_run.dry_run import dry_run

    question: dict[str, Any] = {}
    try:
        question = json.loads(line)
        spec = StepSpec.from_json(question["spec"])
        result = dry_run(question["config"], spec, full_depth=bool(question.get("full_depth", False)))
        return {"id": question.get("id"), "result": result.to_json()}
    except FinetuiError as fault:
        error = {"happened": fault.happened, "means": fault.means, "remedy": fault.remedy}
    except Exception as fault:  # noqa: BLE001 - a library met something it was not made for: one question fails
        traceback.print_exc()
        error = {
            "happened": f"The dry run failed: {type(fault).__name__}: {str(fault)[:300]}",
            "means": "The installed transformers or PEFT does something that cannot be tried without weights.",
            "remedy": "The closed form is shown instead; report the model and the versions.",
        }
    return {"id": question.get("id") if isinstance(question, dict) else None, "error": error}


def serve(questions: TextIO, answers: TextIO) -> None:
    for line in questions:
        if line.strip():
            answers.write(json.dumps(answer(line)) + "\n")
            answers.flush()


def main() -> int:
    # Libraries may print: only answers go to the real stdout.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    with loading():
        import torch

    torch.set_num_threads(1)
    with answers:
        serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
