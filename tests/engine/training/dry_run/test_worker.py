"""The worker process answers one line per line, keeps stdout clean, and outlives a bad question."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from engine.dry_run_types import DryRun, StepSpec
from tests.engine.training.dry_run.configs import small

SPEC = StepSpec(device="cuda", method="lora", dtype="bfloat16", attention="flash", row_lengths=(64,)).to_json()


def ask(*lines: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-P", "-m", "engine.training.dry_run.worker"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_question_gets_its_answer_in_order() -> None:
    answers = ask(
        json.dumps({"id": "good", "config": small("llama"), "spec": SPEC}),
        json.dumps({"id": "unknown", "config": small("unheardof"), "spec": SPEC, "full_depth": True}),
        json.dumps({"id": "bad", "config": small("llama"), "spec": {**SPEC, "method": "magic"}}),
        "not json",
        json.dumps({"id": "last", "config": small("llama"), "spec": SPEC, "full_depth": True}),
    )
    assert [answer["id"] for answer in answers] == ["good", "unknown", "bad", None, "last"]
    first, last = DryRun.from_json(answers[0]["result"]), DryRun.from_json(answers[4]["result"])
    assert first.num_parameters == last.num_parameters
    for answer in answers[1:4]:
        assert set(answer["error"]) == {"happened", "means", "remedy"}
    assert "unheardof" in answers[1]["error"]["happened"]
    assert "magic" in answers[2]["error"]["happened"]
