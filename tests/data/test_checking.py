"""All checks in one pass: what a report says of rows, where they stand, and what is not looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.checking import Limits, check, check_names, flagged
from data.errors import DataError
from data.loading import Rows
from tests.data.conftest import Write


def row(number: int) -> dict[str, str]:
    return {"prompt": f"What is number {number} called?", "completion": f"It is called number {number}."}


def long_row(number: int, ending: str) -> dict[str, str]:
    middle = " ".join(f"{number} times {other} is {number * other}" for other in range(20))
    return {"prompt": f"Tell me about {number}.", "completion": f"{middle}, {ending}"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_rows_stand_where_their_own_file_has_them(write: Write, work: Path, tmp_path: Path) -> None:
    write("shards/a.jsonl", [row(1), row(2)])
    write("shards/b.jsonl", [row(3), row(1), row(1) | {"completion": "Something else entirely."}])
    folder = str(tmp_path / "shards")
    report = check(Rows(folder), work_dir=work)
    found = {finding.check: finding for finding in report.findings}
    assert found["duplicates"].first_rows == (f"{folder}/b.jsonl, line 2 (as {folder}/a.jsonl, line 1)",)
    assert found["contradictions"].num_rows == 1
    assert report.places.of(5) == (f"{folder}/b.jsonl", 3)
    assert not report.has_errors
    assert report.has_warnings


def test_rejected_rows_are_grouped_by_reason_and_make_an_error(write: Write, work: Path) -> None:
    path = write(
        "rows.jsonl", [*map(row, range(5)), {"prompt": "x", "completion": 5}, {"prompt": "y", "completion": 7}]
    )
    report = check(Rows(str(path)), work_dir=work)
    rejected = [finding for finding in report.findings if finding.check == "rejected"]
    assert [(finding.num_rows, finding.level) for finding in rejected] == [(2, "error")]
    assert "'completion' is a number, not text" in rejected[0].what
    assert report.has_errors
    assert (report.num_rows, report.num_usable) == (7, 5)


def test_the_same_request_in_a_test_set_is_an_error_and_nearly_the_same_text_a_warning(
    write: Write, work: Path
) -> None:
    train = Rows(str(write("train.jsonl", [row(1), row(2), long_row(3, "at last.")])))
    test = Rows(
        str(write("test.jsonl", [long_row(3, "at most.") | {"prompt": "Say it."}, row(2) | {"completion": "No."}]))
    )
    found = {finding.check: finding for finding in check(train, others={"test": test}, work_dir=work).findings}
    assert found["contamination"].level == "error"
    assert found["contamination"].first_rows == (f"{train.dataset}, line 2 (as {test.dataset}, line 2)",)
    assert found["near-contamination"].first_rows == (f"{train.dataset}, line 3 (as {test.dataset}, line 1)",)
    assert "contradictions" not in found


def test_near_duplicates_are_said_not_to_be_looked_for_beyond_the_limit(write: Write, work: Path) -> None:
    path = str(write("rows.jsonl", [long_row(1, "now."), long_row(1, "then."), row(1)]))
    report = check(Rows(path), work_dir=work, limits=Limits(near_rows=2))
    assert "near-duplicates" not in {finding.check for finding in report.findings}
    assert "not looked for" in report.notes[0]


def test_exact_duplicates_are_no_near_duplicates(write: Write, work: Path) -> None:
    path = str(write("rows.jsonl", [long_row(1, "now."), long_row(1, "now."), long_row(1, "soon.")]))
    found = {finding.check: finding.num_rows for finding in check(Rows(path), work_dir=work).findings}
    assert (found["duplicates"], found["near-duplicates"]) == (1, 1)


def test_one_answer_for_most_rows_is_found_and_labels_are_no_short_answers(write: Write, work: Path) -> None:
    rows = [{"prompt": f"Is {number} even?", "completion": "no" if number % 3 else "yes"} for number in range(60)]
    found = {finding.check: finding for finding in check(Rows(str(write("r.jsonl", rows))), work_dir=work).findings}
    assert found["one-answer"].num_rows == 40
    assert "67%" in found["one-answer"].what
    assert "short-answers" not in found


def test_no_finding_holds_a_secret(write: Write, work: Path) -> None:
    secret = "hf_" + "q" * 34
    path = write("rows.jsonl", [row(1), {"prompt": "How do I log in?", "completion": f"With {secret}, I think."}])
    told = json.dumps(check(Rows(str(path)), work_dir=work).to_json(most_rows=5))
    assert "Hugging Face token" in told
    assert "qqq" not in told


def test_the_same_rows_make_the_same_report(write: Write, tmp_path: Path) -> None:
    path = str(write("rows.jsonl", [*map(row, range(30)), *map(row, range(10)), long_row(1, "a."), long_row(1, "b.")]))
    reports: list[dict[str, Any]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        reports.append(check(Rows(path), work_dir=tmp_path / name).to_json(most_rows=100))
    assert reports[0] == reports[1]
    assert reports[0]["findings"][0]["rows"] == [[path, line] for line in range(31, 41)]


def test_progress_is_told_for_every_row(write: Write, work: Path) -> None:
    told: list[int] = []
    check(Rows(str(write("rows.jsonl", list(map(row, range(200)))))), work_dir=work, progress=told.append)
    assert sum(told) == 200


def test_a_name_that_is_no_check_is_answered_with_those_that_are(write: Write, work: Path) -> None:
    rows = Rows(str(write("rows.jsonl", [row(1)])))
    with pytest.raises(DataError) as fault:
        flagged(rows, ["duplicate"], work)
    assert "duplicates" in fault.value.remedy
    assert "number-of-rows" not in check_names()
