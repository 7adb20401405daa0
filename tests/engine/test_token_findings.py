"""What a model's tokenizer finds in rows, beside what can be told without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.receipt import ReceiptCounter, TokenCount
from data.understanding.detection import Detection
from engine.token_findings import findings_in
from tui_app.cli import main


def test_rows_that_are_cut_or_train_nothing_or_never_stop_are_found_with_their_places() -> None:
    counter = ReceiptCounter(10, "truncate")
    for line, (num_tokens, kept, stops) in enumerate([(8, 4, True), (14, 3, False), (20, 0, False)], start=1):
        counter.add(TokenCount(line, num_tokens, 4, min(num_tokens, 10), kept, stops))
    sizes = {"train": 3, "eval": 0, "test": 0}
    receipt = counter.receipt(rejected=(), split_sizes=sizes, duplicates=0, detection=Detection("alpaca", 1.0, ""))
    found = {one.check: one for one in findings_in(receipt, lambda line: f"rows.jsonl, line {line}")}
    assert list(found) == ["all-masked", "over-long", "stop-token"]
    assert (found["all-masked"].level, found["all-masked"].first_rows) == ("error", ("rows.jsonl, line 3",))
    assert found["over-long"].what == "Rows of more than 10 tokens: 2 rows."
    assert found["stop-token"].num_rows == 2


@pytest.mark.slow
def test_check_counts_tokens_with_a_model(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"say {number}", "completion": "yes " * number} for number in range(1, 60)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["data", "check", str(path), "--model", str(tiny_model_folder), "--max-length", "48", "--json"]
    assert main(arguments) == 0
    found = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert 0 < found["over-long"]["num_rows"] < 59
    assert found["over-long"]["first_rows"][0].startswith(f"{path}, line ")
