"""A few of the rows measured by others on real cards; benchmarks/memory_accuracy.py runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measured_rows import Row, Skipped, parse, read_rows
from benchmarks.memory_accuracy import DATA, MIB, Score, replay_rows, verdict_of
from engine.training.dry_run.dry_run import dry_run

T4 = {row.name.split()[0]: row for row in read_rows(DATA / "memory_t4.jsonl") if isinstance(row, Row)}


@pytest.mark.parametrize("name", ["t4-sweep:18", "t4-sweep:25", "t4-sweep:39", "final-t4:8"])
def test_a_measured_step_on_a_t4_is_predicted_within_one_percent(name: str) -> None:
    row = T4[name]
    assert row.measured_mib is not None
    assert dry_run(row.config, row.spec).peak_bytes / MIB == pytest.approx(row.measured_mib, rel=0.01)


def test_a_run_that_ran_out_of_memory_is_not_said_to_fit() -> None:
    rows = [row for row in read_rows(DATA / "memory_t4_verdicts.jsonl") if isinstance(row, Row) and not row.survived]
    score = Score()
    replay_rows(rows, score, full_depth=False)
    assert score.verdicts == 2
    assert score.false_fits == []


def test_what_is_not_among_our_methods_is_skipped_by_name() -> None:
    train = {"optimizer_type": "AdamW"}
    row = parse({"train_config": train, "peft_config": {"peft_type": "LN_TUNING"}, "model_id": "a/b"}, "ln")
    assert isinstance(row, Skipped)
    assert "LN_TUNING" in row.reason


def test_an_unreadable_line_is_skipped_and_the_others_read(tmp_path: Path) -> None:
    first = (DATA / "memory_t4.jsonl").read_text(encoding="utf-8").splitlines()[0]
    file = tmp_path / "mixed.jsonl"
    file.write_text(f"{{\n[]\n{{}}\n{first}\n", encoding="utf-8")
    kinds = [type(row) for row in read_rows(file)]
    assert kinds == [Skipped, Skipped, Skipped, Row]


def test_the_margin_lies_between_fitting_and_not() -> None:
    assert [verdict_of(needed, 100) for needed in (94, 96, 101)] == ["fits", "tight", "will not fit"]
