"""A sweep whose runs really train, started by the command a user types."""

from __future__ import annotations

import json

import pytest

from tests.runs.conftest import Workshop

pytestmark = pytest.mark.slow(seconds=40)


def test_a_sweep_goes_on_past_a_point_that_fails_and_its_table_names_both(workshop: Workshop) -> None:
    broken = workshop.folder / "broken.jsonl"
    broken.write_text('{"prompt": "a"}\n' * 20)
    words = ("--grid", f"data.dataset={broken},{workshop.folder / 'rows.jsonl'}", "--set", "training.max_steps=2")
    done = workshop.finetui("sweep", "tiny.toml", *words, "--name", "files", "--json")
    told = json.loads(done.stdout)
    failed, finished = told["points"]
    assert (failed["state"], finished["state"]) == ("failed", "finished"), done.stderr
    assert done.returncode == 3
    assert finished["eval_loss"] > 0
    assert finished["peak_bytes"] > 0
    listed = json.loads(workshop.finetui("queue", "list", "--json").stdout)
    assert listed["runner"] == "none"
    assert [each["state"] for each in listed["entries"]] == ["failed", "finished"]
    compared = json.loads(workshop.finetui("compare", "files", "--json").stdout)
    assert list(compared["differences"]) == ["data.dataset"]
