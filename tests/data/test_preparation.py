"""The one call the engine makes, on files as users bring them."""

from __future__ import annotations

import json
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import pytest

from data.card import write_card
from data.conversation import Message
from data.errors import DataError
from data.preparation import DataRequest, Lines, Prepared, Rejection, prepare
from data.preparation_card import card_of
from data.receipt import TokenCount, build_receipt
from data.understanding.detection import Detection


def qa(number: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"question": f"q{n}", "answer": f"a{n}"} for n in range(first, first + number)]


def sizes(prepared: Prepared) -> list[int]:
    return [len(prepared.train), len(prepared.eval), len(prepared.test)]


def refusal(**request: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare(DataRequest(**request))
    return caught.value


def test_every_row_of_a_messy_file_is_accounted_for(write: Any) -> None:
    good = "".join(f'{{"question": "q{n}", "answer": "a{n}"}}\n' for n in range(20))
    path = write("rows.jsonl", good + '{"question": "q0", "answer": "a0"}\n{"question": "q", "answer": null}\nnope\n')
    prepared = prepare(DataRequest(str(path)))
    assert sizes(prepared) == [16, 2, 2]
    assert prepared.num_read == 23
    assert prepared.duplicates == 1
    assert tuple(prepared.rejected) == (
        Rejection(22, "'answer' is null", str(path)),
        Rejection(23, "not valid JSON (Expecting value)", str(path)),
    )
    assert prepared.detection.format == "question_answer"
    assert prepared.num_read == sum(sizes(prepared)) + prepared.duplicates + len(prepared.rejected)


def test_a_system_prompt_goes_before_conversations_that_have_none(write: Any) -> None:
    rows = [*qa(9), {"question": "q", "answer": "a", "system": "own"}]
    prepared = prepare(DataRequest(str(write("rows.jsonl", rows)), system="ours", eval_fraction=0, test_fraction=0))
    assert [example.to_json()["messages"][0] for example in prepared.train] == [
        *[Message("system", "ours").to_json()] * 9,
        Message("system", "own").to_json(),
    ]


def test_a_system_prompt_for_plain_text_is_refused_instead_of_dropped(write: Any) -> None:
    path = str(write("rows.txt", "".join(f"line {n}\n" for n in range(30))))
    assert sizes(prepare(DataRequest(path))) == [24, 3, 3]
    assert "data.system is set" in refusal(dataset=path, system="Be brief.").happened


def test_lines_count_on_from_file_to_file_and_rejections_name_their_own_file(write: Any, tmp_path: Path) -> None:
    write("set/a.jsonl", qa(10))
    write("set/b.jsonl", [{"question": "only"}, *qa(10, 10)])
    prepared = prepare(DataRequest(str(tmp_path / "set"), eval_fraction=0, test_fraction=0))
    assert [example.line for example in prepared.train] == [*range(1, 11), *range(12, 22)]
    assert tuple(prepared.rejected) == (Rejection(1, "'answer' is missing", f"{tmp_path}/set/b.jsonl"),)
    assert [file.name for file in prepared.files] == [f"{tmp_path}/set/a.jsonl", f"{tmp_path}/set/b.jsonl"]


def test_columns_can_be_renamed_and_a_wrong_name_is_answered_with_those_there_are(write: Any) -> None:
    path = str(write("rows.csv", "question_text,reply\n" + "".join(f"q{n},a{n}\n" for n in range(10))))
    prepared = prepare(DataRequest(path, columns={"prompt": "question_text", "completion": "reply"}))
    assert prepared.detection.format == "prompt_completion"
    error = refusal(dataset=path, columns={"prompt": "question"})
    assert "'question_text', 'reply'" in error.means
    assert "data.columns" in error.remedy


def test_numbers_of_a_csv_become_words_by_a_template(write: Any) -> None:
    path = write("links.csv", "rssi;snr;class\n" + "".join(f"-{n};{n / 2};good\n" for n in range(10)))
    prepared = prepare(DataRequest(str(path), template="RSSI {rssi} dBm, SNR {snr} dB\nLink: {class}"))
    assert prepared.train[0].request.startswith("RSSI -")
    assert prepared.train[0].answer == "good"
    assert "'rssi', 'snr', 'class'" in str(refusal(dataset=str(path), template="{rssi} {klass}"))


def test_a_format_can_be_named_and_rows_without_it_are_rejected(write: Any) -> None:
    path = str(write("rows.jsonl", [{"text": f"t{n}", "code": f"c{n}"} for n in range(10)]))
    assert "none of the known formats" in refusal(dataset=path).happened
    assert prepare(DataRequest(path, format="plain_text")).detection.certainty == 1.0
    error = refusal(dataset=path, format="alpaca")
    assert "No usable row is left" in error.happened
    assert f"10 x 'instruction' is missing (first: {path}, line 1)" in error.means


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({"format": "alpaca", "template": "{question} {answer}"}, "data.template and data.format"),
        ({"format": "template"}, "there is no data.template"),
        ({"format": "alpacca"}, "no dataset format named"),
        ({"max_rows": 0}, "data.max_rows is 0"),
        ({"unseen_answers": 2, "test_dataset": "x.jsonl"}, "data.unseen_answers and data.test_dataset"),
        ({"answer_pattern": "("}, "evaluation.answer_pattern"),
        ({"eval_fraction": 0.6, "test_fraction": 0.6}, "leave nothing to train on"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_name(
    write: Any, request_fields: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(dataset=str(write("rows.jsonl", qa(20))), **request_fields).happened


def test_given_eval_and_test_files_replace_the_fractions_and_lose_what_is_in_training(write: Any) -> None:
    prepared = prepare(
        DataRequest(
            str(write("train.jsonl", qa(20))),
            eval_dataset=str(write("eval.jsonl", [*qa(3, 100), {"question": " Q1", "answer": "other"}])),
            test_dataset=str(write("test.jsonl", [*qa(2, 200), *qa(1, 5)])),
        )
    )
    assert sizes(prepared) == [20, 3, 2]
    assert [(r.line, r.reason, Path(r.file).name) for r in prepared.rejected] == [
        (3, "also in the training rows", "test.jsonl"),
        (4, "also in the training rows", "eval.jsonl"),
    ]
    assert prepared.unseen == {1, 2}
    assert len(prepared.files) == 3
    assert prepared.num_read == 27


def test_a_given_eval_file_loses_what_is_in_the_test_split(write: Any) -> None:
    path = str(write("rows.jsonl", qa(20)))
    test_rows = prepare(DataRequest(path)).test
    evaluation = [{"question": test_rows[0].request, "answer": "x"}, *qa(2, 100)]
    prepared = prepare(DataRequest(path, eval_dataset=str(write("eval.jsonl", evaluation))))
    assert [rejection.reason for rejection in prepared.rejected] == ["also in the test rows"]
    assert sizes(prepared) == [18, 2, 2]


def test_an_eval_file_that_is_all_training_rows_leaves_eval_empty_and_is_refused(write: Any) -> None:
    path = str(write("rows.jsonl", qa(20)))
    assert "The eval split is empty" in refusal(dataset=path, eval_dataset=path).happened


def test_rows_that_all_ask_the_same_cannot_be_split(write: Any) -> None:
    rows = [{"question": "same", "answer": f"a{n}"} for n in range(20)]
    assert "split is empty" in refusal(dataset=str(write("rows.jsonl", rows))).happened
    prepared = prepare(DataRequest(str(write("rows.jsonl", rows)), eval_fraction=0, test_fraction=0))
    assert sizes(prepared) == [20, 0, 0]


def test_only_the_first_rows_are_read_when_so_many_are_asked_for(write: Any) -> None:
    prepared = prepare(DataRequest(str(write("rows.jsonl", qa(50))), max_rows=20))
    assert prepared.num_read == 20
    assert sizes(prepared) == [16, 2, 2]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.jsonl", "\n\n", "No usable row is left"),
        ("rows.jsonl", "nope\nnope\n", "2 x not valid JSON"),
        ("rows.csv", "question,answer\n", "It holds no row at all"),
        ("rows.json", "[]", "It holds no row at all"),
        ("rows.jsonl", b"\x00\x01\x02", "is binary, not text"),
        ("rows.jsonl", b"", "is empty"),
        ("rows.csv", "question~answer\na~b\n", "'question~answer'"),
    ],
)
def test_a_file_without_a_usable_row_is_refused_with_the_reasons(
    write: Any, name: str, content: str | bytes, expected: str
) -> None:
    assert expected in str(refusal(dataset=str(write(name, content))))


def test_the_demo_dataset_is_prepared_with_held_back_commands() -> None:
    prepared = prepare(
        DataRequest("generator:venvy", unseen_answers=8, answer_pattern=r"^COMMAND: (.+)$", system="You translate.")
    )
    assert sizes(prepared) == [1200, 150, 150]
    assert (len(prepared.rejected), prepared.duplicates, prepared.num_read) == (0, 0, 1500)
    unseen = {e.answer.splitlines()[0] for e in prepared.test if e.line in prepared.unseen}
    assert len(unseen) == 8
    assert unseen.isdisjoint(e.answer.splitlines()[0] for e in (*prepared.train, *prepared.eval))
    assert 8 <= len(prepared.unseen) <= 75
    tested = {e.answer.split()[2] for e in prepared.test if e.line not in prepared.unseen}
    assert tested == {"register", "ls", "current", "cleanup", "scan", "stats", "shell-hook"}


def test_the_rows_of_each_split_lie_in_the_given_folder_and_nothing_else_is_left_there(
    write: Any, tmp_path: Path
) -> None:
    path = write("rows.jsonl", [*qa(20), {"question": "only"}])
    folder = tmp_path / "prepared"
    (folder / "reading").mkdir(parents=True)
    (folder / "reading" / "left").write_text("by a preparation that was killed")
    (folder / "train.jsonl").write_text("by an earlier one\n")
    prepared = prepare(DataRequest(str(path)), folder)
    assert sorted(file.name for file in folder.iterdir()) == [
        "eval.jsonl",
        "rejected.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]
    lines = (folder / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [example.line for example in prepared.train]
    assert json.loads((folder / "rejected.jsonl").read_text()) == {
        "file": str(path),
        "line": 21,
        "reason": "'answer' is missing",
    }


def test_rows_are_never_held(write: Any) -> None:
    rows = [{"question": f"q{n} " + "x" * 2000, "answer": f"a{n} " + "y" * 2000} for n in range(4000)]
    path = write("rows.jsonl", rows)
    del rows
    prepare(DataRequest(str(write("few.jsonl", qa(10)))))  # imports
    tracemalloc.start()
    try:
        assert sizes(prepare(DataRequest(str(path)))) == [3200, 400, 400]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The first thousand, by which the format is told, and buffers; all rows are 16 MB.
    assert peak < 9e6


def test_a_set_of_lines_is_a_set() -> None:
    lines = Lines(array("Q", [2, 5, 9]))
    assert lines == {2, 5, 9}
    assert (5 in lines, 4 in lines, "5" in lines, len(lines)) == (True, False, False, 3)
    assert lines & {5, 7} == {5}


def test_the_dataset_card_says_what_was_read_and_what_became_of_it(write: Any, tmp_path: Path) -> None:
    rows = [*qa(20), *qa(2), {"question": "only"}, {"question": "again"}]
    request = DataRequest(str(write("rows.jsonl", rows)), system="Be brief.")
    prepared = prepare(request)
    receipt = build_receipt(
        [TokenCount(line, 20, 5, 10, 0, stop_token_trained=False) for line in range(1, 17)],
        max_length=10,
        on_overflow="truncate",
        rejected=prepared.rejected,
        split_sizes={"train": 16, "eval": 2, "test": 2},
        duplicates=prepared.duplicates,
        detection=Detection("question_answer", 1.0, ""),
        num_pairs=3,
    )
    card = card_of(request, prepared, receipt)
    assert (card.num_read, card.num_kept, card.inputs) == (24, 20, prepared.files)
    assert [(change.what, change.num_rows, change.why) for change in card.changes] == [
        ("left out", 2, "'answer' is missing."),
        ("left out", 2, "An earlier row has the same request and answer."),
        ("cut at 10 tokens", 16, 'data.on_overflow is "truncate".'),
    ]
    assert card.changes[0].first_rows == (f"{request.dataset}, line 23", f"{request.dataset}, line 24")
    assert any("3 train rows are preference pairs" in note for note in card.notes)
    told = write_card(card, tmp_path)[0].read_text()
    assert prepared.files[0].sha256 in told
    assert write_card(card_of(request, prepare(request), receipt), tmp_path)[0].read_text() == told
